"""Find the settings, read them from everywhere they may stand, and check them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from . import names
from .checks import check
from .dotenv import parse_dotenv
from .environment import EnvironmentMode, assemble
from .files import unreadable_files
from .model import Settings
from .parse import parse_settings
from .problems import ConfigError, Fault, Loc, Place, Problem, path_text
from .risks import risks
from .unreplaced import unreplaced_in
from .variables import COMMAND_LINE, ENVIRONMENT, Given, Variables
from .yaml_source import Document, Plain, parse_yaml
from .yaml_text import MAX_BYTES

Reader = Callable[[str], bytes]
"""Reads a file by its path, at least the first MAX_BYTES + 1 bytes; raises OSError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings that are whole and checked, and where they came from.

    ``source`` is the file, None in the environment-only mode, which ``environment``
    describes. ``digest`` is the SHA-256 of the file (or of what stood in its place), in
    hexadecimal. ``warnings`` say what is allowed but risky.
    """

    settings: Settings
    source: str | None
    digest: str
    warnings: tuple[Problem, ...] = ()
    environment: EnvironmentMode | None = None

    @property
    def short_digest(self) -> str:
        """The first 12 digits, by which decision lines, the status page and commands name it."""
        return self.digest[:12]


_Found = tuple[Loaded, Given, Document | None]
"""Settings without the warnings of ``load``, and what says where each of them stands."""


def read_file(path: str) -> bytes:
    """Read a file as far as a configuration may be long, and one byte more."""
    with Path(path).open("rb") as file:
        return file.read(MAX_BYTES + 1)


def load(
    config: str | None = None,
    *,
    environ: Mapping[str, str],
    flags: Mapping[str, str] | None = None,
    read: Reader = read_file,
    look_at_files: bool = False,
) -> Loaded:
    """Load the settings: flags win over the environment, that over the file.

    ``config`` is the path after ``--config``. ``flags`` maps settings such as
    ``listen.grpc`` to text (``names.SETTINGS`` are those that have a flag).
    With ``look_at_files`` files that the settings name and that cannot be read are warned of.
    Raises ConfigError with every problem there is.
    """
    path, data = _find(config, environ, read)
    if path is None or data is None:
        loaded, given, document = _from_environment(environ, flags or {}, read)
    else:
        loaded, given, document = _from_file(path, data, environ, flags or {}, read)
    risky = [*risks(loaded.settings)]
    if document is not None:
        risky += unreplaced_in(given.values)
    if look_at_files:
        risky += unreadable_files(loaded.settings, read)
    return replace(loaded, warnings=(*_placed(risky, given, document), *loaded.warnings))


def _find(
    config: str | None, environ: Mapping[str, str], read: Reader
) -> tuple[str | None, bytes | None]:
    if config == "":
        what = "is empty; expected the path of a file"
        raise ConfigError([Problem(COMMAND_LINE, "--config", what)])
    named = config or environ.get(names.CONFIG)
    for path in (named,) if named else names.SEARCHED:
        try:
            return path, read(path)
        except OSError as error:
            if not named and isinstance(error, FileNotFoundError | NotADirectoryError):
                continue
            by = "" if config or not named else f" (named by {names.CONFIG})"
            what = f"cannot be read: {error.strerror or 'not found'}{by}; expected a readable file"
            raise ConfigError([Problem(Place(path), "", what)]) from None
        except ValueError:
            what = "is no path; expected the path of a file"
            raise ConfigError([Problem(Place(repr(path)), "", what)]) from None
    return None, None


def _from_file(
    path: str, data: bytes, environ: Mapping[str, str], flags: Mapping[str, str], read: Reader
) -> _Found:
    document = parse_yaml(data, path)
    variables = Variables.of(environ)
    problems = [*document.problems, *variables.unknown()]
    if document.root is None:
        raise ConfigError(problems)
    plain = document.root.plain()
    written = plain if isinstance(plain, dict) else {}
    given = Given(dict(written))
    given.override(variables, flags)
    broken = (loc for loc in document.broken() if given.source(loc) is None)
    parsed = parse_settings(given.values, broken)
    faults = [*parsed.faults, *check(parsed)]
    problems += _placed(faults, given, document)
    problems += _placed(_overridden(written, given, document), Given({}), document)
    if problems:
        raise ConfigError(problems)
    warnings = []
    unread = [name for name in names.WITHOUT_FILE if name in variables.by_name]
    if _exists(names.DOTENV, read):
        unread.append(names.DOTENV)
    if unread:
        what = f"not read, since there is a configuration file: {', '.join(unread)}"
        warnings.append(Problem(ENVIRONMENT, "", what))
    loaded = Loaded(
        settings=parsed.settings,
        source=path,
        digest=hashlib.sha256(data).hexdigest(),
        warnings=tuple(warnings),
    )
    return loaded, given, document


def _overridden(written: dict[str, Plain], given: Given, document: Document) -> Iterator[Fault]:
    """What is wrong with values of the file that a variable or a flag wins over."""
    masked = [loc for loc in given.sources if document.find(loc) is not None]
    if masked:
        outside = {**written, "issuers": (), "servers": ()}
        for fault in parse_settings(outside, document.broken()).faults:
            if any(fault.loc[: len(loc)] == loc for loc in masked):
                yield fault


def _from_environment(environ: Mapping[str, str], flags: Mapping[str, str], read: Reader) -> _Found:
    problems: list[Problem] = []
    try:
        dotenv = parse_dotenv(read(names.DOTENV), names.DOTENV)
        problems += dotenv.problems
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        dotenv = None
    except OSError as error:
        dotenv = None
        what = f"cannot be read: {error.strerror}; expected a readable file, or none"
        problems.append(Problem(Place(names.DOTENV), "", what))
    variables = Variables.of(environ, dotenv)
    if variables.first(names.ISSUER) is None:
        what = f"no configuration: neither {' nor '.join(names.SEARCHED)} exists; expected "
        what += f"one of them, --config, {names.CONFIG}, or the variable {names.ISSUER[0]}"
        problems.append(Problem(ENVIRONMENT, "", what))
        raise ConfigError([*problems, *variables.unknown()])
    if dotenv is not None and names.CONFIG in dotenv.values:
        what = "not read here; expected it in the real environment, or --config"
        problems.append(Problem(dotenv.values[names.CONFIG][1], names.CONFIG, what))
    assembled = assemble(variables)
    problems += [*variables.unknown(), *assembled.problems]
    given, mode = assembled.given, assembled.mode
    given.override(variables, flags)
    parsed = parse_settings(given.values)
    faults = [*parsed.faults, *check(parsed, without_file=True)]
    # The other spelling of the issuer is ours: what is wrong with it is said of the first.
    problems += _placed((f for f in faults if "accepted_issuers" not in f.loc), given, None)
    if problems:
        raise ConfigError(problems)
    told = json.dumps([given.values, asdict(mode)], sort_keys=True)
    loaded = Loaded(
        settings=parsed.settings,
        source=None,
        digest=hashlib.sha256(told.encode()).hexdigest(),
        warnings=tuple(assembled.warnings),
        environment=mode,
    )
    return loaded, given, None


def _exists(path: str, read: Reader) -> bool:
    try:
        read(path)
    except OSError:
        return False
    return True


def _placed(faults: Iterable[Fault], given: Given, document: Document | None) -> list[Problem]:
    """Say of each fault where it stands: in a variable, a flag, or the file."""
    problems = []
    for fault in faults:
        variable = given.source(fault.loc)
        asking = given.source(fault.because)
        if variable is not None:
            problems.append(variable.problem(fault.text))
        elif asking is not None:
            setting = ".".join(map(str, fault.loc))
            what = f"{setting} is {fault.text} (variable {names.variable(setting)})"
            problems.append(asking.problem(what))
        elif document is None:
            problems.append(Problem(ENVIRONMENT, path_text(fault.loc), fault.text))
        else:
            loc = _as_written(fault.loc, document)
            place = document.key_place(loc) if fault.on_key else document.place(loc)
            problems.append(Problem(place, path_text(loc), fault.text))
    return problems


def _as_written(loc: Loc, document: Document) -> Loc:
    """``loc`` without the steps that the short form of a rule or a list leaves out.

    ``add: [scope]`` means ``add: {scopes: [scope]}``, and pydantic speaks of the latter; so
    it does of ``tid: [mine]`` where ``tid: mine`` was written.
    """
    written: Loc = ()
    for part in loc:
        holder = document.find(written)
        expected = dict if isinstance(part, str) else list
        if holder is not None and not isinstance(holder.value, expected):
            continue
        written = (*written, part)
    return written

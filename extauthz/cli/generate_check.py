"""``extauthz generate --check``: is what lies there what would be written?"""

from __future__ import annotations

import argparse
import shlex
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extauthz import __version__
from extauthz.config import names
from extauthz.generate.artefacts import Artefact, File
from extauthz.generate.comparing import difference, written_by

from .options import given_settings

_LARGEST: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Compared:
    """What is compared with what: ``files`` in ``folder``, or one file that may bear any name.

    ``output`` is the folder that --output would write; None where the file is that of standard
    output. ``left`` are the names of files that belong to it and are not compared.
    """

    files: tuple[tuple[Path, File], ...]
    output: Path | None
    left: tuple[str, ...] = ()


def check(artefact: Artefact, options: argparse.Namespace, source: str) -> int:
    """Compare with what ``options.check`` names; the exit code. Writes no file.

    ``source`` is what the artefact was made from, in words.
    """
    compared = _compared(options.check, artefact)
    problems, to_write = [], False
    if compared.output is not None and _mode(compared.output) is None:
        problems, to_write = [f"{compared.output} is missing"], True
    else:
        for path, file in compared.files:
            try:
                deployed = _read(path)
            except FileNotFoundError:
                problems.append(f"{path} is missing")
                to_write = True
                continue
            except OSError as error:
                problems.append(f"cannot read {path}: {(error.strerror or str(error)).lower()}")
                continue
            problem = _problem(path, deployed, file.text, source)
            if problem is not None:
                problems.append(problem)
                to_write = True
    for problem in problems:
        print(f"extauthz generate: {problem}", file=sys.stderr)
    if to_write:
        print(f"write it anew: {_command(options, compared.output)}", file=sys.stderr)
    if problems:
        return 1
    holds = f"is what extauthz {__version__} writes"
    if compared.output == Path(options.check):
        found = [file.name for _, file in compared.files]
        it = "it" if len(found) == 1 else "them"
        holds = f"holds {_and(found)} as extauthz {__version__} writes {it}"
    left = f"; not compared: {_and(compared.left)}" if compared.left else ""
    print(f"ok: {options.check} {holds} for {source}{left}")
    return 0


def _compared(given: str, artefact: Artefact) -> _Compared:
    path = Path(given)
    files = artefact.files
    # Where nothing is there, what it sounds like.
    sounds = given.endswith("/") or (len(files) > 1 and not path.suffix)
    mode = _mode(path)
    if sounds if mode is None else stat.S_ISDIR(mode):
        return _Compared(tuple((path / file.name, file) for file in files), path)
    one = next((file for file in files if file.name == path.name), None)
    if one is not None:
        others = tuple(file.name for file in files if file is not one)
        # The main file alone may be the one of standard output, which can be another.
        if one is not files[0] or any(_mode(path.parent / name) is not None for name in others):
            return _Compared(((path, one),), path.parent, others)
    return _Compared(((path, File(path.name, artefact.alone)),), None, artefact.beside)


def _mode(path: Path) -> int | None:
    """What is there; None where nothing is, and 0 where nobody may look: reading tells why."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
    except OSError:
        return 0


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST + 1)


def _problem(path: Path, found: bytes, text: str, source: str) -> str | None:
    """What is wrong with ``found`` at ``path``; the diff is printed."""
    if len(found) > _LARGEST:
        return f"{path} is larger than anything that is written for a proxy"
    lines = difference(str(path), found, text)
    if not lines:
        return None
    for line in lines:
        print(line)
    what = f"{path} differs from what extauthz {__version__} writes for {source}"
    by, now = written_by(found), written_by(text)
    if now is not None and by != now:
        what += (
            f": it was written by {by}, not by {now}" if by else "; it does not say what wrote it"
        )
    return what


def _command(options: argparse.Namespace, output: Path | None) -> str:
    """The same call, for writing."""
    words = ["extauthz", "generate", options.proxy]
    if options.config is not None:
        words += ["--config", options.config]
    if options.calls is not None:
        words += ["--calls", options.calls]
    if options.namespace != "default":
        words += ["--namespace", options.namespace]
    words += [f"{names.flag(name)}={value}" for name, value in given_settings(options).items()]
    if output is not None:
        return shlex.join([*words, "--output", str(output)])
    mode = _mode(Path(options.check))
    # What came through a pipe was brought from somewhere else.
    where = f" > {shlex.quote(options.check)}" if mode is None or stat.S_ISREG(mode) else ""
    return shlex.join(words) + where


def _and(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"

"""Tries mutants in forked children of one pytest run whose tests are collected and not yet run.

A child puts the mutant in force in its own memory, runs the tests that reach it, the quickest
first, and ends with the first that fails. So a mutant costs a fork and a test or two.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import importlib
import os
import pickle
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest

from tests.mutation.mutants import Mutant

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "extauthz"

# In-process tests only: none of them starts a program, and what it starts in Python a fork of
# the process that collected it has not seen yet.
TESTS = (
    "tests/core",
    "tests/properties/test_decisions.py",
    "tests/properties/test_against_pyjwt.py",
    "tests/attacks/test_table.py",
    "tests/attacks/test_published_vectors.py",
    "tests/attacks/test_provider_key_sets.py",
    "tests/attacks/test_catalogue.py",
    "tests/test_doors.py",
    "tests/test_authorizer.py",
    "tests/adapters/test_envoy.py",
    "tests/adapters/test_grpc_http2.py",
    "tests/adapters/test_http2_connection.py",
    "tests/adapters/test_http2_frames.py",
    "tests/adapters/test_http2_headers.py",
    "tests/adapters/test_http2_messages.py",
    "tests/adapters/test_http_door.py",
    "tests/adapters/test_question_words.py",
    "tests/adapters/test_recurring.py",
    "tests/adapters/test_replies.py",
    "tests/config/test_compile.py",
    "tests/config/test_urls_and_headers.py",
    "tests/telemetry/test_recurring_lines.py",
)
_OPTIONS = (
    "-q",
    "--assert=plain",
    "-p",
    "no:xdist",
    "-p",
    "no:cacheprovider",
    "-m",
    "not e2e and not slow",
    "-o",
    "timeout=60",
)
# Whose tests are not named after it.
_OWN = {
    "gate": ("engine", "rules"),
    "routing": ("engine", "hosts_and_matching"),
    "matching": ("hosts_and_matching",),
    "hosts": ("hosts_and_matching",),
    "claims": ("rules", "token"),
    "compact": ("compact", "token"),
    "token_cache": ("token_cache", "engine"),
    "authorizer": ("authorizer", "http_door", "doors"),
    "forward_auth": ("http_door",),
    "http2_answers": ("http2_connection",),
    "http2_reader": ("http2_connection", "http2_frames"),
    "http2_frames": ("http2_frames", "http2_connection"),
    "trust": ("http_door",),
}
_SURVIVED, _KILLED = 0, 1
_BRIEF = 2.0
_MAX_DATA = 6 << 30

_Functions = dict[tuple[str, str], list[FunctionType]]
Outcome = Callable[[Mutant, bool], None]


@dataclass
class Reach:
    """What each test reaches, by its place in the collection."""

    lines: dict[int, set[tuple[str, int]]] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def _wanted(item: pytest.Item) -> bool:
    """Not what speaks gRPC: its threads and a fork do not go together."""
    name = item.name
    if "test_table.py" in item.nodeid:
        return "[engine" in name or "-engine]" in name or "-engine-" in name
    return "tests/test_doors.py" not in item.nodeid or "test_the_engine" in name


class Trials:
    """A pytest plugin in whose hands the run of the tests is a run of the mutants."""

    def __init__(
        self,
        mutants: Iterable[list[Mutant]],
        memory: Path,
        tell: Outcome,
        log: Callable[[str], None],
        *,
        quick: bool = False,
    ) -> None:
        self._quick = quick
        self._mutants, self._memory, self._tell, self._log = mutants, memory, tell, log
        self._items: list[pytest.Item] = []
        self._tracer = _Tracer()
        self._on_failure: Callable[[], None] = lambda: None

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Iterator[None]:
        _brief_hypothesis()
        yield

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if _wanted(item)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        # Before pytest puts into words what failed, which takes longer than most tests.
        raised = call.excinfo
        if raised and not raised.errisinstance(pytest.skip.Exception):
            self._on_failure()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._on_failure()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = session.items
        reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter._tw._file = open(os.devnull, "w")  # noqa: SIM115, PTH123  open to the end
        _make_keys()
        gc.collect()
        gc.disable()
        began = time.monotonic()
        reach = self._measured()
        self._log(
            f"{len(self._items)} tests, {sum(reach.seconds.values()):.0f} s in all, measured in "
            f"{time.monotonic() - began:.0f} s"
        )
        for name in reach.broken:
            self._log(f"left out, as it fails without a mutant: {name}")
        index = _Index(self._items, reach, self._tracer.files)
        functions = _functions()
        for batch in self._mutants:
            self._try_all(batch, index, functions)
        return True

    def _try_all(self, mutants: list[Mutant], index: _Index, functions: _Functions) -> None:
        # These need everything loaded anew: defaults, classes, what constructors make for tests,
        # what is called at import only, and constants that it may have used.
        left = []
        for mutant in mutants:
            at_work = mutant.owner and index.at_work(mutant)
            put = _swap(mutant, functions) if at_work else _reassign(mutant)
            chosen = index.reaching(mutant)
            if put and self._try(put, chosen, index.limit(chosen)):
                self._tell(mutant, True)
            elif put and at_work and not mutant.owner.endswith("__"):
                self._tell(mutant, False)
            else:
                left.append(mutant)
        if left:
            self._log(f"{len(left)} more, for each of which everything is loaded anew")
        for mutant in left:
            # What ran before the first test is noticed by tests that do not reach it themselves.
            chosen = list(dict.fromkeys([*index.reaching(mutant), *index.of_file(mutant)]))
            self._tell(
                mutant,
                not self._quick and self._imported(mutant, chosen, index),
            )

    def _measured(self) -> Reach:
        """What each test reaches, as remembered for these sources, or measured."""
        sources = b"".join(file.read_bytes() for file in sorted(PACKAGE.rglob("*.py")))
        digest = hashlib.sha256(sources).hexdigest()
        known: dict[str, tuple[set[tuple[str, int]], float]] = {}
        if self._memory.exists():
            of, remembered = pickle.loads(self._memory.read_bytes())  # noqa: S301  our own
            known = remembered if of == digest else {}
        files = {item.path: item.path.read_bytes() for item in self._items}
        versions = {path: hashlib.sha256(text).hexdigest() for path, text in files.items()}
        names = [f"{item.nodeid} {versions[item.path]}" for item in self._items]
        new = [at for at, name in enumerate(names) if name not in known]
        reach = self._in_child(new) if new else Reach()
        for at, name in enumerate(names):
            if name in known:
                reach.lines[at], reach.seconds[at] = known[name]
            elif self._items[at].nodeid not in reach.broken:
                known[name] = reach.lines[at], reach.seconds[at]
        self._memory.write_bytes(pickle.dumps((digest, known)))
        return reach

    def _in_child(self, places: list[int]) -> Reach:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            with os.fdopen(write, "wb") as pipe:
                pickle.dump(self._measure(places), pipe)
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            reach: Reach = pickle.load(pipe)  # noqa: S301  from our own child
        os.waitpid(child, 0)
        return reach

    def _measure(self, places: list[int]) -> Reach:
        reach = Reach()
        _quiet()
        failed: list[int] = []
        for at in places:
            item = self._items[at]
            self._on_failure = partial(failed.append, at)
            began = time.process_time()
            with self._tracer as lines:
                _run(item, None)
            reach.seconds[at] = time.process_time() - began
            reach.lines[at] = lines
        for at in failed:
            reach.broken.append(self._items[at].nodeid)
            reach.lines[at] = set()
        return reach

    def _try(self, put: Callable[[], None], chosen: list[int], limit: int) -> bool:
        if not chosen:
            return False  # no test reaches it
        child = os.fork()
        if not child:
            try:
                _limit(limit)
                _quiet()
                self._on_failure = lambda: os._exit(_KILLED)
                put()
                items = [self._items[at] for at in chosen]
                for item, after in zip(items, [*items[1:], None], strict=True):
                    _run(item, after)
            except BaseException:  # noqa: BLE001  a mutant that stops pytest itself is told apart
                os._exit(_KILLED)
            os._exit(_SURVIVED)
        return os.waitpid(child, 0)[1] != 0

    def _imported(self, mutant: Mutant, chosen: list[int], index: _Index) -> bool:
        """The slow way: everything is loaded anew, with the mutant in its file's place."""
        names = [self._items[at].nodeid for at in chosen]
        child = os.fork()
        if not child:
            read_end = pickle.dumps((mutant, names, index.limit(chosen)))
            null = os.open(os.devnull, os.O_RDWR)
            pipe_in, pipe_out = os.pipe()
            if not os.fork():
                with os.fdopen(pipe_out, "wb") as pipe:
                    pipe.write(read_end)
                os._exit(0)
            os.close(pipe_out)
            os.dup2(pipe_in, 0)
            for stream in (1, 2):
                os.dup2(null, stream)
            os.execv(sys.executable, [sys.executable, "-m", "tests.mutation.anew"])  # noqa: S606  after a fork
        return os.waitpid(child, 0)[1] != 0


def run_trials(
    mutants: Iterable[list[Mutant]],
    memory: Path,
    tell: Outcome,
    log: Callable[[str], None],
    *,
    quick: bool = False,
) -> int:
    """Collect the tests and try every mutant on them; ``tell`` hears whether it was killed.

    ``memory`` is a file in which to remember what each test reaches. ``quick`` loads nothing anew:
    what only that could kill survives.
    """
    tests = [name for name in TESTS if (ROOT / name).exists()]
    return int(
        pytest.main([*_OPTIONS, *tests], plugins=[Trials(mutants, memory, tell, log, quick=quick)])
    )


class Anew:
    """A pytest plugin: runs the named tests in the order given, until one fails."""

    def __init__(self, names: list[str]) -> None:
        self._places = {name: at for at, name in enumerate(names)}

    def pytest_collection(self) -> None:
        _brief_hypothesis()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self._places]
        items.sort(key=lambda item: self._places[item.nodeid])


def run_anew() -> int:
    """What `tests.mutation.anew` does: reads a mutant from standard input, and tries it."""
    mutant, names, limit = pickle.load(sys.stdin.buffer)  # noqa: S301  from our own parent
    _limit(limit + 20)
    path = str(PACKAGE / mutant.file)
    plain = importlib.machinery.SourceFileLoader.get_code

    def get_code(self: Any, name: str) -> CodeType | None:
        if self.path == path:
            return compile(mutant.source, path, "exec", dont_inherit=True)
        return plain(self, name)

    loader: Any = importlib.machinery.SourceFileLoader
    loader.get_code = get_code
    files = list(dict.fromkeys(name.partition("::")[0] for name in names))
    if not files:
        return _SURVIVED
    return int(pytest.main([*_OPTIONS, "-x", *files], plugins=[Anew(names)]))


def _brief_hypothesis() -> None:
    """The same examples for every mutant, and no search for the least one that fails."""
    # Loaded before pytest, it could not be rewritten by it.
    from hypothesis import Phase, settings  # noqa: PLC0415

    phases = [Phase.explicit, Phase.generate]
    settings.register_profile(
        "mutants", deadline=None, derandomize=True, database=None, phases=phases, max_examples=25
    )
    settings.load_profile("mutants")


def _run(item: pytest.Item, after: pytest.Item | None) -> None:
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)


def _quiet() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


def _limit(seconds: int) -> None:
    """Processor time, which the neighbours do not stretch, and memory."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_DATA, (_MAX_DATA, _MAX_DATA))


def _make_keys() -> None:
    """The keys and cases that tests share, made once for all children; no code under test."""
    tokens = importlib.import_module("tests.tokens")
    for algorithm in (
        "ES256",
        "ES384",
        "ES512",
        "EdDSA",
        "Ed25519",
        "RS256",
        "RS384",
        "RS512",
        "PS256",
        "PS384",
        "PS512",
    ):
        tokens.signer(algorithm)
    table = importlib.import_module("tests.attacks.test_table")
    for row in table.ROWS.values():
        table.cases_of(row)


class _Tracer:
    """Notes the lines of the files under test that are run while it is entered."""

    def __init__(self) -> None:
        self.files = {
            str(file): str(file.relative_to(PACKAGE))
            for folder in ("", "core", "adapters", "telemetry")
            for file in (PACKAGE / folder).glob("*.py")
        }
        self._lines: set[tuple[str, int]] = set()

    def __enter__(self) -> set[tuple[str, int]]:
        self._lines = set()
        sys.settrace(self._called)
        return self._lines

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _called(self, frame: FrameType, event: str, argument: object) -> Any:
        file = self.files.get(frame.f_code.co_filename)
        if file is None:
            return None
        add = self._lines.add

        def line(frame: FrameType, event: str, argument: object) -> Any:
            add((file, frame.f_lineno))
            return line

        return line(frame, event, argument)


class _Index:
    """Which tests reach a mutant, the quickest first."""

    def __init__(self, items: list[pytest.Item], reach: Reach, files: dict[str, str]) -> None:
        self._items = items
        self._seconds = reach.seconds
        self._tests: dict[tuple[str, int], set[int]] = {}
        for at, lines in reach.lines.items():
            for line in lines:
                self._tests.setdefault(line, set()).add(at)
        self._uses: list[tuple[set[str], str, set[int]]] = []
        for path, file in files.items():
            for code in _codes(compile(Path(path).read_text(), path, "exec")):
                if code.co_name != "<module>":
                    numbers = {line for _, _, line in code.co_lines() if line}
                    self._uses.append((set(code.co_names), file, numbers))

    def limit(self, chosen: Iterable[int]) -> int:
        return 10 + int(4 * sum(self._seconds[at] for at in chosen))

    def at_work(self, mutant: Mutant) -> set[int]:
        """The tests that run its lines, and not only what came of them at import."""
        return set().union(*(self._tests.get((mutant.file, line), ()) for line in mutant.lines))

    def reaching(self, mutant: Mutant) -> list[int]:
        tests = self.at_work(mutant) if mutant.owner else set()
        if not tests:
            names = _names_made(mutant)
            for used, file, lines in self._uses:
                if not names.isdisjoint(used):
                    for line in lines:
                        tests |= self._tests.get((file, line), set())
            # What a class is given at import, its own methods use without its name.
            for line in _lines_of_class(mutant):
                tests |= self._tests.get((mutant.file, line), set())
            if not tests:
                return self.of_file(mutant)
        return self._brief(mutant, tests)

    def of_file(self, mutant: Mutant) -> list[int]:
        """The tests that reach anything of the mutant's file."""
        tests: set[int] = set()
        for (file, _), reaching in self._tests.items():
            if file == mutant.file:
                tests |= reaching
        return self._brief(mutant, tests)

    def _brief(self, mutant: Mutant, tests: set[int]) -> list[int]:
        """All tests of the file's own, and those of the others that take some seconds in all."""
        stem = Path(mutant.file).stem
        own, others, left = [], [], _BRIEF
        for at in sorted(tests, key=self._seconds.__getitem__):
            if self._items[at].path.stem.removeprefix("test_") in _OWN.get(stem, (stem,)):
                own.append(at)
            elif left > 0:
                left -= self._seconds[at]
                others.append(at)
        return [*own, *others]


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _functions() -> _Functions:
    found: _Functions = {}
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename.startswith(str(PACKAGE)):
            at = (one.__code__.co_filename, one.__code__.co_qualname)
            found.setdefault(at, []).append(one)
    return found


def _swap(mutant: Mutant, functions: _Functions) -> Callable[[], None] | None:
    """Gives the function the mutated code. None where it cannot be had so."""
    path = str(PACKAGE / mutant.file)
    made = list(_codes(compile(mutant.source, path, "exec", dont_inherit=True)))
    codes = {code.co_firstlineno: code for code in made if code.co_qualname == mutant.owner}
    targets = functions.get((path, mutant.owner), [])
    pairs = [(one, codes.get(one.__code__.co_firstlineno)) for one in targets]
    if len(codes) != 1 and len(pairs) != len(codes):
        return None
    # What it has made at import, and what is kept in tables, is changed as well.
    within = f"{mutant.owner}.<locals>."
    inner = {(code.co_qualname, code.co_firstlineno): code for code in made}
    for (file, name), found in functions.items():
        if file == path and name.startswith(within):
            pairs += [(one, inner.get((name, one.__code__.co_firstlineno))) for one in found]
    if not pairs or any(
        code is None or code.co_freevars != one.__code__.co_freevars for one, code in pairs
    ):
        return None

    def put() -> None:
        for one, code in pairs:
            assert code is not None
            one.__code__ = code

    return put


def _statement(mutant: Mutant) -> tuple[list[ast.stmt], int]:
    body = ast.parse(mutant.source).body
    at = next(
        (
            i
            for i, one in enumerate(body)
            if one.lineno <= mutant.lines.start <= (one.end_lineno or 0)
        ),
        -1,
    )
    return body, at


def _lines_of_class(mutant: Mutant) -> range:
    body, at = _statement(mutant)
    if at < 0 or not isinstance(body[at], ast.ClassDef):
        return range(0)
    return range(body[at].lineno, (body[at].end_lineno or 0) + 1)


def _targets(statement: ast.stmt) -> set[str]:
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _loads(statement: ast.stmt) -> set[str]:
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def _names_made(mutant: Mutant) -> set[str]:
    """The module's names whose value the mutant may change."""
    body, at = _statement(mutant)
    if at < 0:
        return set()
    return _made(body[at]).union(*map(_made, _remade(body, at)))


def _made(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    return _targets(statement)


def _remade(body: list[ast.stmt], at: int) -> list[ast.stmt]:
    """The assignments whose value the statement at that place has a part in, also by a call."""
    names = _made(body[at])
    again: list[ast.stmt] = []
    callers = [one for one in body if isinstance(one, ast.FunctionDef) and one is not body[at]]
    for later in body[at + 1 :]:
        if isinstance(later, ast.Assign | ast.AnnAssign):
            size = -1
            while size != len(names):
                size = len(names)
                for caller in callers:
                    if not names.isdisjoint(_loads(caller)):
                        names.add(caller.name)
            if not names.isdisjoint(_loads(later)):
                names |= _targets(later)
                again.append(later)
    return again


def _reassign(mutant: Mutant) -> Callable[[], None] | None:
    """Makes a module's constant or function anew, and what was made by it at import.

    None for anything else.
    """
    body, at = _statement(mutant)
    if at < 0 or not isinstance(body[at], ast.Assign | ast.AnnAssign | ast.FunctionDef):
        return None
    again = [body[at], *_remade(body, at)]
    names = set().union(*map(_made, again))
    path = str(PACKAGE / mutant.file)
    future = ast.parse("from __future__ import annotations").body
    code = compile(ast.Module([*future, *again], []), path, "exec", dont_inherit=True)

    def put() -> None:
        module = _module_of(path)
        old = {name: vars(module).get(name) for name in names}
        exec(code, vars(module))  # noqa: S102  the mutant
        for other in list(sys.modules.values()):
            for name, value in old.items():
                if getattr(other, "__dict__", {}).get(name, put) is value:
                    setattr(other, name, vars(module)[name])

    return put


def _module_of(path: str) -> ModuleType:
    return next(one for one in list(sys.modules.values()) if getattr(one, "__file__", None) == path)

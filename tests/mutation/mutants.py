"""What mutants there are of a file: mutmut's changes, and those that take a check away.

mutmut itself leaves out what runs at import (tables, patterns, limits, decorated functions),
which here decides as much as any function; so its operators are used, and not its runner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import (
    mutation_operators,
    operator_arg_removal,
    operator_string,
)

_Kind = type | tuple[type, ...]
_Operator = tuple[_Kind, Callable[[Any], Iterable[cst.CSTNode]]]


def _branches(node: cst.If | cst.While) -> Iterator[cst.CSTNode]:
    yield node.with_changes(test=cst.Name("False"))
    if isinstance(node, cst.If):
        yield node.with_changes(test=cst.Name("True"))


def _filters(node: cst.CompIf) -> Iterator[cst.CSTNode]:
    yield node.with_changes(test=cst.Name("True"))


def _operands(node: cst.BooleanOperation) -> Iterator[cst.CSTNode]:
    yield node.left
    yield node.right


def _without(node: cst.Raise | cst.Expr | cst.Return) -> Iterator[cst.CSTNode]:
    yield cst.Pass()
    if isinstance(node, cst.Return) and node.value and not m.matches(node.value, m.Name("None")):
        yield node.with_changes(
            value=cst.Name("None"), whitespace_after_return=cst.SimpleWhitespace(" ")
        )


def _elements(node: cst.Tuple | cst.List | cst.Set | cst.Dict) -> Iterator[cst.CSTNode]:
    elements: Sequence[Any] = node.elements
    if len(elements) > 1:
        for at in range(len(elements)):
            rest = [*elements[:at], *elements[at + 1 :]]
            # A tuple of one must keep its comma.
            rest[-1] = rest[-1].with_changes(comma=cst.Comma())
            yield node.with_changes(elements=rest)


def _arguments(node: cst.Call) -> Iterator[cst.CSTNode]:
    # Without one that stands by its place the call mostly fails, and every test with it.
    yield from (one for one in operator_arg_removal(node) if _keeps_places(node, one))


def _keeps_places(node: cst.Call, changed: cst.Call) -> bool:
    if len(changed.args) == len(node.args):
        # Without a trace nothing is told to explain; nothing else is different.
        pairs = zip(node.args, changed.args, strict=True)
        return not any(
            m.matches(old.value, m.Name("trace")) for old, new in pairs if old is not new
        )
    return sum(not arg.keyword for arg in changed.args) == sum(not arg.keyword for arg in node.args)


def _text(node: cst.BaseString) -> Iterator[cst.CSTNode]:
    # The other two are the same text in other cases.
    yield from islice(operator_string(node), 1)


_NARROWED = {operator_string: _text, operator_arg_removal: _arguments}

OPERATORS: tuple[_Operator, ...] = (
    *((kind, _NARROWED.get(operator, operator)) for kind, operator in mutation_operators),
    ((cst.If, cst.While), _branches),
    (cst.CompIf, _filters),
    (cst.BooleanOperation, _operands),
    ((cst.Raise, cst.Expr, cst.Return), _without),
    ((cst.Tuple, cst.List, cst.Set, cst.Dict), _elements),
)

_TYPE_NAMES = {"cast", "TypeVar", "NewType", "Generic", "Annotated"}
# What explain tells, and only where it is asked for.
_TRACED = m.If(test=m.Name("trace") | m.BooleanOperation(left=m.Name("trace")))
_ALIAS = m.Assign(
    targets=[m.AssignTarget(target=m.Name(m.MatchRegex(r"_?[A-Z][A-Za-z]*[a-z][A-Za-z]*")))]
)
# What is told to the type checker and the linter alone.
_DECLARED = m.Assign(value=m.Call(func=m.Name("TypeVar"))) | m.Assign(
    targets=[m.AssignTarget(target=m.Name("__all__"))]
)
_NOTHING = m.Return(value=m.Name("None"))
_MESSAGE = m.Raise(exc=m.Call()) | m.Call(
    func=m.Name("Refusal") | m.Name("KeySetError") | m.Name("_malformed")
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file. ``was`` and ``now`` are the changed lines, which name it."""

    file: str
    function: str
    was: str
    now: str
    lines: range
    """The lines of the smallest statement around it, counted from 1."""
    owner: str
    """The outermost function whose body it changes; empty for what happens at import."""
    source: str

    @property
    def name(self) -> tuple[str, str, str, str]:
        """What it is known by from one run to the next."""
        return (self.file, self.function, self.was, self.now)


def mutants_of(path: Path, file: str) -> list[Mutant]:
    """Every mutant of ``path``, which reports call ``file``."""
    source = path.read_text()
    wrapper = MetadataWrapper(cst.parse_module(source))
    finder = _Finder(wrapper)
    wrapper.module.visit(finder)
    before = source.splitlines()
    seen = {source}
    found = []
    tops = [wrapper.module.code_for_node(one) for one in wrapper.module.body]
    head = source[: source.index(tops[0])] if tops else source
    for change in finder.changes:
        at = change.top
        changed = _with(change.path, change.node, change.instead)
        text = "".join((head, *tops[:at], wrapper.module.code_for_node(changed), *tops[at + 1 :]))
        if text in seen:
            continue
        seen.add(text)
        try:
            compile(text, file, "exec")
        except SyntaxError:
            continue
        was, now = _difference(before, text.splitlines())
        found.append(Mutant(file, change.function, was, now, change.lines, change.owner, text))
    return found


def _with(path: Sequence[cst.CSTNode], node: cst.CSTNode, instead: cst.CSTNode) -> cst.CSTNode:
    """The first of ``path`` with ``instead`` in the place of ``node``; much faster than a visit."""
    for parent in reversed(path):
        for field in fields(parent):
            value = getattr(parent, field.name)
            if value is node:
                instead = parent.with_changes(**{field.name: instead})
                break
            if isinstance(value, tuple | list) and any(one is node for one in value):
                after = [instead if one is node else one for one in value]
                instead = parent.with_changes(**{field.name: after})
                break
        node = parent
    return instead


def _difference(before: list[str], after: list[str]) -> tuple[str, str]:
    first = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b),
        min(len(before), len(after)),
    )
    rest = min(len(before), len(after)) - first
    same = next((i for i in range(rest) if before[-1 - i] != after[-1 - i]), rest)
    return (
        " ".join(line.strip() for line in before[first : len(before) - same]),
        " ".join(line.strip() for line in after[first : len(after) - same]),
    )


@dataclass(frozen=True, slots=True)
class _Change:
    path: tuple[cst.CSTNode, ...]
    """What it stands in, from the statement at the top of the module inwards."""
    node: cst.CSTNode
    instead: cst.CSTNode
    top: int
    function: str
    lines: range
    owner: str


class _Finder(cst.CSTVisitor):
    """Walks a module and notes every change that an operator would make."""

    def __init__(self, wrapper: MetadataWrapper) -> None:
        super().__init__()
        self.changes: list[_Change] = []
        self._positions = wrapper.resolve(PositionProvider)
        self._tops = {id(node): at for at, node in enumerate(wrapper.module.body)}
        self._top = 0
        self._names: list[str] = []
        self._functions: list[cst.FunctionDef] = []
        self._bodies: list[cst.CSTNode] = []
        self._statements: list[range] = []
        self._messages = 0
        self._needless: set[int] = set()
        self._owner = ""
        self._path: list[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        self._top = self._tops.get(id(node), self._top)
        if self._is_left_out(node):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._names.append(node.name.value)
        if isinstance(node, cst.FunctionDef):
            self._functions.append(node)
            # Without a last `return None` the function returns None all the same.
            self._needless |= {id(one) for one in _ends(node.body) if m.matches(one, _NOTHING)}
            if len(self._functions) == 1:
                self._owner = ".".join(self._names)
        if self._functions and node is self._functions[0].body:
            self._bodies.append(node)
        if isinstance(node, cst.BaseSmallStatement | cst.BaseCompoundStatement):
            where = self._positions[node]
            end = where.end.line
            if isinstance(node, cst.If | cst.While):
                end = self._positions[node.test].end.line
            elif isinstance(node, cst.BaseCompoundStatement):
                end = where.start.line
            self._statements.append(range(where.start.line, end + 1))
        if m.matches(node, _MESSAGE):
            self._messages += 1
        if not (self._messages and isinstance(node, cst.BaseString)):
            self._note(node)
        if not isinstance(node, cst.Module):
            self._path.append(node)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        node = original_node
        if self._is_left_out(node) or isinstance(node, cst.Module):
            return
        self._path.pop()
        if m.matches(node, _MESSAGE):
            self._messages -= 1
        if isinstance(node, cst.BaseSmallStatement | cst.BaseCompoundStatement):
            self._statements.pop()
        if self._bodies and node is self._bodies[-1]:
            self._bodies.pop()
        if isinstance(node, cst.FunctionDef):
            self._functions.pop()
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._names.pop()

    def _note(self, node: cst.CSTNode) -> None:
        if id(node) in self._needless:
            return
        for kind, operator in OPERATORS:
            if not isinstance(node, kind) or (self._messages and operator is _arguments):
                continue
            for instead in operator(node):
                self.changes.append(
                    _Change(
                        tuple(self._path),
                        node,
                        instead,
                        self._top,
                        ".".join(self._names) or "(module)",
                        self._statements[-1] if self._statements else range(0),
                        self._owner if self._bodies else "",
                    )
                )

    def _is_left_out(self, node: cst.CSTNode) -> bool:
        return (
            isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom)
            or m.matches(node, m.Expr(value=m.SimpleString() | m.ConcatenatedString()))
            or m.matches(node, m.If(test=m.Name("TYPE_CHECKING")))
            or m.matches(node, m.Call(func=m.MatchIfTrue(_is_of_types)))
            or m.matches(node, _TRACED)
            or m.matches(node, _ALIAS)
            or m.matches(node, _DECLARED)
        )


def _ends(block: cst.BaseSuite) -> Iterator[cst.CSTNode]:
    """The statements after which a function that ends with ``block`` comes to its end."""
    last = block.body[-1]
    if isinstance(last, cst.SimpleStatementLine):
        yield last.body[-1]
    elif isinstance(last, cst.Try) and last.finalbody is None:
        for one in (*last.handlers, last.orelse or last):
            yield from _ends(one.body)


def _is_of_types(func: cst.BaseExpression) -> bool:
    return isinstance(func, cst.Name) and func.value in _TYPE_NAMES

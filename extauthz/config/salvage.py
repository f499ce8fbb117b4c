"""What can be read of a value that holds mistakes: the rest of it, and nothing made up.

A mistake in one place must not hide another elsewhere. What pydantic refuses is left out, a
list loses the bad entry alone, and what is left is typed. Nobody may conclude anything from
what is left out; so it is told what that was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from .faults import faults_of
from .problems import Fault, Loc
from .yaml_source import Plain

M = TypeVar("M", bound=BaseModel)

Substitute = Callable[[Fault], tuple[Loc, Plain] | None]
"""Where something may stand in for what is bad, so that the key it stands at is kept."""


@dataclass(frozen=True, slots=True)
class Salvaged(Generic[M]):
    """What is left of a value. Locations are those in the value as it was given.

    ``settings`` is None where nothing is left, ``lost`` is what it lacks, ``kept`` the
    positions of the entries that are left of a list, ``faults`` why the others are not.
    """

    settings: M | None
    lost: frozenset[Loc]
    kept: Mapping[Loc, tuple[int, ...]]
    faults: tuple[Fault, ...]


def salvage(
    model: type[M],
    value: Plain,
    at: Loc,
    root: type[BaseModel],
    *,
    broken: Iterable[Loc] = (),
    stand_ins: Mapping[str, Plain],
    substitute: Substitute = lambda _: None,
) -> Salvaged[M]:
    """Read as much as can be of the value at ``at`` in a whole that is a ``root``.

    ``broken`` was reported before. ``stand_ins`` are for keys that cannot be done without.
    Locations in the result, and those that ``substitute`` gets and gives, begin at the value.
    """
    cut = _Cut(stand_ins)
    found = [Fault(loc, "") for loc in broken]
    faults: list[Fault] = []
    while True:
        for fault in found:
            cut.leave_out(fault, substitute(fault))
        remaining = cut.of(value)
        lost = frozenset(cut.lost)
        if remaining is _GONE:
            return Salvaged(None, lost, {}, tuple(faults))
        try:
            settings = model.model_validate(remaining)
            return Salvaged(settings, lost, cut.kept, tuple(faults))
        except ValidationError as error:
            told = list(faults_of(error, root, at))
        found = [replace(fault, loc=as_given(fault.loc[len(at) :], cut.kept)) for fault in told]
        found = [fault for fault in found if cut.is_news(fault)]
        if not found:
            return Salvaged(None, lost, {}, tuple(faults))
        faults += found


def as_given(loc: Loc, kept: Mapping[Loc, tuple[int, ...]]) -> Loc:
    """Where something stood before lists lost their bad entries."""
    given: Loc = ()
    for part in loc:
        positions = kept.get(given)
        given += (positions[part] if positions and isinstance(part, int) else part,)
    return given


def is_related(one: Loc, other: Loc) -> bool:
    """Whether one of them is the other, or holds it."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


class _Gone:
    """Stands for a value that is left out."""


_GONE: Final = _Gone()


@dataclass(slots=True)
class _Bad:
    """A place at which, or below which, something is bad."""

    below: dict[str | int, _Bad] = field(default_factory=dict)
    instead: Plain | _Gone | None = None

    def at(self, loc: Loc) -> _Bad:
        found = self
        for part in loc:
            found = found.below.setdefault(part, _Bad())
        return found


class _Cut:
    """Copies a value without what is bad in it."""

    def __init__(self, stand_ins: Mapping[str, Plain]) -> None:
        self._stand_ins = stand_ins
        self._bad = _Bad()
        self._left_out: set[Loc] = set()
        self.lost: set[Loc] = set()
        self.kept: dict[Loc, tuple[int, ...]] = {}

    def leave_out(self, fault: Fault, instead: tuple[Loc, Plain] | None) -> None:
        self.lost.add(fault.loc)
        if instead is None:
            self._left_out.add(fault.loc)
            self._bad.at(fault.loc).instead = _GONE
        else:
            bad = self._bad.at(instead[0])
            bad.instead = bad.instead or instead[1]

    def is_news(self, fault: Fault) -> bool:
        """Whether leaving this out as well changes anything."""
        return fault.loc not in (self._left_out if fault.on_key else self.lost)

    def of(self, value: Plain) -> Plain | _Gone:
        self.kept = {}
        if not isinstance(value, dict) or self._bad.instead is not None:
            return self._copy(value, self._bad, ())
        copied = self._dict(value, self._bad, ())
        for key, stand_in in self._stand_ins.items():
            if key in self._bad.below:
                copied[key] = stand_in
        return copied

    def _copy(self, value: Plain, bad: _Bad | None, at: Loc) -> Plain | _Gone:
        if bad is None:
            return value
        if bad.instead is not None:
            return bad.instead
        if isinstance(value, dict) and bad.below.keys() <= value.keys():
            return self._dict(value, bad, at)
        if isinstance(value, tuple) and bad.below.keys() <= set(range(len(value))):
            return self._list(value, bad, at)
        return _GONE if bad.below else value  # what is wrong is that something is missing in it

    def _dict(self, value: dict[str, Plain], bad: _Bad, at: Loc) -> dict[str, Plain]:
        copied = {k: self._copy(inner, bad.below.get(k), (*at, k)) for k, inner in value.items()}
        return {key: inner for key, inner in copied.items() if not isinstance(inner, _Gone)}

    def _list(self, value: tuple[Plain, ...], bad: _Bad, at: Loc) -> Plain | _Gone:
        copied = ((i, self._copy(v, bad.below.get(i), (*at, i))) for i, v in enumerate(value))
        kept = [(i, inner) for i, inner in copied if not isinstance(inner, _Gone)]
        self.kept[at] = tuple(i for i, _ in kept)
        return tuple(inner for _, inner in kept) if kept else _GONE

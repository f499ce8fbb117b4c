"""Plain values to typed settings. What is good is kept beside what is not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from .faults import faults_of
from .issuer import IssuerSettings
from .model import Settings
from .problems import Fault, Loc
from .salvage import Salvaged, is_related, salvage
from .server import ServerSettings
from .yaml_source import Plain

_M = TypeVar("_M", IssuerSettings, ServerSettings)
_Part = TypeVar("_Part", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Entry(Generic[_M]):
    """An issuer or a server, with its position in the file, as far as it could be read.

    ``name`` is the one meant, also where it is no good one; None where that cannot be known.
    ``lost`` holds paths inside the entry: what was given there and could not be read.
    """

    index: int
    settings: _M
    name: str | None
    lost: frozenset[Loc] = frozenset()

    def lacks(self, *loc: str) -> bool:
        """Whether what was given at this path, or some of it, could not be read."""
        return any(is_related(loc, one) for one in self.lost)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What could be read. ``settings`` is whole only where ``faults`` is empty.

    An entry that could not be read at all is left out, and ``unread`` then names its list.
    ``kept`` says of lists that lost bad entries which positions are left.
    """

    settings: Settings
    issuers: tuple[Entry[IssuerSettings], ...]
    servers: tuple[Entry[ServerSettings], ...]
    faults: tuple[Fault, ...] = ()
    lost: frozenset[Loc] = frozenset()
    unread: frozenset[str] = frozenset()
    kept: Mapping[Loc, tuple[int, ...]] = field(default_factory=dict)

    def lacks(self, *loc: str) -> bool:
        """Whether what was given at this path, or some of it, could not be read."""
        return any(is_related(loc, one) for one in self.lost)


def parse_settings(values: dict[str, Plain], broken: Iterable[Loc] = ()) -> Parsed:
    """Type the settings; never raises for any plain values.

    ``broken`` is where something stands that was reported already and is no value.
    """
    broken = tuple(broken)
    if broken:
        return _Salvage(values, broken).parsed()
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        parsed = _Salvage(values, ()).parsed()
        return (
            parsed if parsed.faults else replace(parsed, faults=tuple(faults_of(error, Settings)))
        )
    issuers = (Entry(i, one, one.name) for i, one in enumerate(settings.issuers))
    servers = (Entry(i, one, one.name) for i, one in enumerate(settings.servers))
    return Parsed(settings, tuple(issuers), tuple(servers))


class _Salvage:
    """Puts together what is left of each part."""

    def __init__(self, values: dict[str, Plain], broken: tuple[Loc, ...]) -> None:
        self._values = values
        self._broken = broken
        self._inside_entries: dict[Loc, list[Loc]] = defaultdict(list)
        for loc in broken:
            self._inside_entries[loc[:2]].append(loc[2:])
        self._faults: list[Fault] = []
        self._lost: set[Loc] = set()
        self._unread: set[str] = set()
        self._kept: dict[Loc, tuple[int, ...]] = {}

    def parsed(self) -> Parsed:
        empty = Settings(version=1, issuers=(), servers=())
        top: dict[str, Plain] = dict(self._values)
        for key in ("issuers", "servers"):
            if isinstance(top.get(key), tuple):
                top[key] = ()
        stand_ins: dict[str, Plain] = {"version": 1, "issuers": (), "servers": ()}
        outside = [loc for loc in self._broken if len(loc) == 1 or loc[0] not in stand_ins]
        found = salvage(Settings, top, (), Settings, broken=outside, stand_ins=stand_ins)
        settings = self._noted((), found)
        return Parsed(
            settings or empty,
            self._entries("issuers", IssuerSettings, "issuer"),
            self._entries("servers", ServerSettings, "resource"),
            tuple(dict.fromkeys(self._faults)),
            frozenset(self._lost),
            frozenset(self._unread),
            self._kept,
        )

    def _entries(self, key: str, model: type[_M], named_after: str) -> tuple[Entry[_M], ...]:
        given = self._values.get(key)
        if not isinstance(given, tuple):
            self._unread.add(key)
            return ()
        entries = [self._entry((key, i), model, named_after, one) for i, one in enumerate(given)]
        if None in entries:
            self._unread.add(key)
        return tuple(entry for entry in entries if entry is not None)

    def _entry(
        self, at: tuple[str, int], model: type[_M], named_after: str, value: Plain
    ) -> Entry[_M] | None:
        _, index = at
        stand_ins: dict[str, Plain] = {
            named_after: f"https://stand-in-{index}.invalid",
            "name": "stand-in",
        }
        found = salvage(
            model,
            value,
            at,
            Settings,
            broken=self._inside_entries[at],
            stand_ins=stand_ins,
            substitute=_harmless,
        )
        settings = self._noted(at, found)
        if settings is None:
            return None
        name = _name(value, settings.name, found.lost, named_after)
        return Entry(index, settings, name, found.lost)

    def _noted(self, at: Loc, found: Salvaged[_Part]) -> _Part | None:
        self._faults += [replace(fault, loc=at + fault.loc) for fault in found.faults]
        self._lost |= {at + loc for loc in found.lost}
        self._kept |= {at + loc: positions for loc, positions in found.kept.items()}
        return found.settings


def _name(value: Plain, read: str, lost: frozenset[Loc], named_after: str) -> str | None:
    given = value.get("name") if isinstance(value, dict) else None
    if ("name",) in lost:
        return given if isinstance(given, str) else None
    return None if given is None and (named_after,) in lost else read


def _harmless(fault: Fault) -> tuple[Loc, Plain] | None:
    """A rule or a claim that keeps its good key in the file, where its own value is bad."""
    loc = fault.loc
    for begin, stand_in in _SUBSTITUTES.items():
        end = len(begin) + 1
        if loc[: len(begin)] == begin and len(loc) >= end:
            return None if fault.on_key and len(loc) == end else (loc[:end], stand_in)
    return None


_SUBSTITUTES: dict[Loc, Plain] = {
    ("tools",): "deny",
    ("prompts",): "deny",
    ("resources",): "deny",
    ("methods",): "deny",
    ("forward", "headers"): "sub",
}

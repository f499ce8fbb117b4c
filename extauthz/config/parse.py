"""Plain values to typed settings. What is good is kept beside what is not.

A mistake in one place must not hide another elsewhere: what pydantic refuses is left
out, and the rest is still typed, so that the checks across settings can run on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from .faults import faults_of
from .issuer import IssuerSettings
from .model import Settings
from .problems import Fault, Loc
from .server import ServerSettings
from .yaml_source import Plain

_M = TypeVar("_M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What could be read. ``settings`` is whole only where ``faults`` is empty.

    ``issuers`` and ``servers`` come with their position in the file; an entry that could
    not be read at all is left out, and ``lost_issuers`` says that this happened.
    """

    settings: Settings
    issuers: tuple[tuple[int, IssuerSettings], ...]
    servers: tuple[tuple[int, ServerSettings], ...]
    faults: tuple[Fault, ...]
    lost_issuers: bool = False


def parse_settings(values: dict[str, Plain]) -> Parsed:
    """Type the settings; never raises for any plain values."""
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        return _salvage(values, tuple(faults_of(error, Settings)))
    return Parsed(
        settings, tuple(enumerate(settings.issuers)), tuple(enumerate(settings.servers)), ()
    )


def _salvage(values: dict[str, Plain], faults: tuple[Fault, ...]) -> Parsed:
    top: dict[str, Plain] = {**values, "version": 1, "issuers": (), "servers": ()}
    locs = [fault.loc for fault in faults]
    settings = _valid(Settings, top, [loc for loc in locs if loc[:1] not in _LISTS])
    if settings is None:
        settings = Settings(version=1, issuers=(), servers=())
    issuers = _valid_entries(IssuerSettings, "issuers", values, locs)
    servers = _valid_entries(ServerSettings, "servers", values, locs)
    given = values.get("issuers")
    lost = not isinstance(given, tuple) or len(issuers) < len(given)
    return Parsed(settings, issuers, servers, faults, lost)


_LISTS = (("issuers",), ("servers",))


def _valid_entries(
    model: type[_M], key: str, values: dict[str, Plain], locs: list[Loc]
) -> tuple[tuple[int, _M], ...]:
    entries = values.get(key)
    if not isinstance(entries, tuple):
        return ()
    found = []
    for index, entry in enumerate(entries):
        inside = [loc[2:] for loc in locs if loc[:2] == (key, index)]
        valid = _valid(model, entry, inside)
        if valid is not None:
            found.append((index, valid))
    return tuple(found)


def _valid(model: type[_M], value: Plain, bad: list[Loc]) -> _M | None:
    """The value without what is bad in it, or None where that leaves no whole."""
    try:
        return model.model_validate(_without(value, bad))
    except ValidationError:
        return None


def _without(value: Plain, bad: Iterable[Loc]) -> Plain:
    """A copy that lacks each bad value: its key, or that of the list or part it is in."""
    bad = [loc for loc in bad if loc]
    if not bad or not isinstance(value, dict):
        return value
    kept: dict[str, Plain] = {}
    for key, inner in value.items():
        inside = [loc[1:] for loc in bad if loc[0] == key]
        if not inside:
            kept[key] = inner
        elif isinstance(inner, dict) and all(
            loc and (len(loc) > 1 or loc[0] in inner) for loc in inside
        ):
            kept[key] = _without(inner, inside)
    return kept

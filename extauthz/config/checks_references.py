"""``servers[].issuers`` names issuers, and no ``iss`` may be meant twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .issuer import IssuerSettings
from .parse import Entry, Parsed
from .problems import Fault, Loc, quoted
from .server import ServerSettings

_Issuer = Entry[IssuerSettings]


def check_references(server: Entry[ServerSettings], at: Loc, parsed: Parsed) -> Iterator[Fault]:
    """What is wrong with the issuers that one server names."""
    here = (*at, "issuers")
    issuers = parsed.issuers
    references = server.settings.issuers
    if not references:
        if len(issuers) > 1 and not server.lacks("issuers"):
            what = (
                f'missing; with several issuers expected some of {_names(issuers)}, or "*" for all'
            )
            yield Fault(here, what)
        return
    chosen: dict[int, _Issuer] = {}
    for position, reference in enumerate(references):
        named = [issuer for issuer in issuers if issuer.name == reference]
        found = named or [issuer for issuer in issuers if _is_issuer(issuer, reference)]
        if reference == "*":
            found = list(issuers)
        elif not found and not _may_be_meant(parsed):
            what = f"{quoted(reference)} is no issuer of this file"
            yield Fault((*here, position), f"{what}; expected one of {_names(issuers)}")
        elif len(found) > 1 and not named:
            what = f"{quoted(reference)} means several issuers"
            yield Fault((*here, position), f"{what}; expected a name: {_names(found)}")
            continue
        chosen.update({issuer.index: issuer for issuer in found})
    yield from _claimed_twice(chosen.values(), here)


def _is_issuer(issuer: _Issuer, reference: str) -> bool:
    return issuer.settings.issuer == reference and not issuer.lacks("issuer")


def _may_be_meant(parsed: Parsed) -> bool:
    """Whether an issuer that could not be read may be the one that is named."""
    unknown = any(issuer.name is None or issuer.lacks("issuer") for issuer in parsed.issuers)
    return unknown or "issuers" in parsed.unread


def _names(issuers: Iterable[_Issuer]) -> str:
    return ", ".join(map(_name, issuers))


def _name(issuer: _Issuer) -> str:
    if issuer.name is None:
        return f"issuers[{issuer.index}]"
    return quoted(issuer.name) if issuer.lacks("name") else issuer.name


def _claimed_twice(issuers: Iterable[_Issuer], here: Loc) -> Iterator[Fault]:
    taken: dict[str, _Issuer] = {}
    for issuer in issuers:
        for value in sorted(issuer.settings.accepted) + sorted(issuer.settings.templates):
            other = taken.setdefault(value, issuer)
            if other is not issuer:
                what = f'"{_name(other)}" and "{_name(issuer)}" both accept iss "{value}"'
                yield Fault(here, f"{what}; expected only one of them for one server")

"""One line of the log, read back: what was asked, what was known of the caller, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from extauthz.core import strict_json
from extauthz.core.calls import KINDS, SOURCES
from extauthz.core.claims import ClaimPath, claim_path
from extauthz.core.model import Call, Reason
from extauthz.core.policy import AUDIENCE_CLAIM, SCOPE_CLAIMS
from extauthz.telemetry.counts import OUTCOMES

Value = str | int | float | bool | None | tuple[object, ...]
"""What a claim may hold in a line; an object is the empty tuple, which no condition equals."""

_OURS: Final = {"ts", "level", "msg"}
_REASONS: Final = frozenset(Reason)


class Unreadable(ValueError):
    """The line is not what ``serve`` writes. The message repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class Person:
    """A verified caller as the line tells of it; what it does not tell is None.

    ``claims`` are pairs of a path and what stood there, None where there was no such claim;
    ``cut`` are the paths of those that are not whole.
    """

    issuer: str
    client_id: str | None
    subject: str | None
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    audience_claim: ClaimPath = AUDIENCE_CLAIM
    scope_claims: tuple[ClaimPath, ...] = SCOPE_CLAIMS
    claims: tuple[tuple[ClaimPath, Value], ...] = ()
    cut: frozenset[ClaimPath] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One decision line. ``detail`` and all other texts are as they stand in the line.

    ``cut`` says that texts of the line were cut short; ``config`` is None in a line that was
    written before lines told enough. ``by_doctor`` is the client's own word.
    """

    outcome: str
    reason: Reason | None = None
    detail: str = ""
    server: str | None = None
    person: Person | None = None
    call: Call | None = None
    call_source: str | None = None
    mcp_version: str | None = None
    http_method: str | None = None
    host: str | None = None
    path: str | None = None
    origin: str | None = None
    named: str | None = None
    purpose: str | None = None
    without_credentials: bool = False
    config: str | None = None
    sample: float = 1.0
    cut: bool = False
    by_doctor: bool = False

    @property
    def had_access(self) -> bool:
        """Whether the request was let through."""
        return self.outcome in ("allow", "audit_deny", "public")


def read_record(line: bytes) -> Record | None:
    """The decision that a line tells of, None for a line of another event.

    What others write before lines, as a container's name or the time, is passed over.
    Raises Unreadable.
    """
    before, brace, rest = line.partition(b"{")
    try:
        members = strict_json.parse(brace + rest if brace else line)
    except strict_json.NotStrictJson as fault:
        raise Unreadable(str(fault)) from None
    if not isinstance(members, dict) or (before.strip() and not members.keys() >= _OURS):
        raise Unreadable("not a JSON object, or none of ours")
    if members.get("event") != "decision":
        return None
    line_of = _Members(members)
    outcome = line_of.text("decision")
    if outcome not in OUTCOMES:
        raise Unreadable("decision is none that there is")
    reason = line_of.text("reason")
    if reason is not None and reason not in _REASONS:
        raise Unreadable("reason is none that there is")
    source = line_of.text("call_source")
    if source is not None and source not in SOURCES:
        raise Unreadable("call_source is none that there is")
    sample = members.get("sample", 1.0)
    if isinstance(sample, bool) or not isinstance(sample, int | float) or not 0 <= sample <= 1:
        raise Unreadable("sample is not a share")
    return Record(
        outcome=outcome,
        reason=None if reason is None else Reason(reason),
        detail=line_of.text("detail") or "",
        server=line_of.text("server"),
        person=_person(line_of),
        call=_call(line_of),
        call_source=source,
        mcp_version=line_of.text("mcp_version"),
        http_method=line_of.text("http_method"),
        host=line_of.text("host"),
        path=line_of.text("path"),
        origin=line_of.text("origin"),
        named=line_of.text("named"),
        purpose=line_of.text("purpose"),
        without_credentials=line_of.text("credentials") == "none",
        config=line_of.text("config"),
        sample=float(sample),
        cut=members.get("cut") is True,
        by_doctor=line_of.text("agent") is not None,
    )


class _Members:
    """The members of a line, each of the type that it must have."""

    def __init__(self, members: Mapping[str, object]) -> None:
        self._members = members

    def text(self, name: str) -> str | None:
        value = self._members.get(name)
        if value is None or isinstance(value, str):
            return value
        raise Unreadable(f"{name} is not a text")

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._members.get(name, [])
        if isinstance(value, list) and all(isinstance(element, str) for element in value):
            return tuple(value)
        raise Unreadable(f"{name} is not a list of texts")

    def paths(self, name: str) -> tuple[ClaimPath, ...]:
        return tuple(map(_path, self.texts(name)))

    def claims(self) -> tuple[tuple[ClaimPath, Value], ...]:
        value = self._members.get("claims", {})
        if not isinstance(value, dict):
            raise Unreadable("claims is not an object")
        return tuple((_path(name), _frozen(inner)) for name, inner in value.items())


def _path(name: str) -> ClaimPath:
    try:
        return claim_path(name)
    except ValueError:
        raise Unreadable("a claim has a name that is none") from None


def _frozen(value: object) -> Value:
    if isinstance(value, list):
        return tuple(None if isinstance(one, list | dict) else one for one in value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return ()


def _person(line: _Members) -> Person | None:
    issuer = line.text("issuer")
    if issuer is None:
        return None
    audience = line.text("audience_claim")
    return Person(
        issuer,
        line.text("client_id"),
        line.text("subject"),
        line.texts("scopes"),
        line.texts("audience"),
        AUDIENCE_CLAIM if audience is None else _path(audience),
        line.paths("scope_claims") or SCOPE_CLAIMS,
        line.claims(),
        frozenset(line.paths("claims_cut")),
    )


def _call(line: _Members) -> Call | None:
    method = line.text("method")
    if method is None:
        return None
    names = [name for name in map(line.text, KINDS) if name is not None]
    if len(names) > 1:
        raise Unreadable("more than one of tool, prompt and resource")
    return Call(method, names[0] if names else None)

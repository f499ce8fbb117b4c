"""What a token says, and the proof that an issuer said it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .keyset import Key, KeySet
    from .model import Allow
    from .policy import Issuer


class TokenFacts(NamedTuple):
    """The well-formed claims of a token. By itself it proves nothing.

    Times are seconds since the epoch. ``scopes`` are as the token lists them. ``audiences`` are
    what it is judged by, ``aud`` is what its claim of that name says: the same, unless the
    issuer's ``audience_claim`` is another one.
    """

    issuer: Issuer
    issuer_value: str
    expires: float
    not_before: float | None
    issued_at: float | None
    audiences: tuple[str, ...]
    aud: tuple[str, ...]
    scopes: tuple[str, ...]
    subject: str | None
    client_id: str | None
    token_id: str | None
    tenant: str | None
    claims: Mapping[str, object]


@dataclass(slots=True)
class VerifiedToken:
    """Who is calling: facts, and the key that signed them.

    Only ``PlausibleToken.verify`` makes one, and the memory of those it made. Treated as
    immutable once built.
    """

    facts: TokenFacts
    key: Key


@dataclass(slots=True)
class Caller:
    """A verified token at work. ``key_set`` is the newest set in which its key was seen.

    ``issuer`` is the name of the token's issuer, and ``passes`` remembers what gates have built
    for this caller, by the gate's number. Of a thousand callers few are in the processor's caches:
    what a request reads of one is here, or one step away.
    """

    token: VerifiedToken
    key_set: KeySet | None
    issuer: str
    passes: dict[int, Pass] = field(default_factory=dict)
    _latest: Pass | None = None

    def at(self, gate: int) -> Pass | None:
        """What the gate of that number has built, if it is remembered."""
        told = self._latest
        if told is None or told.gate != gate:
            told = self._latest = self.passes.get(gate)
        return told


@dataclass(slots=True)
class Pass:
    """What one server makes of one caller, whatever the call. ``gate`` is its gate's number.

    ``granted`` are the scopes that count there. ``allow`` is the answer to a request with
    nothing particular about it. It holds from ``since`` on and ends with ``until``, seconds
    since the epoch. ``settled`` says that no rule depends on the call, and that the caller
    lacks nothing: then it is the answer to every such request.
    """

    gate: int
    granted: frozenset[str]
    allow: Allow
    since: float
    until: float
    settled: bool

"""What a token says, and the proof that an issuer said it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .keyset import Key
    from .model import Headers
    from .policy import Issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """The well-formed claims of a token. By itself it proves nothing.

    Times are seconds since the epoch. ``scopes`` are as the token lists them.
    """

    issuer: Issuer
    issuer_value: str
    expires: float
    not_before: float | None
    issued_at: float | None
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    subject: str | None
    client_id: str | None
    token_id: str | None
    tenant: str | None
    claims: Mapping[str, object]


@dataclass(slots=True)
class VerifiedToken:
    """Who is calling: facts, and the key that signed them.

    Only ``PlausibleToken.verify`` makes one. ``identity`` remembers, by server name, the
    identity headers already built for it.
    """

    facts: TokenFacts
    key: Key
    identity: dict[str, Headers] = field(default_factory=dict)

"""Tokens, good and bad, signed with keys that are made once for a run."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

from extauthz.demo.minting import SigningKey, compact

NOW: Final = 1_800_000_000.0
"""The time that tests without a clock of their own live in, seconds since the epoch."""

ISSUER: Final = "https://idp.example.com/realms/acme"
NOTES: Final = "https://mcp.example.com/notes/mcp"
CALCULATOR: Final = "https://mcp.example.com/calculator/mcp"

ABSENT: Final = object()
"""Takes a claim or a header away, where None would be a JSON null."""


def signer(algorithm: str = "ES256", kid: str | None = None) -> SigningKey:
    """The key of that algorithm and id, the same on every call."""
    return _generated(algorithm, kid or algorithm.lower())


@cache
def _generated(algorithm: str, kid: str) -> SigningKey:
    return SigningKey.generate(algorithm, kid=kid)


def renamed(key: SigningKey, kid: str) -> SigningKey:
    """The same key under another key id."""
    return replace(key, kid=kid)


def good_claims(now: float = NOW, **changes: object) -> dict[str, object]:
    """The claims of a token that the notes server takes, with changes."""
    claims: dict[str, object] = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": NOTES,
        "client_id": "inspector",
        "scope": "notes",
        "jti": "token-1",
        "iat": int(now) - 10,
        "exp": int(now) + 300,
    }
    return present(claims | changes)


def present(members: Mapping[str, object]) -> dict[str, object]:
    """The members that are not ABSENT."""
    return {name: value for name, value in members.items() if value is not ABSENT}


def mint(
    claims: Mapping[str, object] | bytes | None = None,
    *,
    key: SigningKey | None = None,
    header: Mapping[str, object] | bytes | None = None,
    sign: Callable[[bytes], bytes] | None = None,
    now: float = NOW,
) -> str:
    """A token. ``claims`` and ``header`` are changes to good ones, or raw bytes in their place.

    ``sign`` makes the signature; by default ``key`` does, whatever the header says.
    """
    key = key or signer()
    if not isinstance(claims, bytes):
        claims = good_claims(now, **(claims or {}))
    if not isinstance(header, bytes):
        header = present({"alg": key.alg, "kid": key.kid, "typ": "at+jwt", **(header or {})})
    return compact(header, claims, sign or key.sign)


def b64(data: bytes | str) -> str:
    """base64url without padding."""
    return (
        base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data)
        .rstrip(b"=")
        .decode("ascii")
    )


def unb64(text: str) -> bytes:
    """The bytes of unpadded base64url."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def as_json(value: object) -> bytes:
    """Compact JSON, with whatever Python calls JSON (NaN, lone surrogates as escapes)."""
    return json.dumps(value, separators=(",", ":")).encode()


def with_member(claims: Mapping[str, object], name: str, literal: str | bytes) -> bytes:
    """JSON of ``claims`` with a further member whose value is ``literal`` as it stands."""
    text = literal.encode() if isinstance(literal, str) else literal
    rest = as_json({key: value for key, value in claims.items() if key != name})
    return rest[:-1] + b"," + as_json(name) + b":" + text + b"}"


def jwks(*keys: SigningKey | Mapping[str, Any]) -> dict[str, Any]:
    """A JWK set of these keys."""
    return {
        "keys": [key.public_jwk() if isinstance(key, SigningKey) else dict(key) for key in keys]
    }

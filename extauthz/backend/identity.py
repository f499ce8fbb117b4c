"""Identity headers back to who is calling (docs/contract.md, section 5)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote

NAMES = (
    "x-auth-subject",
    "x-auth-issuer",
    "x-auth-client-id",
    "x-auth-scopes",
    "x-auth-audience",
    "x-auth-token-id",
    "x-auth-issued-at",
    "x-auth-expires-at",
    "x-auth-server",
)


class AroundTheGateway(Exception):
    """The request did not come through the gateway, or not whole. The text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedUser:
    """The caller whose token the gateway verified.

    ``subject`` and ``issuer`` together name a user; ``client_id`` names the program that
    calls, and is the only name where a program calls for itself. ``claims`` holds the
    further headers of ``forward.headers`` as they came, by lower-case header name.
    """

    subject: str | None
    issuer: str
    audience: tuple[str, ...]
    client_id: str | None
    scopes: frozenset[str]
    issued_at: datetime | None
    expires_at: datetime | None
    token_id: str | None
    server: str
    claims: Mapping[str, str] = field(default_factory=dict)

    def has_scopes(self, *scopes: str) -> bool:
        """Whether all of ``scopes`` were granted, as the token lists them."""
        return self.scopes.issuperset(scopes)

    def claim(self, header: str) -> str | None:
        """A forwarded claim that is one text."""
        value = self.claims.get(header.lower())
        return None if value is None else unquote(value)

    def claim_list(self, header: str) -> tuple[str, ...]:
        """A forwarded claim that is an array of texts (``encode: text``)."""
        value = self.claims.get(header.lower())
        return () if value is None else tuple(map(unquote, value.split(",")))

    def claim_json(self, header: str) -> object:
        """A forwarded claim of ``encode: json`` or ``base64json``, None if absent.

        Raises ValueError when it is neither.
        """
        value = self.claims.get(header.lower())
        if value is None:
            return None
        try:
            return json.loads(base64.b64decode(value, validate=True))
        except (ValueError, binascii.Error):
            return json.loads(value)


def read_identity(
    headers: Iterable[tuple[str, str]],
    *,
    server: str | None = None,
    claims: Iterable[str] = (),
) -> AuthenticatedUser | None:
    """Who is calling, by the headers of one request; None on a public path.

    ``headers`` are all header lines, in any case. ``server`` is this server's name in the
    gateway's file; when given, identity meant for another server is refused. ``claims``
    names the headers of ``forward.headers``. An empty header counts as absent, but a second
    one of its name is one too many. Raises AroundTheGateway when identity is missing, doubled,
    announced as a trailer, or not the gateway's.
    """
    wanted = {*NAMES, *(name.lower() for name in claims)}
    found: dict[str, str] = {}
    for line_name, value in headers:
        name = line_name.lower()
        if name in wanted:
            if name in found:
                raise AroundTheGateway(f"the header {name} occurs twice")
            found[name] = value
        elif name == "trailer" and not wanted.isdisjoint(_listed(value)):
            raise AroundTheGateway("identity is announced as a trailer: the client makes it up")
    found = {name: value for name, value in found.items() if value}
    named = _text(found, "x-auth-server")
    if named is None:
        raise AroundTheGateway("the header x-auth-server is missing: nobody vouches for this")
    if server is not None and named != server:
        raise AroundTheGateway("the identity is meant for another server")
    issuer = _text(found, "x-auth-issuer")
    if issuer is None:
        return None
    return AuthenticatedUser(
        subject=_text(found, "x-auth-subject"),
        issuer=issuer,
        audience=_texts(found, "x-auth-audience"),
        client_id=_text(found, "x-auth-client-id"),
        scopes=frozenset(_texts(found, "x-auth-scopes")),
        issued_at=_time(found, "x-auth-issued-at"),
        expires_at=_time(found, "x-auth-expires-at"),
        token_id=_text(found, "x-auth-token-id"),
        server=named,
        claims={name: value for name, value in found.items() if name not in NAMES},
    )


def _listed(value: str) -> Iterator[str]:
    return (name.strip().lower() for name in value.split(","))


def _text(found: Mapping[str, str], name: str) -> str | None:
    value = found.get(name)
    return unquote(value) if value else None


def _texts(found: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(unquote(part) for part in found.get(name, "").split(" ") if part)


def _time(found: Mapping[str, str], name: str) -> datetime | None:
    value = found.get(name)
    if value is None:
        return None
    try:
        return datetime.fromtimestamp(int(value), UTC)
    except (ValueError, OverflowError, OSError):
        raise AroundTheGateway(f"the header {name} is not a time") from None

"""For tests of servers behind the gateway: the headers it would send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote

_VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")


def identity_headers(
    *,
    server: str,
    subject: str | None = "test-user",
    issuer: str | None = "https://issuer.test",
    client_id: str | None = "test-client",
    scopes: Iterable[str] = (),
    audience: Iterable[str] = (),
    token_id: str | None = None,
    issued_at: int | None = None,
    expires_at: int | None = None,
    claims: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Request headers as the gateway sends them for a verified caller.

    ``issuer=None`` gives those of a public path. ``claims`` are further headers as they are.
    """
    if issuer is None:
        return {"x-auth-server": quote(server, safe=_VISIBLE)}
    values = {
        "x-auth-subject": subject and quote(subject, safe=_VISIBLE + " "),
        "x-auth-issuer": quote(issuer, safe=_VISIBLE),
        "x-auth-client-id": client_id and quote(client_id, safe=_VISIBLE + " "),
        "x-auth-scopes": " ".join(quote(scope, safe=_VISIBLE) for scope in scopes),
        "x-auth-audience": " ".join(quote(one, safe=_VISIBLE) for one in audience),
        "x-auth-token-id": token_id and quote(token_id, safe=_VISIBLE),
        "x-auth-issued-at": None if issued_at is None else str(issued_at),
        "x-auth-expires-at": None if expires_at is None else str(expires_at),
        "x-auth-server": quote(server, safe=_VISIBLE),
        **(claims or {}),
    }
    return {name: value for name, value in values.items() if value}

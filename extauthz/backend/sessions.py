"""Tells the MCP SDK who is calling, so that nobody uses a session but the user who opened it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .identity import AuthenticatedUser

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


async def as_owner(
    app: Application, user: AuthenticatedUser, scope: Scope, receive: Receive, send: Send
) -> None:
    """Call ``app`` with ``user`` as the owner of the sessions that it opens, and of no other.

    The MCP SDK (from 1.27.2 on, and FastMCP on it) binds a session, and state that it hands to
    clients, to client, issuer and subject of ``scope["user"]``, which it would set itself if it
    saw a token. Where no SDK is in use, the scope stays as it is.
    """
    # Whoever serves by the SDK has imported this, and nobody else should wait for its import.
    if "mcp.server.auth.middleware.bearer_auth" not in sys.modules:
        await app(scope, receive, send)
        return
    from mcp.server.auth.middleware.auth_context import AuthContextMiddleware  # noqa: PLC0415
    from mcp.server.auth.middleware.bearer_auth import (  # noqa: PLC0415
        AuthenticatedUser as KnownToTheSDK,
    )
    from mcp.server.auth.provider import AccessToken  # noqa: PLC0415

    mark = _mark(user)
    token = AccessToken(
        token=mark,
        # Callers of whom the token tells nothing else would all be one owner.
        client_id=user.client_id or ("" if user.subject else mark),
        scopes=sorted(user.scopes),
        expires_at=int(user.expires_at.timestamp()) if user.expires_at else None,
        subject=user.subject,
        claims={"iss": user.issuer, "sub": user.subject} if user.subject else {"iss": user.issuer},
    )
    await AuthContextMiddleware(app)({**scope, "user": KnownToTheSDK(token)}, receive, send)


def _mark(user: AuthenticatedUser) -> str:
    """What stands for the token, which is not here: as different as what it says.

    FastMCP keeps answers by the text of the token, for one caller each.
    """
    said = (
        user.issuer,
        user.subject,
        user.client_id,
        user.audience,
        sorted(user.scopes),
        user.issued_at,
        user.expires_at,
        user.token_id,
        user.server,
        sorted(user.claims.items()),
    )
    return hashlib.sha256(repr(said).encode()).hexdigest()

"""ASGI middleware that refuses what did not come through the gateway."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from ipaddress import ip_address, ip_network
from typing import Any

from .identity import AroundTheGateway, AuthenticatedUser, read_identity

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

KEY = "extauthz.user"
LOOPBACK = ("127.0.0.0/8", "::1/128")


def user_of(scope: Scope) -> AuthenticatedUser | None:
    """The caller of a request that passed the middleware; None on a public path.

    Raises AroundTheGateway where the middleware is not installed.
    """
    if KEY not in scope:
        raise AroundTheGateway("extauthz.backend.IdentityMiddleware is not installed")
    user = scope[KEY]
    return user if isinstance(user, AuthenticatedUser) else None


class IdentityMiddleware:
    """Lets only requests of trusted proxies pass, and says in the scope who is calling.

    ``server`` is this server's name in the gateway's file. ``trusted_proxies`` are networks
    of the gateway; a peer on a Unix socket is always one. ``claims`` names the headers of
    ``forward.headers``. ``public`` lets public paths pass, which carry no identity.
    ``open_paths`` are exact paths that anyone may ask for directly, such as health checks.
    """

    def __init__(
        self,
        app: Application,
        *,
        server: str | None = None,
        trusted_proxies: Iterable[str] = LOOPBACK,
        claims: Iterable[str] = (),
        public: bool = False,
        open_paths: Iterable[str] = (),
    ) -> None:
        self._app = app
        self._server = server
        self._networks = tuple(map(ip_network, trusted_proxies))
        self._claims = tuple(claims)
        self._public = public
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 403."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if scope["path"] in self._open_paths:
            await self._app({**scope, KEY: None}, receive, send)
            return
        try:
            user = self._judge(scope)
        except AroundTheGateway as reason:
            await _refuse(scope, receive, send, str(reason))
            return
        await self._app({**scope, KEY: user}, receive, send)

    def _judge(self, scope: Scope) -> AuthenticatedUser | None:
        if not self._trusts(scope.get("client")):
            raise AroundTheGateway("the peer is not a trusted proxy")
        lines = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]]
        user = read_identity(lines, server=self._server, claims=self._claims)
        if user is None and not self._public:
            raise AroundTheGateway("the header x-auth-issuer is missing: no token was verified")
        return user

    def _trusts(self, client: tuple[str, int] | None) -> bool:
        if client is None:
            return True
        try:
            address = ip_address(client[0])
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)


async def _refuse(scope: Scope, receive: Receive, send: Send, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps({"error": "this server is reached through its gateway only", "why": why})
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode("ascii")})

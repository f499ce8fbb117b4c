"""ASGI middleware that refuses what did not come through the gateway."""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from .identity import AroundTheGateway, AuthenticatedUser, read_identity
from .sessions import Application, Receive, Scope, Send, as_owner

KEY = "extauthz.user"
LOOPBACK = ("127.0.0.0/8", "::1/128")
REWRITTEN = (
    "the web server takes the peer's address from X-Forwarded-For, which a client can write, so"
    " that nobody can be trusted by it. Switch that off: uvicorn --no-proxy-headers"
    " (proxy_headers=False); gunicorn: a uvicorn worker with proxy_headers False in its"
    " CONFIG_KWARGS; hypercorn: without ProxyFixMiddleware; daphne: without --proxy-headers"
)


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

    A session of an MCP SDK server is then its opener's alone.

    ``server`` is this server's name in the gateway's file. ``trusted_proxies`` are networks
    of the gateway; a peer on a Unix socket is always one. A web server that takes the peer
    from ``X-Forwarded-For``, as uvicorn does unless told otherwise, makes every answer 403.
    ``claims`` names the headers of ``forward.headers``. ``public`` lets public paths pass,
    which carry no identity. ``open_paths`` are exact paths that anyone may ask for directly,
    such as health checks.
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
        # A copy: a web server may add to its own list what comes after the body.
        scope = {**scope, "headers": list(scope["headers"])}
        try:
            user = self._judge(scope)
        except AroundTheGateway as reason:
            await _refuse(scope, receive, send, str(reason))
            return
        scope = {**scope, KEY: user}
        if user is None:
            await self._app(scope, receive, send)
        else:
            await as_owner(self._app, user, scope, receive, send)

    def _judge(self, scope: Scope) -> AuthenticatedUser | None:
        client: tuple[str, int] | None = scope.get("client")
        lines = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]]
        if client is not None:  # None on a Unix socket
            if _is_of_a_header(client, lines):
                raise AroundTheGateway(REWRITTEN)
            if not self._trusts(client[0]):
                raise AroundTheGateway(f"the peer {client[0]} is not a trusted proxy")
        user = read_identity(lines, server=self._server, claims=self._claims)
        if user is None and not self._public:
            raise AroundTheGateway("the header x-auth-issuer is missing: no token was verified")
        return user

    def _trusts(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)


def _is_of_a_header(client: tuple[str, int], lines: Iterable[tuple[str, str]]) -> bool:
    """Whether the web server put the word of a header in the place of the peer.

    Most that do so set port 0, which no peer has. uvicorn (0.54) takes a port from
    ``X-Forwarded-For: 10.0.0.1:1234``, daphne one from ``X-Forwarded-Port``.
    """
    host, port = client[0], client[1]
    if not port:
        return True
    for line_name, value in lines:
        name = line_name.lower()
        if name == "x-forwarded-port" and _number(value) == port:
            return True
        if name == "x-forwarded-for":
            for one in value.split(","):
                address, _, number = one.strip().rpartition(":")
                if address in (host, f"[{host}]") and _number(number) == port:
                    return True
    return False


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


async def _refuse(scope: Scope, receive: Receive, send: Send, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps({"error": "this server is reached through its gateway only", "why": why})
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode("ascii")})

"""What is answered in a server's place: metadata, redirects, fixed 404s and preflights.

RFC 9728 for the resource metadata, RFC 8414 section 3.1 for the redirects that serve
clients older than it, the Fetch standard for preflights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from .hosts import resource_host
from .matching import ServerIndex
from .model import Answer, Headers, Request
from .policy import HostPattern, Server

RESOURCE_METADATA: Final = "/.well-known/oauth-protected-resource"
AUTHORIZATION_SERVER: Final = "/.well-known/oauth-authorization-server"
OPENID_CONFIGURATION: Final = "/.well-known/openid-configuration"
LEGACY: Final = ("/register", "/authorize", "/token")
"""Where clients that find no metadata expect an authorization server (MCP 2025-03-26)."""

_EXPOSED: Final = "WWW-Authenticate, Mcp-Session-Id"
_ASKABLE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~, ]+")
_USUAL_HEADERS: Final = (
    "Authorization, Content-Type, Accept, Mcp-Protocol-Version, Mcp-Session-Id, "
    "Mcp-Method, Mcp-Name, Last-Event-ID"
)
_OPEN: Final[Headers] = (("access-control-allow-origin", "*"),)
_NOT_FOUND: Final = Answer(
    status=404,
    headers=(("content-type", "application/json"), ("cache-control", "no-store"), *_OPEN),
    body=b'{"error":"not_found"}',
)


def metadata_path(server: Server) -> str | None:
    """The path of the server's resource metadata (RFC 9728 section 3.1), if it has any."""
    if server.resource is None:
        return None
    return RESOURCE_METADATA + urlsplit(server.resource).path.rstrip("/")


def metadata_url(server: Server) -> str | None:
    """The URL that challenges name as ``resource_metadata``."""
    if server.resource is None:
        return None
    parts = urlsplit(server.resource)
    return f"{parts.scheme}://{parts.netloc}{metadata_path(server)}"


def resource_metadata(server: Server) -> bytes:
    """The metadata document of one server (RFC 9728 section 2), empty members left out."""
    document = {
        "resource": server.resource,
        "resource_name": server.title,
        "authorization_servers": advertised_issuers((server,)),
        "scopes_supported": server.scopes_supported,
        "bearer_methods_supported": ("header",),
    }
    return json.dumps({name: value for name, value in document.items() if value}).encode()


def advertised_issuers(servers: Iterable[Server]) -> tuple[str, ...]:
    """The issuers that servers advertise, each once, in order."""
    return tuple(
        dict.fromkeys(issuer.advertised for server in servers for issuer in server.issuers)
    )


class Documents:
    """Answers the well-known paths of every protected host."""

    def __init__(self, servers: tuple[Server, ...], index: ServerIndex) -> None:
        self._index = index
        self._by_resource_host: dict[HostPattern, dict[str, Server]] = {}
        for server in servers:
            if server.resource is not None:
                host = resource_host(server.resource)
                self._by_resource_host.setdefault(host, {})[server.name] = server
        self._metadata = {
            server.name: Answer(
                status=200,
                headers=(
                    ("content-type", "application/json"),
                    ("cache-control", "public, max-age=300"),
                    *_OPEN,
                ),
                body=resource_metadata(server),
                server=server.name,
            )
            for server in servers
            if server.resource is not None
        }

    @staticmethod
    def concerns(path: str) -> bool:
        """Whether a canonical path is one that no MCP server behind us answers."""
        return path in LEGACY or (
            path.startswith("/.well-known/o")
            and path.startswith((RESOURCE_METADATA, AUTHORIZATION_SERVER, OPENID_CONFIGURATION))
        )

    def answer(
        self, request: Request, host: str, port: int | None, path: str, named: Server | None
    ) -> Answer | None:
        """Answer a path that ``concerns`` us; None leaves it to the servers.

        ``named`` is the server that the proxy named: one more check on whose metadata
        may be given out.
        """
        answer = self._find(path, self._servers_on(host, port))
        if answer is None:
            return None
        if named is not None and answer.server not in (None, named.name):
            return None
        if answer.status != 404 and is_preflight(request):
            return _open_preflight(request)
        if request.method == "HEAD":
            return Answer(status=answer.status, headers=answer.headers, server=answer.server)
        if request.method not in ("GET", "OPTIONS"):
            return _NOT_FOUND
        return answer

    def _servers_on(self, host: str, port: int | None) -> tuple[Server, ...]:
        found = {server.name: server for server in self._index.on_host(host, port)}
        for pattern in (HostPattern(host, port), HostPattern(host)):
            found.update(self._by_resource_host.get(pattern, {}))
        return tuple(found.values())

    def _find(self, path: str, servers: tuple[Server, ...]) -> Answer | None:
        if path in LEGACY:
            return _NOT_FOUND if servers else None
        for root in (RESOURCE_METADATA, AUTHORIZATION_SERVER, OPENID_CONFIGURATION):
            if path == root or path.startswith(root + "/"):
                break
        else:
            return None
        if root == RESOURCE_METADATA:
            return self._resource_metadata(path.rstrip("/"), servers)
        issuers = advertised_issuers(servers)
        if path != root or len(issuers) != 1:
            return _NOT_FOUND
        return _redirect(root, issuers[0])

    def _resource_metadata(self, path: str, servers: tuple[Server, ...]) -> Answer:
        for server in servers:
            if metadata_path(server) == path:
                return self._metadata[server.name]
        if path == RESOURCE_METADATA and len(servers) == 1:
            return self._metadata.get(servers[0].name, _NOT_FOUND)
        return _NOT_FOUND


def _redirect(root: str, issuer: str) -> Answer:
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    location = origin + (root + path if root == AUTHORIZATION_SERVER else path + root)
    return Answer(
        status=307, headers=(("location", location), ("cache-control", "no-store"), *_OPEN)
    )


def is_preflight(request: Request) -> bool:
    """Whether a browser asks for leave to send the real request (Fetch, section 3.3.3)."""
    headers = request.headers
    return (
        request.method == "OPTIONS"
        and "origin" in headers
        and "access-control-request-method" in headers
    )


def _open_preflight(request: Request) -> Answer:
    return Answer(
        status=204,
        headers=(
            *_OPEN,
            ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
            ("access-control-allow-headers", _asked_headers(request)),
            ("access-control-max-age", "600"),
        ),
    )


def preflight(request: Request, server: Server, origin_allowed: bool) -> Answer:
    """The answer to a preflight: always 204, with leave only for an allowed origin."""
    headers: Headers = (("vary", "Origin"),)
    if origin_allowed:
        headers = (
            ("access-control-allow-origin", request.headers["origin"]),
            ("access-control-allow-methods", "GET, POST, DELETE, OPTIONS"),
            ("access-control-allow-headers", _asked_headers(request)),
            ("access-control-max-age", "600"),
            ("vary", "Origin, Access-Control-Request-Headers"),
        )
    return Answer(status=204, headers=headers, server=server.name)


def _asked_headers(request: Request) -> str:
    asked = request.headers.get("access-control-request-headers", "")
    return asked if len(asked) <= 1024 and _ASKABLE.fullmatch(asked) else _USUAL_HEADERS


def cors_headers(origin: str) -> Headers:
    """What lets a browser client of an allowed origin read an answer."""
    return (
        ("access-control-allow-origin", origin),
        ("vary", "Origin"),
        ("access-control-expose-headers", _EXPOSED),
    )

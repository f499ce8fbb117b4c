"""From host and path to a server, or to an answer or a refusal in its place."""

from __future__ import annotations

from dataclasses import dataclass

from .documents import Documents
from .gate import Gate
from .hosts import split_host
from .identity import Lookalikes, header_names
from .matching import ServerIndex
from .model import Answer, Reason, Refusal, Request, Trace
from .paths import canonical_path
from .policy import Server

_NO_SERVER = Refusal(Reason.NO_MATCHING_SERVER, "no server matches host and path")
_UNKNOWN_NAME = Refusal(Reason.NO_MATCHING_SERVER, "the proxy names a server we do not know")
_OUTSIDE = Refusal(Reason.NO_MATCHING_SERVER, "host and path are not the named server's")
_AMBIGUOUS = Refusal(Reason.AMBIGUOUS_PATH, "the path means different things to different servers")
_BAD_HOST = Refusal(Reason.MALFORMED_REQUEST, "the host is not one host")
_BAD_METHOD = Refusal(Reason.MALFORMED_REQUEST, "there is no HTTP method")

_MAX_REMEMBERED = 4096
_MAX_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Route:
    """The gate a request is for, and whether its path needs no token there."""

    gate: Gate
    public: bool


class Router:
    """Finds the gate of a request; ways that were found once are remembered."""

    def __init__(self, servers: tuple[Server, ...]) -> None:
        self._index = ServerIndex(servers)
        self._documents = Documents(servers, self._index)
        lookalikes = {names: Lookalikes(names) for names in map(header_names, servers)}
        self._gates = {
            server.name: Gate(server, lookalikes[header_names(server)]) for server in servers
        }
        # Paths alone, by host and name: of many, each key is one thing less to fetch from memory.
        self._ways: dict[tuple[str, str | None], dict[str, Route]] = {}
        self._remembered = 0

    def find(self, request: Request, trace: Trace | None = None) -> Route | Refusal | Answer:
        """Judge path and host, answer documents, and find the server (contract, sections 2, 4)."""
        where = (request.host, request.server)
        if trace is None and request.method:
            ways = self._ways.get(where)
            route = None if ways is None else ways.get(request.target)
            if route is not None:
                return route
        found = self._find(request, trace)
        if isinstance(found, Route) and len(request.host) + len(request.target) <= _MAX_LENGTH:
            if self._remembered >= _MAX_REMEMBERED:
                self._ways.clear()
                self._remembered = 0
            self._ways.setdefault(where, {})[request.target] = found
            self._remembered += 1
        return found

    def _find(self, request: Request, trace: Trace | None) -> Route | Refusal | Answer:
        path = canonical_path(request.target)
        if trace:
            trace.add("path", "one meaning only", path or "ambiguous", path is not None)
        if path is None:
            return _AMBIGUOUS
        if not request.method:
            return _BAD_METHOD
        where = split_host(request.host)
        if where is None:
            return _BAD_HOST
        host, port = where
        named = None
        if request.server is not None:
            named = self._index.named(request.server)
            if named is None:
                return _UNKNOWN_NAME
        if self._documents.concerns(path):
            answer = self._documents.answer(request, host, port, path, named)
            if answer is not None:
                return answer
        server = self._matching(host, port, path, named)
        if trace:
            found = server.detail if isinstance(server, Refusal) else server.name
            trace.add("server", "one that matches host and path", found, isinstance(server, Server))
        if isinstance(server, Refusal):
            return server
        public = path in server.public_exact or path.startswith(server.public_prefixes)
        if trace and public:
            trace.add("public path", "no token needed", path, True)
        return Route(self._gates[server.name], public)

    def _matching(
        self, host: str, port: int | None, path: str, named: Server | None
    ) -> Server | Refusal:
        server = self._index.find(host, port, path)
        if named is None:
            return server or _NO_SERVER
        # Found as if nobody had named it: within one server's match there may lie another's.
        return named if server is named else _OUTSIDE

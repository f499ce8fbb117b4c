"""Which server a request is for: by host, then by the longest path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .policy import HostPattern, Server

_ByPath = dict[str, Server]


class ServerIndex:
    """Finds a server in a time that does not grow with how many there are.

    An exact host beats a wildcard, a longer wildcard a shorter one, a named port an
    unnamed one; within a host the longer path wins.
    """

    def __init__(self, servers: Iterable[Server]) -> None:
        self._by_host: dict[HostPattern, _ByPath] = {}
        self._by_name: dict[str, Server] = {}
        self._longest = 0
        for server in servers:
            self._by_name[server.name] = server
            for pattern in server.hosts:
                by_path = self._by_host.setdefault(pattern, {})
                for path in server.paths:
                    by_path[path] = server
                    self._longest = max(self._longest, len(path))

    def named(self, name: str) -> Server | None:
        """The server of that name."""
        return self._by_name.get(name)

    def find(self, host: str, port: int | None, path: str) -> Server | None:
        """The server for a canonical host and path."""
        if len(path) > self._longest:
            # No longer prefix can match, and shortening one border by border would cost the
            # square of its length.
            path = path[: path.rindex("/", 0, self._longest + 1)]
        for by_path in self._candidates(host, port):
            prefix = path
            while True:
                server = by_path.get(prefix)
                if server is not None:
                    return server
                if not prefix:
                    break
                prefix = prefix[: prefix.rindex("/")]
        return None

    def on_host(self, host: str, port: int | None) -> tuple[Server, ...]:
        """Every server that this host may reach, each once."""
        found = {
            server.name: server
            for by_path in self._candidates(host, port)
            for server in by_path.values()
        }
        return tuple(found.values())

    def _candidates(self, host: str, port: int | None) -> Iterator[_ByPath]:
        for pattern in patterns_of(host):
            if port is not None and (by_path := self._by_host.get(HostPattern(pattern, port))):
                yield by_path
            if by_path := self._by_host.get(HostPattern(pattern)):
                yield by_path


def patterns_of(host: str) -> Iterator[str]:
    """Every pattern that a canonical host matches, the most exact first."""
    yield host
    dot = host.find(".")
    while dot >= 0:
        yield "*" + host[dot:]
        dot = host.find(".", dot + 1)
    yield "*"

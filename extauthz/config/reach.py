"""Whether a server gets the requests that clients send to its own resource."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from extauthz.core.hosts import split_host
from extauthz.core.matching import ServerIndex
from extauthz.core.policy import Server

from .problems import Fault
from .server import ServerSettings
from .values import shown


def out_of_reach(servers: Iterable[ServerSettings]) -> Iterator[Fault]:
    """A warning for each server whose own resource another server matches, or none.

    Hosts and paths have to come to this service as clients send them, so no proxy mends it.
    """
    matched = [(one, _matched(one)) for one in servers]
    index = ServerIndex(server for _, server in matched)
    for position, (settings, server) in enumerate(matched):
        found = _at(index, settings.resource)
        if found is server:
            continue
        own = f"the server's own resource {shown(settings.resource)}"
        to = found.name if found else "nobody (no_matching_server)"
        if _at(ServerIndex([server]), settings.resource) is None:
            what = f"does not cover {own}: requests for it go to {to}"
        else:
            what = f"requests for {own} go to {to}, which matches them more exactly"
        parts = urlsplit(settings.resource)
        what += f"; name {parts.netloc} in match.hosts and {parts.path or '/'} in match.paths"
        given = settings.match.hosts or settings.match.paths
        yield Fault(("servers", position, "match" if given else "resource"), what)


def _matched(settings: ServerSettings) -> Server:
    """As much of a server as requests are matched by."""
    return Server(
        name=settings.name,
        resource=settings.resource,
        hosts=settings.hosts,
        paths=settings.paths,
        issuers=(),
        audiences=frozenset(),
    )


def _at(index: ServerIndex, resource: str) -> Server | None:
    """The server that requests for a resource go to, with the Host header that clients send."""
    where = split_host(urlsplit(resource).netloc)
    return None if where is None else index.find(*where, urlsplit(resource).path or "/")

"""Which audited server a request is for, where the answer does not say it.

Proxies that go by the name in the answer hear none when an audited server would have refused:
identity headers are sent for verified tokens only. Such a request may go to an audited
server and to no other; which of several, host and path decide, and nothing else is at stake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from .artefacts import CannotWrite
from .plan import Plan, Site

_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./~-]*")
_Text = TypeVar("_Text")


def audited_matches(
    plan: Plan, match: Callable[[tuple[str, ...], tuple[str, ...]], _Text]
) -> Iterator[tuple[Site, _Text]]:
    """Each audited server with what ``match`` makes of hosts and paths; none if it is the only one.

    Raises CannotWrite where they would have to be told apart by ports, wildcards or odd paths.
    """
    audited = [site for site in plan.sites if site.server.audit]
    if len(audited) == 1:
        yield audited[0], match((), ())
        return
    routes = [
        (site, host, path)
        for site in audited
        for host in site.server.hosts
        for path in site.server.paths
    ]
    for site, host, path in sorted(routes, key=lambda one: (one[1].host == "*", -len(one[2]))):
        wildcard = host.host.startswith("*.") or host.host.startswith("[")
        if host.port is not None or wildcard or not _PLAIN_PATH.fullmatch(path):
            raise CannotWrite(
                f"server {site.name}: several servers are audited, and this proxy cannot tell "
                "them apart by a port, a wildcard or an odd path; audit one at a time, or use Envoy"
            )
        hosts = () if host.host == "*" else (host.host,)
        yield site, match(hosts, (path,) if path else ())

"""How many files and connections this process may have open."""

from __future__ import annotations

import contextlib
import resource


def allow_all() -> None:
    """As many as the system lets us have; processes that are started from here inherit it.

    systemd, and with it containers, begin at 1,024 and leave it to each program to ask for more,
    for the sake of those that use select(2). A proxy's connection over gRPC takes three.
    """
    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

"""``python -m extauthz.service DESCRIPTOR`` is one of several processes that serve: ``worker``."""

from __future__ import annotations

import signal
import sys

from .garbage import begin_start


def _main() -> int:
    begin_start()
    # A terminal, or whoever ends a whole group, sends these to all its processes; only the
    # supervisor acts on them. A worker ends when told, and when its supervisor has ended.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    from .worker import main  # noqa: PLC0415  its imports are most of the start

    return main(int(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(_main())

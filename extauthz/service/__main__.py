"""``python -m extauthz.service CHANNEL STACK``, with two descriptors, serves: ``worker``."""

from __future__ import annotations

import signal
import sys

from .garbage import begin_start
from .stack import tell_when_asked


def _main() -> int:
    begin_start()
    # A terminal, or whoever ends a whole group, sends these to all its processes; only the
    # supervisor acts on them. A worker ends when told, and when its supervisor has ended.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    channel, stack = map(int, sys.argv[1:])
    tell_when_asked(stack)
    from .worker import main  # noqa: PLC0415  its imports are most of the start

    return main(channel)


if __name__ == "__main__":
    sys.exit(_main())

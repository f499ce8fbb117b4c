"""Calls that a client gives up, told to the server a moment later (RFC 9113, section 6.4).

A server whose HTTP/2 is that of Rust's ``h2`` takes a few calls that are given up before it has
looked at them for an attack, and ends the connection. But a proxy's connection is that of all its
clients, and any of them may hang up. A moment later the call is known, and mostly answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class LateResets:
    """Keeps frames back for ``delay`` seconds. ``now`` is of any clock that only goes forward."""

    __slots__ = ("_delay", "_kept")

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._kept: deque[tuple[float, bytes]] = deque()

    def __bool__(self) -> bool:
        """Whether some are kept."""
        return bool(self._kept)

    def keep(self, data: bytes, places: Sequence[tuple[int, int]], now: float) -> bytes:
        """What is left of ``data`` without the frames at ``places`` (from, to), which are kept."""
        left, at = [], 0
        for start, end in places:
            left.append(data[at:start])
            self._kept.append((now + self._delay, data[start:end]))
            at = end
        return b"".join((*left, data[at:]))

    def due(self, now: float) -> bytes:
        """Those that were kept long enough."""
        found: list[bytes] = []
        while self._kept and self._kept[0][0] <= now:
            found.append(self._kept.popleft()[1])
        return b"".join(found)

"""What clients of HTTP/2 have begun to send and not ended, where a server behind us keeps it."""

from __future__ import annotations

from math import inf
from typing import Final

from .http2_frames import DATA, END_STREAM, HEADERS, RST_STREAM

SECONDS: Final = 10.0
"""In which a message has to come to its end."""


class Held:
    """Octets of messages that the server keeps, of all clients."""

    __slots__ = ("octets",)

    def __init__(self) -> None:
        self.octets = 0


class Messages:
    """Those of one client that have not come to their end; ``of_all`` counts them too.

    Of one that has more than ``longest`` octets the server keeps nothing: it has refused it.
    """

    __slots__ = ("_begun", "_longest", "_of_all", "held")

    def __init__(self, longest: int, of_all: Held) -> None:
        self.held = 0
        """Octets of them that the server keeps."""
        self._longest = longest
        self._of_all = of_all
        self._begun: dict[int, tuple[float, int]] = {}

    def see(self, kind: int, flags: int, number: int, length: int, now: float) -> None:
        """Take note of a frame on the stream of that number."""
        if kind == DATA and not flags & END_STREAM:
            self._go_on(number, length, now)
        elif self._begun and (
            kind == RST_STREAM or (flags & END_STREAM and kind in (DATA, HEADERS))
        ):
            self._count(-self._begun.pop(number, (now, 0))[1])

    def overdue(self, now: float) -> bool:
        """Whether one of them takes too long."""
        return any(now - since >= SECONDS for since, _ in self._begun.values())

    def forget(self) -> None:
        """Take note that the server keeps none of them any more."""
        self._begun.clear()
        self._count(-self.held)

    def _go_on(self, number: int, length: int, now: float) -> None:
        since, size = self._begun.get(number, (now, 0))
        if since == inf:
            return
        if size + length > self._longest:
            self._begun[number] = inf, 0
            self._count(-size)
        else:
            self._begun[number] = since, size + length
            self._count(length)

    def _count(self, octets: int) -> None:
        self.held += octets
        self._of_all.octets += octets

"""What a client sends over HTTP/2, counted: frames that ask for nothing are rationed.

Such frames are cheap to send and dear to take in, and are what the floods of RFC 9113, section
10.5, are made of. Only the heads of frames are looked at. What they mean, and whether they may
come, is for the server.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD: Final = 9
"""Octets before the payload of a frame."""
SETTING: Final = Struct(">HI")
"""One of those that SETTINGS brings: which, and its value."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
WITH_PRIORITY: Final = 0x20

_ANSWER: Final = bytes([HEADERS])
_SMALL: Final = 256
_LEAST: Final = 4096
_PER_ANSWER: Final = 200


class _Ration:
    """How many more may come: more for each request, a few each second, and never many at once."""

    __slots__ = ("_at", "_full", "_left", "_per_request", "_per_second", "_requests")

    def __init__(
        self, now: float, *, first: int, full: int, per_request: int, per_second: int
    ) -> None:
        self._left: float = first
        self._full = full
        self._per_request = per_request
        self._per_second = per_second
        self._requests = 0
        self._at = now

    def take(self, amount: int, requests: int, now: float) -> bool:
        by_requests = (requests - self._requests) * self._per_request
        by_time = (now - self._at) * self._per_second
        self._left = min(self._full, self._left + by_requests + by_time) - amount
        self._requests, self._at = requests, now
        return self._left >= 0


class FrameRations:
    """What one client may still send. ``now`` is in seconds, of any clock that only goes forward.

    A block of headers may take ``block_bytes``, where a frame counts for 4 KiB at least.
    """

    __slots__ = ("_answers", "_block_bytes", "_ends", "_others", "_requests", "_resets", "block")

    def __init__(self, now: float, *, block_bytes: int) -> None:
        self.block: int | None = None
        """Octets so far of the headers that are under way, if any are."""
        self._block_bytes = block_bytes
        self._requests = 0
        self._ends = 0
        self._answers = 0
        # A client may give up many calls at once, but not each of those that it makes: unless it is
        # one that waits for answers, too. Whoever hangs up on a proxy makes it give up a call, on
        # the connection of everybody else.
        self._resets = _Ration(now, first=50, full=4096, per_request=1, per_second=10)
        # Clients measure the way to us by PING, and tell by WINDOW_UPDATE what they have read.
        self._others = _Ration(now, first=200, full=2000, per_request=8, per_second=10)

    def answered(self) -> None:
        """Take note that the client was given an answer."""
        self._answers += 1

    def given_up(self, now: float) -> str | None:
        """Take a call that the client gives up, or makes us give up by a fault of its own."""
        earned = self._requests + self._answers * _PER_ANSWER
        return None if self._resets.take(2, earned, now) else "calls that were given up"

    def count(self, kind: int, flags: int, length: int, now: float) -> str | None:
        """Take one frame: what there is too much of, if anything."""
        if self.block is not None:
            self.block += max(length, _LEAST)
            if kind != CONTINUATION or self.block > self._block_bytes:
                return "headers without an end"
            if flags & END_HEADERS:
                self.block = None
        elif kind == DATA:
            if flags & END_STREAM and self._ends < self._requests:
                self._ends += 1
            elif flags & END_STREAM or length < _SMALL:
                return self._take_other(now)
        elif kind == HEADERS:
            self._requests += 1
            if not flags & END_HEADERS:
                self.block = length
        elif kind == RST_STREAM:
            return self.given_up(now)
        else:
            return self._take_other(now)
        return None

    def _take_other(self, now: float) -> str | None:
        if self._others.take(1, self._requests, now):
            return None
        return "frames that ask for nothing"


class FrameWatch:
    """Follows what one client sends to a server that is another's. Takes what FrameRations does.

    ``see`` is told of each frame: kind, flags, number of its stream, length, and when it came.
    """

    __slots__ = ("_awaited", "_part", "_rations", "_see", "_skip")

    def __init__(
        self,
        now: float,
        *,
        block_bytes: int,
        see: Callable[[int, int, int, int, float], None],
    ) -> None:
        self._see = see
        self._awaited = PREFACE
        self._part = b""
        self._skip = 0
        self._rations = FrameRations(now, block_bytes=block_bytes)

    @property
    def begun(self) -> bool:
        """Whether the client has said that it speaks HTTP/2 (section 3.4)."""
        return not self._awaited

    def read(self, data: bytes, now: float) -> str | None:
        """Follow the next octets; what there is too much of, if anything."""
        if self._awaited:
            preface = data[: len(self._awaited)]
            if not self._awaited.startswith(preface):
                return "what is not HTTP/2"
            self._awaited = self._awaited[len(preface) :]
            data = data[len(preface) :]
        if self._part:
            data = self._part + data
        count, see = self._rations.count, self._see
        at, size = self._skip, len(data)
        while size - at >= HEAD:
            length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            kind, flags = data[at + 3], data[at + 4]
            excess = count(kind, flags, length, now)
            if excess is not None:
                return excess
            number = int.from_bytes(data[at + 5 : at + HEAD]) & 0x7FFFFFFF
            see(kind, flags, number, length, now)
            at += HEAD + length
        self._part, self._skip = (data[at:], 0) if at < size else (b"", at - size)
        return None

    def hear(self, data: bytes) -> None:
        """Take note of what the server says where that begins with an answer."""
        if data[3:4] == _ANSWER:
            self._rations.answered()

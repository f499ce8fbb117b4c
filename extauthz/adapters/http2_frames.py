"""What a client sends over HTTP/2, counted: frames that ask for nothing are rationed.

Such frames are cheap to send and dear to take in, and are what the floods of RFC 9113, section
10.5, are made of. Only the heads of frames are looked at. What they mean, and whether they may
come, is for the server behind.
"""

from __future__ import annotations

from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_HEAD: Final = 9
_DATA, _HEADERS, _RST_STREAM, _CONTINUATION = 0, 1, 3, 9
_END_STREAM, _END_HEADERS = 0x1, 0x4
_ANSWER: Final = bytes([_HEADERS])
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


class FrameWatch:
    """Follows what one client sends. ``now`` is in seconds, of any clock that only goes forward.

    A block of headers may take ``block_bytes``, where a frame counts for 4 KiB at least.
    """

    __slots__ = (
        "_answers",
        "_awaited",
        "_block",
        "_block_bytes",
        "_others",
        "_part",
        "_requests",
        "_resets",
        "_skip",
        "given_up",
    )

    def __init__(self, now: float, *, block_bytes: int) -> None:
        self._awaited = PREFACE
        self._part = b""
        self._skip = 0
        self._block: int | None = None
        self._block_bytes = block_bytes
        self._requests = 0
        self._answers = 0
        # A client may give up many calls at once, but not each of those that it makes: unless it is
        # one that waits for answers, too. Whoever hangs up on a proxy makes it give up a call, on
        # the connection of everybody else.
        self._resets = _Ration(now, first=50, full=4096, per_request=1, per_second=10)
        self.given_up: list[tuple[int, int]] = []
        """Where in the octets last read the frames stand that give up a call: from, to."""
        # Clients measure the way to us by PING, and tell by WINDOW_UPDATE what they have read.
        self._others = _Ration(now, first=200, full=2000, per_request=8, per_second=10)

    @property
    def begun(self) -> bool:
        """Whether the client has said that it speaks HTTP/2 (section 3.4)."""
        return not self._awaited

    def read(self, data: bytes, now: float) -> str | None:
        """Follow the next octets; what there is too much of, if anything."""
        before = 0
        self.given_up.clear()
        if self._awaited:
            preface = data[: len(self._awaited)]
            if not self._awaited.startswith(preface):
                return "what is not HTTP/2"
            self._awaited = self._awaited[len(preface) :]
            data = data[len(preface) :]
            before = len(preface)
        if self._part:
            data = self._part + data
            before -= len(self._part)
        at, size = self._skip, len(data)
        while size - at >= _HEAD:
            start = at
            length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            kind, flags = data[at + 3], data[at + 4]
            at += _HEAD + length
            if kind == _DATA and self._block is None and (length >= _SMALL or flags & _END_STREAM):
                continue
            excess = self._count(kind, flags, length, now)
            if excess is not None:
                return excess
            # One that came in parts is left where it is: its beginning may be on its way.
            if kind == _RST_STREAM and start + before >= 0 and at <= size:
                self.given_up.append((start + before, at + before))
        self._part, self._skip = (data[at:], 0) if at < size else (b"", at - size)
        return None

    @property
    def between_frames(self) -> bool:
        """Whether a frame of another's making could follow what was read."""
        return not (self._awaited or self._part or self._skip) and self._block is None

    def hear(self, data: bytes) -> None:
        """Take note of what the server says where that begins with an answer."""
        if data[3:4] == _ANSWER:
            self._answers += 1

    def _count(self, kind: int, flags: int, length: int, now: float) -> str | None:
        if self._block is not None:
            self._block += max(length, _LEAST)
            if kind != _CONTINUATION or self._block > self._block_bytes:
                return "headers without an end"
            if flags & _END_HEADERS:
                self._block = None
        elif kind == _HEADERS:
            self._requests += 1
            if not flags & _END_HEADERS:
                self._block = length
        elif kind == _RST_STREAM:
            earned = self._requests + self._answers * _PER_ANSWER
            if not self._resets.take(2, earned, now):
                return "calls that were given up"
        elif not self._others.take(1, self._requests, now):
            return "frames that ask for nothing"
        return None

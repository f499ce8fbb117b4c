"""The frames of one client, read from the octets it sends (RFC 9113, sections 3.4, 4 and 6)."""

from __future__ import annotations

from typing import Final, Protocol

from .http2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    GOAWAY,
    HEAD,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    FrameRations,
)

NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED = 0x0, 0x1, 0x3, 0x5
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 0x6, 0x7, 0x8, 0x9

HIGHEST: Final = 2**31 - 1
"""The highest number of a stream, and the largest window."""

FRAME_BYTES: Final = 16_384
"""What a frame may bring, as long as nothing else is agreed upon."""

_MEASURES: Final = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
_OF_THE_CONNECTION: Final = frozenset({SETTINGS, PING, GOAWAY})


class Broken(Exception):
    """The client broke a rule that the connection cannot outlive; the error code says which."""

    def __init__(self, code: int) -> None:
        self.code = code


class Excess(Exception):
    """The client sends too much of what asks for nothing; its text says of what."""


class FrameHandler(Protocol):
    """Who is told of frames."""

    full: bool
    """Whether it wants no more, for now or for ever."""

    def data(self, number: int, flags: int, payload: bytes, size: int) -> None:
        """A part of a body; with its padding it measured ``size``."""

    def headers(self, number: int, flags: int, block: bytes) -> None:
        """A whole block of headers."""

    def control(self, kind: int, number: int, flags: int, payload: bytes) -> None:
        """Any other frame, of its kind's length and with a number where it needs one."""


class FrameReader:
    """Tells ``handler`` of frames. ``now`` and ``block_bytes`` are those of FrameRations."""

    __slots__ = ("_awaited", "_block", "_handler", "_part", "rations")

    def __init__(self, handler: FrameHandler, now: float, *, block_bytes: int) -> None:
        self._handler = handler
        self._awaited = PREFACE
        self._part = b""
        self._block: tuple[int, int, bytearray] | None = None
        self.rations = FrameRations(now, block_bytes=block_bytes)

    @property
    def begun(self) -> bool:
        """Whether the client has said that it speaks HTTP/2."""
        return not self._awaited

    def begin(self, data: bytes) -> bytes:
        """Read what a client says first; what follows it. Raises Excess where it is not that."""
        preface = data[: len(self._awaited)]
        if not self._awaited.startswith(preface):
            raise Excess("what is not HTTP/2")
        self._awaited = self._awaited[len(preface) :]
        return data[len(preface) :]

    def read(self, data: bytes, now: float) -> None:
        """Read on, or keep it while ``handler`` is full. Raises Broken and Excess."""
        if self._part:
            data = self._part + data
        handler, count = self._handler, self.rations.count
        at, size = 0, len(data)
        while size - at >= HEAD and not handler.full:
            length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            if length > FRAME_BYTES:
                raise Broken(FRAME_SIZE_ERROR)
            end = at + HEAD + length
            if end > size:
                break
            kind, flags = data[at + 3], data[at + 4]
            excess = count(kind, flags, length, now)
            if excess is not None:
                raise Excess(excess)
            number = int.from_bytes(data[at + 5 : at + HEAD]) & HIGHEST
            payload = data[at + HEAD : end]
            if kind == DATA:
                if flags & PADDED:
                    payload = _unpadded(payload)
                handler.data(number, flags, payload, length)
            elif kind == HEADERS:
                self._headers(number, flags, payload)
            elif kind == CONTINUATION:
                self._continuation(number, flags, payload)
            else:
                self._control(kind, number, flags, payload)
            at = end
        self._part = data[at:]

    def _headers(self, number: int, flags: int, payload: bytes) -> None:
        if flags & PADDED:
            payload = _unpadded(payload)
        if flags & WITH_PRIORITY:
            self._control(PRIORITY, number, 0, payload[:5])
            payload = payload[5:]
        if flags & END_HEADERS:
            self._handler.headers(number, flags, payload)
        else:
            self._block = number, flags, bytearray(payload)

    def _continuation(self, number: int, flags: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != number:
            raise Broken(PROTOCOL_ERROR)
        _, first, block = self._block
        block += payload
        if flags & END_HEADERS:
            self._block = None
            self._handler.headers(number, first, bytes(block))

    def _control(self, kind: int, number: int, flags: int, payload: bytes) -> None:
        if len(payload) != _MEASURES.get(kind, len(payload)):
            raise Broken(FRAME_SIZE_ERROR)
        if number if kind in _OF_THE_CONNECTION else kind == PRIORITY and not number:
            raise Broken(PROTOCOL_ERROR)
        self._handler.control(kind, number, flags, payload)


def _unpadded(payload: bytes) -> bytes:
    if not payload or payload[0] >= len(payload):
        raise Broken(PROTOCOL_ERROR)
    return payload[1 : len(payload) - payload[0]]

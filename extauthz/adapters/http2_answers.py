"""What a server says on one connection of HTTP/2, no faster than the client lets it (RFC 9113)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct
from typing import Any, Final

from .http2_frames import DATA, END_HEADERS, END_STREAM, HEADERS
from .http2_reader import FLOW_CONTROL_ERROR, FRAME_BYTES, HIGHEST, PROTOCOL_ERROR, Broken

frame_head: Final[Callable[[int, int, int], bytes]] = Struct(">IBI").pack
"""The head of a frame: its length shifted left by eight, or its kind; flags; number of stream."""

_END: Final = END_HEADERS | END_STREAM
_TABLE, _ENABLE_PUSH, _WINDOW, _FRAME = 1, 2, 4, 5
_FIRST_TABLE, _FIRST_WINDOW = 4096, 65_535
_NO_TABLE: Final = b"\x20"  # RFC 7541, section 6.3


class Stream:
    """One request and its answer. ``head`` is what the service made of the headers.

    ``length`` is that of the body, in octets, where the client has told it.
    ``body`` grows until it is ``whole``; ``since`` says when its headers came.
    """

    __slots__ = (
        "_answers", "body", "counted", "head", "length", "number", "pending", "since", "trailers",
        "whole", "window",
    )  # fmt: skip

    def __init__(
        self, answers: Answers, number: int, head: Any, length: int | None, since: float
    ) -> None:
        self._answers = answers
        self.number = number
        self.head = head
        self.length = length
        self.window = answers.stream_window
        self.body: bytes | bytearray = b""
        self.whole: bool
        self.counted = 0
        self.since = since
        self.pending = b""
        self.trailers: bytes | None = None

    def respond(self, head: bytes, data: bytes, trailers: bytes) -> None:
        """Answer with two blocks of headers and what is between them."""
        self._answers.respond(self, head, data, trailers)

    def begin(self, head: bytes) -> None:
        """Send the headers of an answer; ``send`` and ``finish`` follow."""
        self._answers.begin(self, head)

    def send(self, data: bytes) -> None:
        """Send a part of an answer."""
        self._answers.send(self, data)

    def finish(self, trailers: bytes) -> None:
        """End an answer, or be all of one, once what was sent before is on its way."""
        self._answers.finish(self, trailers)


class Answers:
    """Sends the answers of ``streams``, which are those that have none yet.

    ``ended`` is told of each that is done, ``write`` whenever there is something in ``out``.
    """

    def __init__(
        self,
        streams: dict[int, Stream],
        *,
        ended: Callable[[Stream], None],
        answered: Callable[[], None],
        write: Callable[[], None],
    ) -> None:
        self._streams = streams
        self._ended = ended
        self._answered = answered
        self._write = write
        self.out: list[bytes] = []
        self.window = _FIRST_WINDOW
        self.stream_window = _FIRST_WINDOW
        self.frame_bytes = FRAME_BYTES
        self._held: dict[int, Stream] = {}
        """Those that wait for the window of the connection, and not for their own."""
        self._table = _FIRST_TABLE
        self._shrunk = False

    def respond(self, stream: Stream, head: bytes, data: bytes, trailers: bytes) -> None:
        """As Stream says."""
        number, size = stream.number, len(data)
        if size > self.window or size > stream.window or size > self.frame_bytes or self._shrunk:
            self.begin(stream, head)
            self.send(stream, data)
            self.finish(stream, trailers)
        elif self._streams.get(number) is stream:
            self.window -= size
            self.out += (
                frame_head(len(head) << 8 | HEADERS, END_HEADERS, number), head,
                frame_head(size << 8 | DATA, 0, number), data,
                frame_head(len(trailers) << 8 | HEADERS, _END, number), trailers,
            )  # fmt: skip
            self._answered()
            self._ended(stream)
            self._write()

    def begin(self, stream: Stream, head: bytes) -> None:
        """As Stream says."""
        if self._streams.get(stream.number) is stream:
            self._answered()
            self._say_headers(stream, head, END_HEADERS)
            self._write()

    def send(self, stream: Stream, data: bytes) -> None:
        """As Stream says."""
        stream.pending += data
        self._push(stream)

    def finish(self, stream: Stream, trailers: bytes) -> None:
        """As Stream says."""
        stream.trailers = trailers
        self._push(stream)

    def settle(self, settings: Iterable[tuple[int, int]]) -> None:
        """Go by the settings of one frame of the client's (section 6.5.2). Raises Broken."""
        window = self.stream_window
        for name, value in settings:
            if name == _WINDOW:
                if value > HIGHEST:
                    raise Broken(FLOW_CONTROL_ERROR)
                window = value
            elif name == _TABLE:
                # We never use the table, but a client that has made it smaller waits for a word.
                self._shrunk = self._shrunk or value < self._table
                self._table = value
            elif name == _FRAME:
                if not FRAME_BYTES <= value < 1 << 24:
                    raise Broken(PROTOCOL_ERROR)
                self.frame_bytes = value
            elif name == _ENABLE_PUSH and value > 1:
                raise Broken(PROTOCOL_ERROR)
        if window != self.stream_window:
            self._set_windows(window)

    def raised(self, stream: Stream | None = None) -> None:
        """Go on with what was held back, of one stream or of all."""
        if stream is not None:
            self._push(stream)
            return
        # Each that is pushed is held no more, or has taken what was left of the window.
        while self._held and self.window > 0:
            self._push(next(iter(self._held.values())))

    def forget(self, stream: Stream) -> None:
        """Send no more of an answer."""
        self._held.pop(stream.number, None)

    def _set_windows(self, window: int) -> None:
        more, self.stream_window = window - self.stream_window, window
        waiting = []
        for stream in self._streams.values():
            raised = stream.window = stream.window + more
            if raised > HIGHEST:
                raise Broken(FLOW_CONTROL_ERROR)
            if raised > 0 and stream.pending:
                waiting.append(stream)
        for stream in waiting:
            self._push(stream)

    def _push(self, stream: Stream) -> None:
        number = stream.number
        if self._streams.get(number) is not stream:
            return
        while stream.pending:
            size = min(len(stream.pending), self.window, stream.window, self.frame_bytes)
            if size <= 0:
                if stream.window > 0:
                    self._held[number] = stream
                else:
                    self._held.pop(number, None)
                break
            part, stream.pending = stream.pending[:size], stream.pending[size:]
            self.window -= size
            stream.window -= size
            self.out += (frame_head(size << 8 | DATA, 0, number), part)
        else:
            self._held.pop(number, None)
            if stream.trailers is not None:
                self._say_headers(stream, stream.trailers, _END)
                self._ended(stream)
        self._write()

    def _say_headers(self, stream: Stream, block: bytes, flags: int) -> None:
        if self._shrunk:
            self._shrunk, block = False, _NO_TABLE + block
        self.out += (frame_head(len(block) << 8 | HEADERS, flags, stream.number), block)

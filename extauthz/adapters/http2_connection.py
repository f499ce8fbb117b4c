"""One connection of HTTP/2, as much of it as a server of gRPC needs (RFC 9113).

A request is told of when it is whole, and answered at once or later. No server push and no
priorities. A body may take all of its stream's window, so that only the connection's is ever
raised.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, cast

from .http2_answers import Answers, Stream, frame_head
from .http2_frames import (
    ACK,
    END_STREAM,
    GOAWAY,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTING,
    SETTINGS,
    WINDOW_UPDATE,
)
from .http2_headers import BrokenHeaders, HeaderReader, malformed
from .http2_reader import (
    CANCEL,
    COMPRESSION_ERROR,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    HIGHEST,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    Broken,
    Excess,
    FrameReader,
)
from .http2_service import Headers, Http2Service

_OUR_WINDOW: Final = 1 << 30
_RAISE_AT: Final = 1 << 20
_ANSWER: Final = 6  # parts that are written
_MANY_ANSWERS: Final = 64 * _ANSWER
_PROBE: Final = bytes(8)
_RESETS: Final = 100
_GOODBYE: Final = 1.0
_LOOK_EVERY: Final = 5.0


class Http2Connection(asyncio.Protocol):
    """A client's connection. Answers are given through the streams that ``service`` is told of."""

    def __init__(self, service: Http2Service, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._service = service
        limits = self._limits = service.http2_limits
        self._transport: asyncio.Transport
        self._heard = self._began = loop.time()
        self._age = service.age()
        self._reader = FrameReader(self, self._began, block_bytes=2 * limits.header_bytes)
        self._headers = HeaderReader(self._head_of, max_bytes=2 * limits.header_bytes)
        self._streams: dict[int, Stream] = {}
        self._answers = Answers(
            self._streams,
            ended=self._ended,
            answered=self._reader.rations.answered,
            write=self._write,
        )
        self._settled = False
        self._last, self._promised = 0, HIGHEST
        self._were_reset: deque[int] = deque(maxlen=_RESETS)
        self._to_raise = 0
        self._reading, self._enough = False, _ANSWER
        self._pinged: float | None = None
        self._retiring: float | None = None
        self._refusing = False
        self.closing = self.full = False
        self._looking: asyncio.TimerHandle | None = None

    # ---- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client to begin, unless there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        if transport.get_extra_info("sslcontext") is None:
            # Otherwise uvloop keeps what is written until everything that has come was seen to.
            # (Over TLS that would stop asyncio from reading before the handshake is over.)
            self._transport.set_write_buffer_limits(high=0)
        if not self._service.opened(self, self._began):
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Nobody waits for the answers any more."""
        self._close()
        for stream in tuple(self._streams.values()):
            self._give_up(stream)
        self._service.closed(self)

    def pause_writing(self) -> None:
        """Take no more from a client that does not take our answers."""
        self.full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on reading, first what has come already."""
        self.full = self.closing
        if not self._transport.is_closing():
            self._transport.resume_reading()
            if not self._reading:
                self.data_received(b"")

    def data_received(self, data: bytes) -> None:
        """Read the frames that are whole, and send what is answered at once."""
        if self.closing:
            return
        self._heard = self._loop.time()
        self._reading, self._enough = True, _ANSWER
        try:
            if not self._reader.begun:
                data = self._begin(data)
            self._reader.read(data, self._heard)
        except Broken as fault:
            self._end(fault.code)
        except BrokenHeaders:
            self._end(COMPRESSION_ERROR)
        except Excess as excess:
            self._service.cut(str(excess))
            self.abort()
        finally:
            self._reading = False
        self._write()

    # ---- called by the service

    def close(self) -> None:
        """End, once the client has what is on its way, or in a second."""
        if not self.closing:
            self._end(NO_ERROR)

    def abort(self) -> None:
        """End at once."""
        self._close()
        self._transport.abort()

    # ---- beginning, and coming to an end

    def _begin(self, data: bytes) -> bytes:
        rest = self._reader.begin(data)
        if self._reader.begun:
            self._say(SETTINGS, self._limits.settings())
            self._say(WINDOW_UPDATE, _OUR_WINDOW.to_bytes(4))
            self._service.begun(self)
            self._look()
        return rest

    def _look(self) -> None:
        """See now and then whether the client is still there, and what takes too long."""
        now, limits = self._loop.time(), self._limits
        if self._pinged is not None and self._heard < self._pinged:
            if now - self._pinged >= limits.keepalive_timeout:
                self.abort()
        elif now - self._heard >= limits.keepalive_interval:
            self._pinged = now
            self._say(PING, _PROBE)
        if self._retiring is None:
            if now - self._began >= self._age:
                # It may send calls before it reads this, and they count: until it answers PING.
                self._retiring = now
                self._say_goodbye(HIGHEST, NO_ERROR)
                self._say(PING, _PROBE)
        elif now - self._retiring >= limits.grace:
            self.close()
        for stream in tuple(self._streams.values()):
            if now - stream.since >= limits.request_seconds:
                if not stream.whole:
                    self._service.overdue(stream)
                elif stream.trailers is not None:
                    # Answered, but the client does not let us send it.
                    self._refuse(stream, CANCEL)
        self._write()
        if not self.closing:
            every = min(_LOOK_EVERY, limits.keepalive_interval, limits.keepalive_timeout)
            self._looking = self._loop.call_later(min(every, self._age, limits.grace), self._look)

    def _close(self) -> None:
        self.closing = self.full = True
        if self._looking is not None:
            self._looking.cancel()

    def _end(self, code: int) -> None:
        self._close()
        self._reading = False
        self._say_goodbye(self._last, code)
        self._write()
        self._transport.close()
        self._loop.call_later(_GOODBYE, self._transport.abort)

    def _ended(self, stream: Stream) -> None:
        """An answer is complete."""
        del self._streams[stream.number]
        if not stream.whole:
            self._uncount(stream)
            self._reset(stream.number, NO_ERROR)
        if self._refusing and not self._streams:
            self._end(NO_ERROR)

    def _give_up(self, stream: Stream) -> None:
        """Nobody waits for an answer any more."""
        del self._streams[stream.number]
        self._answers.forget(stream)
        self._uncount(stream)
        self._service.given_up(stream)

    def _refuse(self, stream: Stream, code: int) -> None:
        self._give_up(stream)
        self._reset(stream.number, code)

    # ---- writing

    def _write(self) -> None:
        out = self._answers.out
        if self._reading:
            if len(out) < self._enough:
                return
            # A proxy goes on with the first answer while the others are made, each time with as
            # many as before once more.
            self._enough = min(2 * self._enough, _MANY_ANSWERS)
        if out:
            if not self._transport.is_closing():
                self._transport.write(b"".join(out))
            out.clear()

    def _say(self, kind: int, payload: bytes, *, flags: int = 0, number: int = 0) -> None:
        self._answers.out += (frame_head(len(payload) << 8 | kind, flags, number), payload)

    def _say_goodbye(self, last: int, code: int) -> None:
        # Calls that were said not to be answered may have been made elsewhere (section 6.8).
        self._promised = min(self._promised, last)
        self._say(GOAWAY, self._promised.to_bytes(4) + code.to_bytes(4))

    def _reset(self, number: int, code: int) -> None:
        self._were_reset.append(number)
        self._say(RST_STREAM, code.to_bytes(4), number=number)

    # ---- told of by the reader

    def data(self, number: int, flags: int, payload: bytes, size: int) -> None:
        """As FrameHandler says."""
        self._to_raise += size
        if self._to_raise >= _RAISE_AT:
            self._say(WINDOW_UPDATE, self._to_raise.to_bytes(4))
            self._to_raise = 0
        stream = self._streams.get(number)
        if stream is None:
            self._must_be_known(number)
            # Answered before it was whole, or refused: what was on its way is no fault.
            self._reset(number, STREAM_CLOSED)
        elif stream.whole:
            raise Broken(STREAM_CLOSED)
        elif flags & END_STREAM and not stream.body:
            stream.body = payload
            self._complete(stream)
        else:
            self._gather(stream, payload, last=bool(flags & END_STREAM))

    def headers(self, number: int, flags: int, block: bytes) -> None:
        """As FrameHandler says."""
        if not number & 1 or not self._settled:
            raise Broken(PROTOCOL_ERROR)
        length, head = self._headers.read(block)
        if number <= self._last:
            self._trailers(number, flags)
            return
        self._last = number
        if head is None:
            self._reset(number, PROTOCOL_ERROR)
        elif self._refusing or len(self._streams) >= self._limits.streams:
            self._reset(number, REFUSED_STREAM)
        else:
            stream = Stream(self._answers, number, head, length, self._heard)
            self._streams[number] = stream
            stream.whole = bool(flags & END_STREAM)
            if stream.whole:
                self._complete(stream)

    def control(self, kind: int, number: int, flags: int, payload: bytes) -> None:
        """As FrameHandler says. Of a kind that is unknown nothing is asked (section 5.5)."""
        if kind == WINDOW_UPDATE:
            self._window_update(number, int.from_bytes(payload) & HIGHEST)
        elif kind == PING:
            self._ping(flags, payload)
        elif kind == RST_STREAM:
            self._must_be_known(number)
            stream = self._streams.get(number)
            if stream is not None:
                self._give_up(stream)
        elif kind == SETTINGS:
            self._settings(flags, payload)
        elif kind == PUSH_PROMISE or (
            kind == PRIORITY and int.from_bytes(payload[:4]) & HIGHEST == number
        ):
            raise Broken(PROTOCOL_ERROR)

    # ---- what they ask for

    def _head_of(self, headers: Headers) -> tuple[int | None, Any]:
        if malformed(headers):
            return None, None
        length = dict(headers).get(b"content-length")
        return None if length is None else int(length), self._service.read_head(headers)

    def _trailers(self, number: int, flags: int) -> None:
        """Headers of a request that was begun before: nothing in them counts."""
        stream = self._streams.get(number)
        if stream is None and number in self._were_reset:
            # They were on their way, and are the last that may be.
            self._were_reset.remove(number)
            return
        if stream is None or stream.whole:
            raise Broken(STREAM_CLOSED)
        if flags & END_STREAM:
            self._complete(stream)
        else:
            self._refuse(stream, PROTOCOL_ERROR)

    def _gather(self, stream: Stream, payload: bytes, *, last: bool) -> None:
        service, limits = self._service, self._limits
        stream.body = stream.body or bytearray()
        stream.body += payload
        stream.counted += len(payload)
        service.unfinished += len(payload)
        room = service.unfinished <= limits.unfinished_bytes
        if len(stream.body) > limits.body_bytes or not room:
            service.too_large(stream)
        elif last:
            self._complete(stream)

    def _complete(self, stream: Stream) -> None:
        stream.whole = True
        if stream.counted:
            self._uncount(stream)
        if stream.length is not None and stream.length != len(stream.body):
            self._refuse(stream, PROTOCOL_ERROR)
        else:
            self._service.requested(stream)

    def _uncount(self, stream: Stream) -> None:
        self._service.unfinished -= stream.counted
        stream.counted = 0

    def _settings(self, flags: int, payload: bytes) -> None:
        if flags & ACK and not self._settled:
            raise Broken(PROTOCOL_ERROR)
        if len(payload) % SETTING.size or (flags & ACK and payload):
            raise Broken(FRAME_SIZE_ERROR)
        if not flags & ACK:
            self._settled = True
            self._say(SETTINGS, b"", flags=ACK)
            self._answers.settle(SETTING.iter_unpack(payload))

    def _window_update(self, number: int, more: int) -> None:
        answers, fault = self._answers, FLOW_CONTROL_ERROR if more else PROTOCOL_ERROR
        if not number:
            answers.window += more
            if not more or answers.window > HIGHEST:
                raise Broken(fault)
            answers.raised()
            return
        self._must_be_known(number)
        stream = self._streams.get(number)
        if stream is not None:
            stream.window += more
            if more and stream.window <= HIGHEST:
                answers.raised(stream)
            else:
                self._refuse(stream, fault)
                excess = self._reader.rations.given_up(self._heard)
                if excess is not None:
                    raise Excess(excess)

    def _ping(self, flags: int, payload: bytes) -> None:
        if not flags & ACK:
            self._say(PING, payload, flags=ACK)
        elif self._retiring is not None and not self._refusing:
            self._refusing = True
            self._say_goodbye(self._last, NO_ERROR)
            if not self._streams:
                self._end(NO_ERROR)

    def _must_be_known(self, number: int) -> None:
        if not number & 1 or number > self._last:
            raise Broken(PROTOCOL_ERROR)

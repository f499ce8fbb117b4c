"""A connection of HTTP/2 in memory: a client by frames, a service that takes notes, a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from hpack import Encoder

from extauthz.adapters.http2_answers import Stream
from extauthz.adapters.http2_connection import Http2Connection
from extauthz.adapters.http2_frames import PREFACE
from extauthz.adapters.http2_service import Headers, Http2Limits

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)
END_STREAM = ACK = 1
END_HEADERS, PADDED, WITH_PRIORITY = 4, 8, 32

REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/check"),
    (":authority", "authz"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
LIMITS = Http2Limits(
    body_bytes=100_000,
    header_bytes=8000,
    streams=3,
    grace=30.0,
    keepalive_interval=60.0,
    keepalive_timeout=20.0,
    unfinished_bytes=150_000,
)


def frame(kind: int, flags: int = 0, number: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + number.to_bytes(4) + payload


def setting(name: int, value: int) -> bytes:
    return frame(SETTINGS, 0, 0, name.to_bytes(2) + value.to_bytes(4))


def raise_window(number: int, more: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, number, more.to_bytes(4))


@dataclass(frozen=True)
class Frame:
    """One that the server sent."""

    kind: int
    flags: int
    number: int
    payload: bytes

    @property
    def code(self) -> int:
        return int.from_bytes(self.payload[-4:])


def frames_in(data: bytes) -> Iterator[Frame]:
    while data:
        size = 9 + int.from_bytes(data[:3])
        yield Frame(data[3], data[4], int.from_bytes(data[5:9]), data[9:size])
        data = data[size:]


@dataclass
class Clock:
    """As much of an event loop as a connection looks at."""

    now: float = 100.0
    due: list[tuple[float, Callable[..., Any], Any]] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[..., Any], *arguments: Any) -> Any:
        entry = (self.now + delay, call, arguments)
        self.due.append(entry)
        clock = self

        class Handle:
            def cancel(self) -> None:
                if entry in clock.due:
                    clock.due.remove(entry)

        return Handle()

    def after(self, seconds: float) -> None:
        """Let time pass: so many seconds since the beginning."""
        then = 100.0 + seconds
        while self.due and (entry := min(self.due, key=lambda one: one[0]))[0] <= then:
            self.due.remove(entry)
            self.now = max(self.now, entry[0])
            entry[1](*entry[2])
        self.now = then


@dataclass
class Transport:
    """Takes down what is written."""

    written: bytearray = field(default_factory=bytearray)
    writes: list[bytes] = field(default_factory=list)
    closed: bool = False
    aborted: bool = False
    paused: bool = False
    high: int | None = None
    tls: object = None

    def get_extra_info(self, name: str) -> object:
        return self.tls if name == "sslcontext" else None

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def write(self, data: bytes) -> None:
        assert data
        assert not self.is_closing()
        self.written += data
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        assert not self.is_closing()
        self.paused = False


class Service:
    """Echoes, unless it is to wait: ``answer`` is what it does."""

    def __init__(self, limits: Http2Limits = LIMITS) -> None:
        self.http2_limits = limits
        self.unfinished = 0
        self.room = True
        self.connections: list[Any] = []
        self.told: list[tuple[str, int]] = []
        self.cuts: list[str] = []
        self.streams: list[Stream] = []
        self.answer: Callable[[Stream], None] = echo

    def age(self) -> float:
        return 1000.0

    def opened(self, connection: Any, now: float) -> bool:
        assert now == 100.0
        self.connections.append(connection)
        return self.room

    def begun(self, connection: Any) -> None:
        assert connection in self.connections
        self.told.append(("begun", 0))

    def closed(self, connection: Any) -> None:
        self.connections.remove(connection)
        self.told.append(("closed", 0))

    def cut(self, excess: str) -> None:
        self.cuts.append(excess)

    def read_head(self, headers: Headers) -> dict[bytes, bytes]:
        return dict(headers)

    def requested(self, stream: Stream) -> None:
        self.streams.append(stream)
        self.answer(stream)

    def too_large(self, stream: Stream) -> None:
        self.told.append(("too large", stream.number))
        stream.finish(REFUSED)

    def overdue(self, stream: Stream) -> None:
        self.told.append(("overdue", stream.number))
        stream.finish(REFUSED)

    def given_up(self, stream: Stream) -> None:
        self.told.append(("given up", stream.number))


HEAD, TRAILERS, REFUSED = b"\x88", b"\x00\x01a\x01b", b"\x88\x00\x01c\x01d"


def echo(stream: Stream) -> None:
    stream.respond(HEAD, bytes(stream.body), TRAILERS)


def wait(stream: Stream) -> None:
    """Leave it for later."""


class Client:
    """What a client sends and hears. It has sent its preface and settings already."""

    def __init__(
        self, service: Service | None = None, *, begin: bool = True, tls: object = None
    ) -> None:
        self.service = service or Service()
        self.clock = Clock()
        self.transport = Transport(tls=tls)
        self.connection = Http2Connection(self.service, cast(Any, self.clock))
        self.connection.connection_made(cast(Any, self.transport))
        self.encoder = Encoder()
        if begin:
            self.begun = self.send(PREFACE + frame(SETTINGS))

    def send(self, data: bytes) -> list[Frame]:
        """Send octets; the frames that come back."""
        before = len(self.transport.written)
        self.connection.data_received(data)
        return list(frames_in(bytes(self.transport.written[before:])))

    def heard(self) -> list[Frame]:
        """All the frames so far, but for the server's first words."""
        return list(frames_in(bytes(self.transport.written)))[3:]

    def request(
        self,
        number: int,
        body: bytes | None = b"",
        *more: tuple[str, str],
        flags: int = END_HEADERS,
        end: bool = True,
    ) -> bytes:
        """A request's frames; without a body the headers are all there is."""
        block = self.encoder.encode([*REQUEST, *more])
        if body is None:
            return frame(HEADERS, flags | (END_STREAM if end else 0), number, block)
        return frame(HEADERS, flags, number, block) + frame(DATA, int(end), number, body)

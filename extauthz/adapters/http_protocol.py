"""HTTP/1.1 on one connection: httptools reads, a handler answers, limits hold (RFC 9112)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, cast

import httptools

from .http_host import Host
from .http_message import HttpRequest, HttpResponse

_log = logging.getLogger(__name__)

_NEVER: Final = float("inf")
_BLANKS: Final = " \t"
_NONE: Final[frozenset[str]] = frozenset()
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LAST: Final = b"connection: close\r\n"
_END: Final = b"\r\n"
_NO_BODY: Final = b"content-length: 0\r\n"

_JSON: Final = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
_BAD_REQUEST: Final = HttpResponse.make(400, _JSON, b'{"error":"bad_request"}')
_TOO_LARGE: Final = HttpResponse.make(413, _JSON, b'{"error":"content_too_large"}')
_HEAD_TOO_LARGE: Final = HttpResponse.make(431, _JSON, b'{"error":"header_fields_too_large"}')
_FAILED: Final = HttpResponse.make(500, _JSON, b'{"error":"internal_error"}')


@dataclass(slots=True, eq=False)
class _Turn:
    """A request whose answer goes out after those before it."""

    headless: bool
    last: bool
    body_bytes: int = 0
    response: HttpResponse | None = None
    task: asyncio.Task[None] | None = None


_NAMES: Final[dict[bytes, str]] = {}
_MAX_NAMES: Final = 1024


def _name(raw: bytes) -> str:
    """A header's name in lower case; those seen first are remembered."""
    name = str(raw, "latin-1").lower()
    if len(_NAMES) < _MAX_NAMES and len(raw) <= 64:
        _NAMES[raw] = name
    return name


class HttpConnection(asyncio.Protocol):
    """One client's connection. Requests are answered in the order in which they came."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._limits = host.limits
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._peer: str | None = None
        self._turns: deque[_Turn] = deque()
        self._closing = False
        self._paused = False
        self._deadline = _NEVER
        # Of the request that is being read.
        self._reading = False
        self._raw: bytes | None = None
        self._in_head = True
        self._unread = 0
        self._fed = 0
        # Of what came with the end of the request before, how much may be of this one.
        self._uncounted = 0
        self._url = b""
        self._headers: dict[str, str] = {}
        self._repeated: set[str] | None = None
        # How many more header lines are taken as such; of trailers, none.
        self._lines_left = 0
        self._trailers_left = 0
        self._trailer_bytes = 0
        self._body: bytes | bytearray = b""
        # Of this body and of those that wait for an answer.
        self._held = 0
        self._method = ""
        self._last = False

    # ---- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        # On a Unix socket it is the name of a socket, if anything.
        self._peer = peer[0] if isinstance(peer, tuple) else None
        self._deadline = self._host.tick + self._limits.read_seconds
        if not self._host.opened(self):
            self._closing = True
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """End: nobody waits for the answers any more."""
        self._closing = True
        self._host.closed(self)
        self._let_go(self._held)
        for turn in self._turns:
            if turn.task is not None:
                turn.task.cancel()
        self._turns.clear()

    def data_received(self, data: bytes) -> None:
        """Read on; the parser's calls answer whatever is whole."""
        if self._closing:
            return
        self._raw = None if self._reading else data
        recall = self._host.recall
        if recall is not None and not (self._reading or self._turns or self._paused):
            known = recall(data, self._peer)
            if known is not None:
                self._send(known, headless=False, last=False)
                return
        self._fed = len(data)
        self._unread += self._fed
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Answered like any request; what follows is in a protocol that we do not speak.
            self.finish()
        except httptools.HttpParserError as fault:
            _log.debug("not an HTTP request: %s", type(fault).__name__)
            self._refuse(_BAD_REQUEST)
        else:
            if self._unread > self._limits.head_bytes:
                self._refuse_if_too_long()

    def pause_writing(self) -> None:
        """Take no requests from a client that does not take our answers."""
        self._paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on reading."""
        self._paused = False
        if self._transport is not None:
            self._transport.resume_reading()

    # ---- called by the parser

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._url = b""
        self._headers = {}
        self._repeated = None
        self._lines_left = self._limits.header_lines
        self._body = b""
        self._reading = True
        self._deadline = self._host.tick + self._limits.read_seconds

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line. The parser refuses control characters, obsolete folds and the like."""
        left = self._lines_left = self._lines_left - 1
        if left < 0:
            self._on_further_line(name, value)
            return
        key = _NAMES.get(name) or _name(name)
        text = str(value, "latin-1").strip(_BLANKS)
        headers = self._headers
        if key in headers:
            text = f"{headers[key]},{text}"
            if self._repeated is None:
                self._repeated = set()
            self._repeated.add(key)
        headers[key] = text

    def on_headers_complete(self) -> None:
        """The end of the head."""
        parser, limits = self._parser, self._limits
        if (
            self._unread + self._uncounted > limits.head_bytes
            and self._head_size() > limits.head_bytes
        ):
            self._refuse(_HEAD_TOO_LARGE)
            return
        self._in_head = False
        self._trailers_left, self._lines_left, self._trailer_bytes = self._lines_left, 0, 0
        self._method = parser.get_method().decode("ascii")
        self._last = (
            not parser.should_keep_alive()
            or parser.should_upgrade()
            or parser.get_http_version() != "1.1"
        )
        if "expect" in self._headers and not self._closing:
            self._write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._closing:
            return
        if not self._body:
            self._body = body
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += body
        host, limits, size = self._host, self._limits, len(self._body)
        self._held += len(body)
        host.bodies += len(body)
        if size > limits.body_bytes or (
            host.bodies > limits.bodies_bytes and size > limits.head_bytes
        ):
            self._let_go(size)
            self._body = b""
            self._refuse(_TOO_LARGE)

    def on_message_complete(self) -> None:
        """A request is whole: answer it, or have it answered in its turn."""
        self._reading, self._in_head = False, True
        self._unread, self._uncounted = 0, self._fed
        if self._closing:
            return
        if self._paused or len(self._turns) >= self._limits.unanswered:
            # It sent many requests at once, or does not read: those taken will have to do.
            self._let_go(len(self._body))
            self.finish()
            return
        self._deadline = _NEVER
        # Once only: more of what came may be the next request.
        raw, self._raw = self._raw, None
        if self._body or self._last or self._method == "HEAD" or "expect" in self._headers:
            raw = None
        request = HttpRequest(
            self._method,
            str(self._url, "latin-1"),
            self._headers,
            frozenset(self._repeated) if self._repeated else _NONE,
            self._peer,
            bytes(self._body),
            raw,
        )
        try:
            answer = self._host.handler(request)
        except Exception:  # noqa: BLE001  the client gets an answer all the same
            _log.exception("an HTTP request failed")
            answer = _FAILED
        headless = self._method == "HEAD"
        size = len(self._body)
        self._body = b""
        if not isinstance(answer, HttpResponse):
            turn = _Turn(headless, self._last, size)
            turn.task = asyncio.ensure_future(self._wait(turn, answer))
            self._turns.append(turn)
            return
        if size:
            self._let_go(size)
        if self._turns:
            self._turns.append(_Turn(headless, self._last, response=answer))
        else:
            self._send(answer, headless=headless, last=self._last)

    # ---- our own

    def finish(self) -> None:
        """Take no further request, and close once those taken are answered."""
        self._closing = True
        if not self._turns:
            self._close()

    def drain(self) -> None:
        """Close now if idle, else after the requests that are here or on their way."""
        if not self._reading:
            self.finish()

    def abort(self) -> None:
        """Close without another word."""
        if self._transport is not None:
            self._transport.abort()

    def end_if_overdue(self, now: float) -> None:
        """Close a connection whose client took too long."""
        if now > self._deadline:
            self._deadline = _NEVER
            self.abort()

    def _refuse_if_too_long(self) -> None:
        """Refuse a request that is not whole yet and has already had all the bytes it may have."""
        if self._in_head:
            self._refuse(_HEAD_TOO_LARGE)
        elif self._unread > self._limits.head_bytes + 2 * self._limits.body_bytes:
            self._refuse(_TOO_LARGE)

    def _on_further_line(self, name: bytes, value: bytes) -> None:
        """A line too many, or a trailer: no header, but it counts (RFC 9110 section 6.5.1)."""
        if self._closing:
            return
        if not self._in_head and self._trailers_left > 0:
            if self._trailer_bytes == 0:
                self._trailer_bytes = self._head_size()
            self._trailers_left -= 1
            self._trailer_bytes += len(name) + len(value) + 4
            if self._trailer_bytes <= self._limits.head_bytes:
                return
        self._refuse(_HEAD_TOO_LARGE)

    def _head_size(self) -> int:
        # What lines of one name share is counted once; the count of lines bounds the rest.
        lines = self._headers.items()
        return len(self._url) + sum(len(name) + len(value) + 4 for name, value in lines)

    async def _wait(self, turn: _Turn, answer: Awaitable[HttpResponse]) -> None:
        try:
            turn.response = await answer
        except Exception:  # noqa: BLE001  as above
            _log.exception("an HTTP request failed")
            turn.response = _FAILED
        self._let_go(turn.body_bytes)
        self._send_those_ready()

    def _let_go(self, size: int) -> None:
        # Where the connection is lost all has been let go.
        size = min(size, self._held)
        self._held -= size
        self._host.bodies -= size

    def _send_those_ready(self) -> None:
        while self._turns and self._turns[0].response is not None:
            turn = self._turns.popleft()
            if turn.response is not None:
                self._send(turn.response, headless=turn.headless, last=turn.last)

    def _refuse(self, response: HttpResponse) -> None:
        """Answer what is no request to answer, and end."""
        if self._closing:
            return
        self._closing = True
        self._turns.append(_Turn(headless=False, last=True, response=response))
        self._send_those_ready()

    def _send(self, response: HttpResponse, *, headless: bool, last: bool) -> None:
        host = self._host
        head, body = response.head, response.body
        if headless:
            # Nobody knows here how long the body would have been, had it been asked for.
            if not body:
                head = head.replace(_NO_BODY, b"")
            body = b""
        if last or ((host.draining or self._closing) and not self._turns):
            self._closing = True
            self._turns.clear()
            self._write(b"".join((head, host.date, _LAST, _END, body)))
            self._close()
            return
        self._write(b"".join((head, host.date, _END, body)))
        if not self._reading and not self._turns:
            self._deadline = host.tick + self._limits.idle_seconds

    def _close(self) -> None:
        # What is still to be sent is given time, but not for ever.
        self._deadline = self._host.tick + self._limits.idle_seconds
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is None:
            return
        if self._transport.is_closing():
            # The client has gone, and asyncio would warn of each answer that nobody takes.
            self._closing = True
        else:
            self._transport.write(data)

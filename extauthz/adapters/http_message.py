"""HTTP requests and responses between our server and whoever answers them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

HeaderLines = Sequence[tuple[bytes, bytes]]
"""Header lines in order, as they are sent."""

# RFC 9110 section 5.6.2 and 5.5.
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSAFE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(slots=True)
class HttpRequest:
    """One request, in text of one character a byte (Latin-1).

    ``target`` is the request target as it came. ``headers`` has lower-case names, and values
    without outer blanks and without control characters but tabs; lines of one name are joined
    by a comma, and ``repeated`` names those that came in several. ``peer`` is the address that
    the connection is from; None where that is not known, as on a Unix socket. ``raw`` is what came
    with it, where it has no body, nothing came before, and the connection lasts.
    """

    method: str
    target: str
    headers: dict[str, str]
    repeated: frozenset[str] = frozenset()
    peer: str | None = None
    body: bytes = b""
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole response. ``head`` is its beginning as sent, without the line that ends it."""

    status: int
    lines: HeaderLines
    body: bytes
    head: bytes

    @classmethod
    def make(cls, status: int, lines: HeaderLines, body: bytes = b"") -> HttpResponse:
        """Write a response down, with its content length.

        Raises ValueError for a header that would not arrive as the one it is.
        """
        if status != HTTPStatus.NO_CONTENT:
            lines = (*lines, (b"content-length", b"%d" % len(body)))
        for name, value in lines:
            if _NAME.fullmatch(name) is None or _UNSAFE.search(value):
                raise ValueError("a response header holds a character that it may not hold")
        phrase = HTTPStatus(status).phrase.encode("ascii")
        head = b"HTTP/1.1 %d %b\r\n" % (status, phrase)
        head += b"".join(b"%b: %b\r\n" % line for line in lines)
        return cls(status, lines, body, head)


HttpRecall = Callable[[bytes, str | None], HttpResponse | None]
"""The answer to these octets from that peer, where it is known without reading them."""

HttpHandler = Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]
"""Answers a request, at once or by a promise."""

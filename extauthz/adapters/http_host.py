"""What a connection of HTTP/1.1 needs of its server, and what it lets a client do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .http_message import HttpHandler, HttpRecall

if TYPE_CHECKING:
    from .http_protocol import HttpConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """What one client may take of us. Sizes are in bytes, times in seconds.

    ``head_bytes`` and ``header_lines`` are for the head and the trailers together. What
    chunks add to a body may be as long as the longest body: one in chunks of five bytes and
    more may be as long as any.
    ``bodies_bytes`` is what bodies may take over all connections, until they are answered;
    where it is used up, only those no longer than a head are taken. ``unanswered`` is how many
    requests of one connection may wait: of more the rest is not taken, and the connection ends.
    ``read_seconds`` is how long a request may take to arrive; a connection without one is
    closed after ``idle_seconds``, which should be longer than a proxy keeps idle
    connections to us.
    """

    head_bytes: int = 64 * 1024
    header_lines: int = 256
    body_bytes: int = 1024 * 1024
    bodies_bytes: int = 32 * 1024 * 1024
    unanswered: int = 16
    read_seconds: float = 5.0
    idle_seconds: float = 90.0
    connections: int = 4096


class Host(Protocol):
    """What a connection needs of the server it belongs to.

    ``tick`` is the event loop's time as of late, ``date`` the header line of that time,
    ``bodies`` the bytes that bodies take.
    """

    handler: HttpHandler
    recall: HttpRecall | None
    limits: HttpLimits
    tick: float
    date: bytes
    draining: bool
    bodies: int

    def opened(self, connection: HttpConnection) -> bool:
        """Count a connection in; False where there are too many."""

    def closed(self, connection: HttpConnection) -> None:
        """Count a connection out."""

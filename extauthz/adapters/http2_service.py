"""What a connection of HTTP/2 needs of the service behind it, and what it lets a client do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .http2_frames import SETTING

if TYPE_CHECKING:
    from .http2_answers import Stream
    from .http2_connection import Http2Connection

_STREAMS, _WINDOW, _LIST = 3, 4, 6

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Http2Limits:
    """What one client may ask for: times in seconds, sizes in octets.

    A body has ``request_seconds`` to come to its end, and an answer to be taken; bodies that have
    not come to it may take ``unfinished_bytes``, over all connections. Where a connection is to
    be made anew its calls have ``grace`` to end. The others are those of GrpcLimits.
    """

    body_bytes: int
    header_bytes: int
    streams: int
    grace: float
    keepalive_interval: float
    keepalive_timeout: float
    request_seconds: float = 10.0
    unfinished_bytes: int = 32 * 1024 * 1024

    def settings(self) -> bytes:
        """As much of it as HTTP/2 has words for (RFC 9113, section 6.5.2)."""
        said = (
            (_STREAMS, self.streams),
            # One more than may be, or who sends more would wait for us.
            (_WINDOW, self.body_bytes + 1),
            (_LIST, self.header_bytes),
        )
        return b"".join(SETTING.pack(*one) for one in said)


class Http2Service(Protocol):
    """Whom a connection serves."""

    http2_limits: Http2Limits
    unfinished: int
    """Octets of bodies that have not come to their end, over all connections."""

    def age(self) -> float:
        """For how many seconds a connection is to be used before another one is made."""

    def opened(self, connection: Http2Connection, now: float) -> bool:
        """Count a connection in; False where there are too many."""

    def begun(self, connection: Http2Connection) -> None:
        """Take note that it speaks HTTP/2."""

    def closed(self, connection: Http2Connection) -> None:
        """Count it out."""

    def cut(self, excess: str) -> None:
        """Take note that one is cut off, and why."""

    def read_head(self, headers: Headers) -> Any:
        """What the service wants to know of a request's headers, which are well-formed."""

    def requested(self, stream: Stream) -> None:
        """Answer a request, which is whole."""

    def too_large(self, stream: Stream) -> None:
        """Refuse a request that is longer than may be, or that there is no room for."""

    def overdue(self, stream: Stream) -> None:
        """Refuse a request that has not come to its end in time."""

    def given_up(self, stream: Stream) -> None:
        """Take note that nobody waits for the answer any more."""

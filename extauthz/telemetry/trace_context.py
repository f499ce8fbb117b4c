"""Which trace a request belongs to: W3C Trace Context, ``traceparent``."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from extauthz.core.model import Recurrence, Request

HEADER: Final = "traceparent"

_LONGEST: Final = 128
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)


class TraceParent(NamedTuple):
    """The span that asked: ``trace`` and ``span`` in hexadecimal, ``flags`` as sent."""

    trace: str
    span: str
    flags: int


def traceparent_of(request: Request | Recurrence) -> str | None:
    """The trace context of a request, cut short, as it was sent: parse it before use.

    That of the proxy's question to us comes first: its parent is the proxy's own span. What
    the client sent along stands in where the proxy takes no part in tracing.
    """
    told = None if request.traceparent is None else request.traceparent()
    return (told or request.header(HEADER))[: _LONGEST + 1] or None


def parse(traceparent: str) -> TraceParent | None:
    """Read a ``traceparent`` (W3C Trace Context, section 3.2), or None where it is none."""
    if len(traceparent) > _LONGEST or (found := _TRACEPARENT.fullmatch(traceparent)) is None:
        return None
    version_0 = traceparent.startswith("00")
    if version_0 and len(traceparent) != 55:
        return None
    return TraceParent(found[1], found[2], int(found[3], 16))

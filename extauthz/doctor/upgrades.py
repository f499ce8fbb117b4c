"""A request stays one: of what an upgrade makes of it nobody is asked (RFC 9110 section 7.8)."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from extauthz.core.model import Reason

from .catalogue import Code
from .edge import Lines
from .examination import Examination
from .mcp import NOBODYS
from .replies import Reply

_SWITCHED: Final = HTTPStatus.SWITCHING_PROTOCOLS
# Envoy's MCP filter lets no other GET pass.
_STREAM: Final = ("Accept", "text/event-stream")
_WEBSOCKET: Final = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),  # the example of RFC 6455 section 1.3
    ("Sec-WebSocket-Protocol", "mcp"),
    _STREAM,
)
HTTP2: Final = (
    ("Connection", "Upgrade, HTTP2-Settings"),
    ("Upgrade", "h2c"),
    ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
)
"""RFC 7540 section 3.2, which RFC 9113 gave up; many servers still know it."""


def unasked(exam: Examination) -> None:
    """Whoever asks for another protocol is asked for a token like anybody else."""
    with exam.report.step("no upgrade passes without a token"):
        path = exam.edge.path
        for target in _targets(exam):
            reply = exam.wire.send("GET", target, _WEBSOCKET)
            _judge(exam, f"GET {target} with Upgrade: websocket", reply)
        # Most servers answer this as if nothing had been asked for.
        exam.try_out(f"POST {path} with Upgrade: h2c", HTTP2, code=Code.OPEN_WITHOUT_TOKEN)
        if _is_http2(exam, path) and not _is_http2(exam, f"/{NOBODYS}"):
            exam.found(Code.OPEN_WITHOUT_TOKEN, f"GET {path} with Upgrade: h2c: {_SWITCHED:d}")


def http2(exam: Examination) -> None:
    """In a connection that a request became, the caller could be whoever it likes."""
    with exam.report.step("no request becomes a connection to the server"):
        path = exam.edge.path
        # An edge that speaks HTTP/2 itself does so with anybody, and asks about what is in it.
        if _is_http2(exam, path, exam.authorization) and not _is_http2(exam, path):
            exam.found(Code.UPGRADE_TAKEN, f"GET {path} with Upgrade: h2c: {_SWITCHED:d}")


def websockets(exam: Examination) -> None:
    """Once a request has become a WebSocket, nobody judges the calls in it."""
    for target in _targets(exam):
        reply = exam.wire.send("GET", target, [*exam.authorization, *_WEBSOCKET])
        if reply.status == _SWITCHED:
            exam.found(Code.UPGRADE_TAKEN, f"GET {target} with Upgrade: websocket: {reply}")


def _targets(exam: Examination) -> Iterator[str]:
    """Where the server may have a WebSocket: paths that need a token of it, as its own does."""
    path = exam.edge.path
    yield path
    for other in (f"{path.rstrip('/')}/ws", f"{path.rpartition('/')[0]}/ws"):
        if exam.wire.send("GET", other, (_STREAM,)).reason == Reason.MISSING_TOKEN:
            yield other


def _judge(exam: Examination, what: str, reply: Reply) -> None:
    if reply.status == _SWITCHED:
        exam.found(Code.OPEN_WITHOUT_TOKEN, f"{what}: {reply}")
    else:
        exam.judge(what, reply, Code.OPEN_WITHOUT_TOKEN)


def _is_http2(exam: Examination, target: str, lines: Lines = ()) -> bool:
    return exam.wire.send("GET", target, [*lines, *HTTP2]).status == _SWITCHED

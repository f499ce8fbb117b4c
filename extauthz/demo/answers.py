"""HTTP answers of the demo's issuer: good ones, and the faults an issuer may have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto

from .serving import Message, Receive, Send

MAX_BODY = 65_536
"""Bytes of a request body that are read."""


class Fault(StrEnum):
    """How an endpoint fails. One that refuses connections is a stopped issuer."""

    SLOW = auto()
    """Answers as it should, but late."""
    ERROR = auto()
    """Answers 500."""
    REDIRECT = auto()
    """Answers 302 to another place."""
    BIG = auto()
    """Answers with far too many bytes of valid JSON and no Content-Length."""
    GARBAGE = auto()
    """Answers 200 with something that is not JSON."""
    TRUNCATED = auto()
    """Promises more bytes than it sends, then closes the connection."""
    NO_KEYS = auto()
    """Publishes a JWKS without a key (keys endpoint)."""
    WRONG_ISSUER = auto()
    """Publishes the metadata of another issuer (discovery endpoint)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole HTTP answer."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def as_json(content: object, *, status: int = 200, **headers: str) -> Answer:
    """An ``application/json`` answer; ``cache_control="no-store"`` is a header of it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(
        status=status,
        headers={"content-type": "application/json", **named},
        body=json.dumps(content).encode(),
    )


async def read_body(receive: Receive) -> bytes | None:
    """The request body; None when it is longer than `MAX_BODY`."""
    body, more = b"", True
    while more and len(body) <= MAX_BODY:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body if len(body) <= MAX_BODY else None


async def write(send: Send, answer: Answer) -> None:
    """Send ``answer`` with its Content-Length."""
    length = {"content-length": str(len(answer.body))} if answer.status not in (204, 304) else {}
    await send(_start(answer.status, {**length, **answer.headers}))
    await send({"type": "http.response.body", "body": answer.body})


async def write_faulty(
    send: Send, fault: Fault, answer: Answer, *, delay: float, redirect_to: str, big_bytes: int
) -> None:
    """Send what ``fault`` makes of ``answer``. ``delay`` is in seconds.

    `Fault.NO_KEYS` and `Fault.WRONG_ISSUER` are faults of a document, not of its transfer:
    whoever makes the document knows them.
    """
    match fault:
        case Fault.SLOW:
            await asyncio.sleep(delay)
            await write(send, answer)
        case Fault.ERROR:
            await write(send, as_json({"error": "server_error"}, status=500))
        case Fault.REDIRECT:
            await write(send, Answer(status=302, headers={"location": redirect_to}))
        case Fault.BIG:
            await send(_start(200, answer.headers))
            padding = b" " * 65_536
            for _ in range(big_bytes // len(padding)):
                await send({"type": "http.response.body", "body": padding, "more_body": True})
            await send({"type": "http.response.body", "body": answer.body})
        case Fault.GARBAGE:
            await write(send, Answer(headers=answer.headers, body=b"<html>not json</html>"))
        case Fault.TRUNCATED:
            length = str(len(answer.body) + 1)
            await send(_start(answer.status, {**answer.headers, "content-length": length}))
            await send({"type": "http.response.body", "body": answer.body, "more_body": True})
            raise ConnectionAbortedError("a truncated answer was asked for")
        case Fault.NO_KEYS | Fault.WRONG_ISSUER:
            await write(send, answer)


def _start(status: int, headers: Mapping[str, str]) -> Message:
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": encoded}

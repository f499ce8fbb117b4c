"""Runs an ASGI 3 application that answers whole requests with whole responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from .http_message import HttpHandler, HttpRequest, HttpResponse

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


def asgi_handler(application: Application) -> HttpHandler:
    """A handler that asks ``application``. Its promise raises what the application raises,
    and RuntimeError where that sends no response.
    """

    async def answer(asked: HttpRequest) -> HttpResponse:
        sent: list[Message] = []
        parts = [{"type": "http.request", "body": asked.body, "more_body": False}]

        async def receive() -> Message:
            return parts.pop() if parts else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        await application(_scope(asked), receive, send)
        if not sent or sent[0]["type"] != "http.response.start":
            raise RuntimeError("the application sent no response")
        body = b"".join(message.get("body", b"") for message in sent[1:])
        lines = [line for line in sent[0].get("headers", ()) if line[0] != b"content-length"]
        return HttpResponse.make(sent[0]["status"], lines, body)

    return answer


def _scope(asked: HttpRequest) -> Message:
    path, _, query = asked.target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": unquote(path, "latin-1"),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in asked.headers.items()
        ],
        "client": None if asked.peer is None else (asked.peer, 0),
        "server": None,
    }

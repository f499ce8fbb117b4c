"""A small HTTP/1.1 client and an echoing handler, for tests of our own server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any

from extauthz.adapters.http_message import HttpHandler, HttpRequest, HttpResponse
from extauthz.adapters.http_server import HttpServer
from extauthz.config.addresses import Address, TcpAddress, UnixAddress

ANYWHERE = TcpAddress("127.0.0.1", 0)
GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


class Echo:
    """Answers 200 with what it was asked; ``/slow`` when it is let, ``/broken`` never."""

    def __init__(self) -> None:
        self.asked: list[HttpRequest] = []
        self.slow = asyncio.Event()
        self.waiting = asyncio.Event()

    def __call__(self, asked: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        self.asked.append(asked)
        if asked.target == "/broken":
            raise RuntimeError("boom")
        answer = HttpResponse.make(200, [(b"x-a", b"b")], asked.target.encode("latin-1"))
        return self._later(answer) if asked.target.startswith("/slow") else answer

    async def _later(self, answer: HttpResponse) -> HttpResponse:
        self.waiting.set()
        await self.slow.wait()
        if answer.body == b"/slow/broken":
            raise RuntimeError("boom")
        return answer


@asynccontextmanager
async def running(
    handler: HttpHandler | None = None, address: Address = ANYWHERE, **more: Any
) -> AsyncIterator[HttpServer]:
    server = HttpServer(handler or Echo(), address, **more)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(server: HttpServer, **more: Any) -> AsyncIterator[Stream]:
    if isinstance(server.address, UnixAddress):
        reader, writer = await asyncio.open_unix_connection(server.address.path)
    else:
        host, port = server.address.host, server.address.port
        reader, writer = await asyncio.open_connection(host, port, **more)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def exchange(server: HttpServer, data: bytes, **more: Any) -> bytes:
    """Send ``data`` and read until the server closes; what it sent until then."""
    received = b""
    async with connected(server, **more) as (reader, writer):
        writer.write(data)
        with suppress(ConnectionResetError):
            while chunk := await reader.read(65536):
                received += chunk
    return received


async def response(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    lines = [line.partition(": ") for line in head[1:] if line]
    headers = {name: value for name, _, value in lines}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(head[0].split(" ")[1]), headers, body


def statuses(received: bytes) -> list[int]:
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]

"""An HTTP server on loopback that says exactly the bytes it is told to, however rude."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]
Page = bytes | Behaviour


def answer(
    body: bytes = b"", *headers: str, status: str = "200 OK", length: int | None = None
) -> bytes:
    """A whole HTTP/1.1 answer; ``length`` makes Content-Length lie."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*head, "Connection: close", *headers, "", ""]).encode() + body


async def hang(writer: asyncio.StreamWriter) -> None:
    """Say nothing and keep the line open."""
    await asyncio.Event().wait()


@dataclass
class RoughServer:
    """``asked`` holds the head of every request; ``sent`` counts bytes taken off our hands."""

    origin: str = ""
    port: int = 0
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sent: int = 0

    def paths(self) -> list[str]:
        return [head.split(" ")[1] for head in self.asked]

    async def send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        await writer.drain()
        self.sent += len(data)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.asked.append(head)
            page = self.pages.get(head.split(" ")[1], answer(b"no", status="404 Not Found"))
            if isinstance(page, bytes):
                await self.send(writer, page)
            else:
                await page(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def rough_server(
    tls: ssl.SSLContext | None = None, made: RoughServer | None = None
) -> AsyncIterator[RoughServer]:
    made = made or RoughServer()
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(made.handle(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    made.port = listening.sockets[0].getsockname()[1]
    made.origin = f"{'http' if tls is None else 'https'}://localhost:{made.port}"
    try:
        yield made
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""An MCP server's stand-in that tells exactly what reached it, and can stream events.

GET or POST ``…/events`` opens a stream of Server-Sent Events; ``publish`` writes to every open one.
``…/early/events`` opens one without waiting for the request's body.
Any other request is answered with ``{"backend": …, "request_line": …, "headers": [[…]],
"body": …}``. ``answer_headers`` are added to every answer.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

DEADLINE = 10.0


@dataclass(frozen=True)
class Received:
    """One request as it arrived; names of headers and trailers keep their spelling."""

    request_line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    trailers: tuple[tuple[str, str], ...] = ()


@dataclass
class Backend:
    """A running stand-in. ``received`` grows by one per request."""

    name: str
    port: int = 0
    received: list[Received] = field(default_factory=list)
    answer_headers: list[tuple[str, str]] = field(default_factory=list)
    _streams: list[asyncio.StreamWriter] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop | None = None

    def publish(self, event: str) -> None:
        """Write one event to every open stream."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._publish(event), self._loop).result(DEADLINE)

    async def _publish(self, event: str) -> None:
        for stream in self._streams:
            stream.write(_chunk(f"data: {event}\n\n".encode()))
            await stream.drain()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request_line, *lines = await _lines(reader)
        headers = _fields(lines)
        by_name = {name.lower(): value for name, value in headers}
        method, path = request_line.split(" ")[:2]
        body, trailers = b"", _fields([])
        if path.endswith("/early/events"):
            pass
        elif by_name.get("transfer-encoding", "").lower() == "chunked":
            body, trailers = await _chunked(reader)
        else:
            body = await reader.readexactly(int(by_name.get("content-length", 0)))
        self.received.append(Received(request_line, headers, body, trailers))
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.answer_headers)
        if method in ("GET", "POST") and path.endswith("/events"):
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                b"transfer-encoding: chunked\r\n\r\n" + _chunk(b"data: open\n\n")
            )
            await writer.drain()
            self._streams.append(writer)
            try:
                await reader.read()
            finally:
                self._streams.remove(writer)
            return False
        seen = {"backend": self.name, "request_line": request_line, "headers": headers}
        answer = json.dumps({**seen, "body": body.decode("latin-1")}).encode()
        writer.write(
            f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{extra}"
            f"content-length: {len(answer)}\r\n\r\n".encode()
            + (b"" if method == "HEAD" else answer)
        )
        await writer.drain()
        return True


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def _lines(reader: asyncio.StreamReader) -> list[str]:
    """Lines up to an empty one."""
    lines = []
    while line := (await reader.readuntil(b"\r\n"))[:-2].decode("latin-1"):
        lines.append(line)
    return lines


def _fields(lines: list[str]) -> tuple[tuple[str, str], ...]:
    fields = (line.partition(":") for line in lines)
    return tuple((name, value.strip()) for name, _, value in fields)


async def _chunked(reader: asyncio.StreamReader) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """The body and its trailers."""
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    return body, _fields(await _lines(reader))


@contextmanager
def running(*names: str) -> Iterator[dict[str, Backend]]:
    """Backends by name, on free ports, served by one thread until the block ends."""
    backends = {name: Backend(name) for name in names}
    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def main() -> None:
        servers = []
        for backend in backends.values():
            server = await asyncio.start_server(backend.serve, "127.0.0.1", 0, limit=1 << 20)
            backend.port = server.sockets[0].getsockname()[1]
            backend._loop = loop
            servers.append(server)
        started.set()
        await stop.wait()
        for server in servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    assert started.wait(DEADLINE), "the backends did not start"
    try:
        yield backends
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(DEADLINE)
        loop.close()

"""A raw-socket HTTP/1.1 client: what it is given is what goes out, byte for byte."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

DEADLINE = 10.0

HeaderLines = Iterable[tuple[str | bytes, str | bytes]]


@dataclass(frozen=True)
class Response:
    """One whole answer; header names are lower-case, lines keep their order."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def get(self, name: str) -> str | None:
        """The value of a header that must not occur twice."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} occurs {len(values)} times: {values}"
        return values[0] if values else None

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One connection: ``send`` raw bytes, then read one response, whole or piecemeal."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self._buffer = b""

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read_head(self) -> Response:
        """Status line and headers; the body stays unread."""
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = [line.split(":", 1) for line in lines[1:] if line]
        headers = tuple((name.lower(), value.strip()) for name, value in fields)
        return Response(int(lines[0].split(" ")[1]), headers, b"")

    def read_response(self, method: str) -> Response:
        head = self.read_head()
        if method == "HEAD" or head.status in (204, 304):
            return head
        if head.get("transfer-encoding") == "chunked":
            body = b"".join(self.chunks())
        elif (length := head.get("content-length")) is not None:
            body = self._read_exactly(int(length))
        else:
            body = self._read_to_end()
        return Response(head.status, head.headers, body)

    def chunks(self) -> Iterator[bytes]:
        """The chunks of a chunked body; raises EOFError where the peer cuts it short."""
        while True:
            size = int(self.read_until(b"\r\n").split(b";")[0], 16)
            data = self._read_exactly(size + 2)[:-2]
            if size == 0:
                return
            yield data

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._receive()
        head, _, self._buffer = self._buffer.partition(mark)
        return head

    def _read_exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _read_to_end(self) -> bytes:
        try:
            while True:
                self._receive()
        except EOFError:
            return self._buffer

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise EOFError("the peer closed the connection")
        self._buffer += data


def request_bytes(
    method: str,
    target: str | bytes,
    headers: HeaderLines = (),
    body: bytes = b"",
    *,
    host: str | None = "mcp.example.com",
    version: str = "1.1",
) -> bytes:
    """One request as it goes out; ``host`` None leaves the Host line to ``headers``."""
    lines = [b" ".join((method.encode(), _octets(target), b"HTTP/" + version.encode()))]
    if host is not None:
        lines.append(b"Host: " + host.encode())
    lines += [_octets(name) + b": " + _octets(value) for name, value in headers]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join((*lines, b"", body))


@contextmanager
def connection(port: int) -> Iterator[Connection]:
    opened = Connection(port)
    try:
        yield opened
    finally:
        opened.close()


def send(
    port: int,
    method: str,
    target: str | bytes,
    headers: HeaderLines = (),
    body: bytes = b"",
    *,
    host: str | None = "mcp.example.com",
) -> Response:
    """Send one request on a connection of its own and read the whole answer."""
    with connection(port) as opened:
        opened.send(request_bytes(method, target, headers, body, host=host))
        return opened.read_response(method)


def _octets(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")

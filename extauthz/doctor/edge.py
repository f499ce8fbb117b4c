"""The edge under examination, and the two ways of asking it: politely, and octet by octet."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from urllib.parse import urlsplit

import httpx

from extauthz.telemetry.decision_log import DOCTOR

from .replies import Reply

Lines = Iterable[tuple[str | bytes, str | bytes]]

_MOST_BYTES = 1024 * 1024
_MOST_SILENCES = 5
_LINE_END = re.compile(rb"\r\n|[\r\n]")
_PORTS = {"http": 80, "https": 443}


class Unreachable(Exception):
    """Nobody answers; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Where an MCP server is for its clients.

    ``url`` is its URL. ``connect`` is the host and port to connect to in place of those of
    the URL, which are still named. ``ca_file`` holds further authorities in PEM. ``timeout``
    is in seconds, for each wait on the network and for the whole body of an answer.
    """

    url: str
    connect: tuple[str, int] | None = None
    ca_file: str | None = None
    timeout: float = 10.0

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return urlsplit(self.url).scheme

    @property
    def authority(self) -> str:
        """Host and port as clients name them."""
        return urlsplit(self.url).netloc

    @property
    def origin(self) -> str:
        """The origin of the URL."""
        return f"{self.scheme}://{self.authority}"

    @property
    def host(self) -> str:
        """The host alone."""
        return urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        """The path of the URL, ``/`` if it has none."""
        return urlsplit(self.url).path or "/"

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect to."""
        return self.connect or (self.host, urlsplit(self.url).port or _PORTS[self.scheme])

    def context(self) -> ssl.SSLContext:
        """TLS as a careful client has it."""
        context = ssl.create_default_context()
        if self.ca_file is not None:
            context.load_verify_locations(self.ca_file)
        context.set_alpn_protocols(["http/1.1"])
        return context


class Wire:
    """Sends requests exactly as they are given, each on a connection of its own."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._context = edge.context() if edge.scheme == "https" else None
        self._silences = 0
        self.count = 0

    def send(
        self,
        method: str,
        target: str | bytes,
        lines: Lines = (),
        body: bytes = b"",
        *,
        host: str | None = None,
        trailers: Lines = (),
    ) -> Reply:
        """One request and its answer.

        Raises Unreachable when there is no connection, or too many requests got no answer
        in time. ``host`` takes the place of the URL's; an empty one leaves the Host line out.
        ``trailers`` follow the body (RFC 9112 section 7.1.2).
        """
        self.count += 1
        named = self._edge.authority if host is None else host
        head = [b" ".join((method.encode(), _octets(target), b"HTTP/1.1"))]
        head += [b"Host: " + named.encode()] if named else []
        head.append(b"User-Agent: " + DOCTOR.encode())
        head += _written(lines)
        if trailers:
            head.append(b"Transfer-Encoding: chunked")
            last = b"".join(line + b"\r\n" for line in _written(trailers))
            body = b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, last)
        elif body or method in ("POST", "PUT", "PATCH"):
            head.append(b"Content-Length: %d" % len(body))
        try:
            with self._connected() as connection:
                connection.sendall(b"\r\n".join((*head, b"", body)))
                return _read(connection, method, self._edge.timeout)
        except TimeoutError:
            self._silences += 1
            if self._silences >= _MOST_SILENCES:
                what = f"{self._silences} requests got no answer in {self._edge.timeout:g} s each"
                raise Unreachable(what) from None
            return Reply(0)
        except (OSError, HTTPException, ValueError):
            # A refusal of an odd request may come as a closed connection.
            return Reply(0)

    def _connected(self) -> socket.socket:
        try:
            plain = socket.create_connection(self._edge.address, timeout=self._edge.timeout)
            if self._context is None:
                return plain
            return self._context.wrap_socket(plain, server_hostname=self._edge.host)
        except OSError as error:
            raise Unreachable(_told(error)) from error


def _read(connection: socket.socket, method: str, timeout: float) -> Reply:
    deadline = time.monotonic() + timeout
    with HTTPResponse(connection, method=method) as response:
        response.begin()
        headers = tuple((name.lower(), value) for name, value in response.getheaders())
        body = _Body(headers)
        while not body.is_enough and time.monotonic() < deadline:
            try:
                part = response.read1(65536)
            except TimeoutError:
                break
            if not part:
                break
            body.take(part)
        return Reply(response.status, headers, body.received)


class _Body:
    """What has come of an answer. Of a stream of events the first answer in it is enough."""

    def __init__(self, headers: tuple[tuple[str, str], ...]) -> None:
        kind = next((value for name, value in headers if name == "content-type"), "")
        self._is_stream = kind.startswith("text/event-stream")
        self._line = b""
        self._answered = False
        self.received = b""

    @property
    def is_enough(self) -> bool:
        """Whether nothing more has to be waited for."""
        return self._answered or len(self.received) >= _MOST_BYTES

    def take(self, part: bytes) -> None:
        """A part that has come."""
        self.received += part
        if self._is_stream:
            *lines, self._line = _LINE_END.split(self._line + part)
            self._answered = self._answered or any(map(_is_answer, lines))


def _is_answer(line: bytes) -> bool:
    """Whether a line of a stream holds data that are no message of the server's own accord.

    Servers may begin with an event without data, and with notifications.
    """
    data = line.removeprefix(b"data:")
    if data == line or not data.strip():
        return False
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return True
    return not (isinstance(message, dict) and "method" in message)


class Visitor:
    """Asks as any client would, by an HTTP library."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        host, port = edge.address
        self._client = httpx.Client(
            base_url=f"{edge.scheme}://{f'[{host}]' if ':' in host else host}:{port}",
            headers={"Host": edge.authority, "User-Agent": DOCTOR},
            verify=edge.context() if edge.scheme == "https" else False,
            timeout=edge.timeout,
            trust_env=False,
        )
        self.count = 0

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def ask(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        """One request and its answer. Raises Unreachable."""
        self.count += 1
        request = self._client.build_request(
            method,
            target,
            headers=headers,
            content=body or None,
            extensions={"sni_hostname": self._edge.host},
        )
        request.extensions["timeout"] = httpx.Timeout(self._edge.timeout).as_dict()
        deadline = time.monotonic() + self._edge.timeout
        try:
            answer = self._client.send(request, stream=True)
            try:
                names = tuple((name.lower(), value) for name, value in answer.headers.multi_items())
                taken = _Body(names)
                for part in answer.iter_bytes():
                    taken.take(part)
                    if taken.is_enough or time.monotonic() > deadline:
                        break
            finally:
                answer.close()
        except httpx.HTTPError as error:
            raise Unreachable(_told(error)) from error
        return Reply(answer.status_code, names, taken.received)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _written(lines: Lines) -> list[bytes]:
    return [_octets(name) + b": " + _octets(value) for name, value in lines]


def _octets(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")

"""Edges that answer as a test says, without any proxy."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


class _UnixServer(ThreadingHTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)


@contextmanager
def edge(answer: Answer, path: str = "") -> Iterator[tuple[int, list[str]]]:
    """An HTTP server of one's own: its port, and the paths that were asked for.

    With ``path`` it listens on a Unix socket there, and has no port.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.close_connection = True
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    kind = _UnixServer if path else ThreadingHTTPServer
    address: Any = path or ("127.0.0.1", 0)
    with kind(address, Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield 0 if path else server.server_port, asked
        finally:
            server.shutdown()
            thread.join(10)


def say(to: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    to.send_response_only(status)
    for name, value in headers.items():
        to.send_header(name.replace("_", "-"), value)
    to.send_header("Content-Length", str(len(body)))
    to.end_headers()
    to.wfile.write(body)


def refused(to: BaseHTTPRequestHandler) -> None:
    body = json.dumps({"error": "", "code": "", "reason": "missing_token", "details": ""}).encode()
    say(to, 401, body, WWW_Authenticate="Bearer")

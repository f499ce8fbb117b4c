"""Edges that answer as a test says, without any proxy."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def edge(answer: Answer) -> Iterator[tuple[int, list[str]]]:
    """An HTTP server of one's own: its port, and the paths that were asked for."""
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

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.server_port, asked
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

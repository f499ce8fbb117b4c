"""A small MCP server with sessions and one tool, which can be made to believe headers or bodies."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import parse_headers
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MISMATCH = -32020
ACCEPTED = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""What accepts the key of the example in RFC 6455 section 1.3."""


@dataclass
class McpServer:
    """``compares``: refuse a body that differs from the headers. ``called`` names every tool.

    With ``by_body`` it goes by the body alone whether a request is of a version that compares.
    Whoever names no version that does without needs a session, as with the SDKs' servers.
    Who asks for a WebSocket or HTTP/2 gets it, at ``socket`` alone if that is a path.
    ``adds_trailers``: to the headers.
    """

    compares: bool = True
    by_body: bool = False
    socket: str | None = None
    adds_trailers: bool = False
    port: int = 0
    called: list[str] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)

    def answer(self, headers: list[tuple[str, str]], body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and message; the message of an opened session has ``session``, too."""
        message = json.loads(body)
        if isinstance(message, list):
            message = message[0]
        method, params = message.get("method"), message.get("params") or {}
        names = {name.lower(): value for name, value in headers}
        told = names.get("mcp-method", method), names.get("mcp-name", params.get("name"))
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message.get("id")}
        compares = self.compares and (not self.by_body or "_meta" in params)
        if compares and told != (method, params.get("name")):
            return 400, reply | {"error": {"code": MISMATCH, "message": "headers differ"}}
        if method == "initialize":
            session = secrets.token_hex(8)
            self.sessions.add(session)
            opened = {"protocolVersion": params["protocolVersion"], "capabilities": {}}
            return 200, reply | {"result": opened, "session": session}
        modern = names.get("mcp-protocol-version", "") >= "2026"
        if not modern and names.get("mcp-session-id") not in self.sessions:
            return 400, reply | {"error": {"code": -32600, "message": "no session"}}
        if method == "tools/call":
            self.called.append(params["name"])
            if params["name"] != "get_me":
                return 200, reply | {"error": {"code": -32602, "message": "no such tool"}}
            kept = [[name, value] for name, value in headers if not name.lower().startswith("mcp-")]
            result: Any = {"structuredContent": {"headers": kept}}
        else:
            result = {}
        return 200, reply | {"result": result}


@contextmanager
def running(server: McpServer) -> Iterator[McpServer]:
    """Serve on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            headers = list(self.headers.items())
            if self.headers.get("transfer-encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size + 2)[:-2]
                trailers = list(parse_headers(self.rfile).items())
                headers += trailers if server.adds_trailers else []
            else:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, document = server.answer(headers, body)
            session = document.pop("session", None)
            self._write(status, json.dumps(document).encode(), session)

        def do_DELETE(self) -> None:
            server.sessions.discard(self.headers.get("mcp-session-id", ""))
            self._write(200, b"")

        def do_GET(self) -> None:
            here, wanted = server.socket in (None, self.path), self.headers.get("upgrade")
            if here and wanted in ("websocket", "h2c"):
                self.send_response(101)
                self.send_header("Connection", "Upgrade")
                self.send_header("Upgrade", wanted)
                if wanted == "websocket":
                    self.send_header("Sec-WebSocket-Accept", ACCEPTED)
                self.end_headers()
                self.close_connection = True
            else:
                self._write(405, b"")

        do_HEAD = do_PUT = do_PATCH = do_OPTIONS = do_GET  # noqa: N815

        def _write(self, status: int, body: bytes, session: str | None = None) -> None:
            self.send_response(status)
            if session is not None:
                self.send_header("Mcp-Session-Id", session)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A proxy that ends closes its connections, and that is no news."""

    with Quiet(("127.0.0.1", 0), Handler) as http:
        server.port = http.server_port
        thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join(10)

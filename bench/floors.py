"""Servers that decide nothing: what the same stack can do at most.

Usage: python bench/floors.py KIND PORT [REPLY], where REPLY is a file to answer with
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc
import uvicorn

from extauthz._pb.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.adapters.envoy import to_response
from extauthz.adapters.grpc_door import SERVICE
from extauthz.adapters.http_message import HttpRequest, HttpResponse
from extauthz.adapters.http_server import HttpServer
from extauthz.adapters.native_door import NativeDoor
from extauthz.config.addresses import TcpAddress
from extauthz.core.model import Allow
from extauthz.service.loop import new_loop

_IDENTITY = (
    ("x-auth-subject", "248289761001"),
    ("x-auth-issuer", "https://idp.example.com/realms/r0"),
    ("x-auth-client-id", "inspector"),
    ("x-auth-scopes", "openid profile mcp.read mcp.write"),
    ("x-auth-server", "s0"),
)
_ALLOW = to_response(Allow(server="s0", headers=_IDENTITY, remove=("authorization",)))
_ALLOWED = _ALLOW.SerializeToString()
_EMPTY = CheckResponse().SerializeToString()
_LINES = [(name.encode(), value.encode()) for name, value in _IDENTITY]
_HTTP_ALLOWED = HttpResponse.make(200, _LINES)


async def _empty(data: bytes, context: object) -> bytes:  # noqa: ARG001
    CheckRequest.FromString(data)
    return _EMPTY


async def _allow(data: bytes, context: object) -> bytes:  # noqa: ARG001
    CheckRequest.FromString(data)
    return _ALLOWED


class _Constant:
    """In the servicer's place."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply

    def answer(self, data: bytes, traceparent: object) -> bytes:  # noqa: ARG002
        CheckRequest.FromString(data)
        return self._reply


async def _serve_native(reply: bytes, port: int) -> None:
    door = NativeDoor(None, TcpAddress("127.0.0.1", port))  # type: ignore[arg-type]
    door._servicer = _Constant(reply)  # type: ignore[assignment]
    await door.start()
    await asyncio.Event().wait()


def _constant(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    return _HTTP_ALLOWED


async def _serve_grpc(server: Any, check: Any, port: int) -> None:
    handlers: dict[str, Any] = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


async def _serve_http(port: int) -> None:
    await HttpServer(_constant, TcpAddress("127.0.0.1", port)).start()
    await asyncio.Event().wait()


async def _asgi(scope: Any, receive: object, send: Any) -> None:  # noqa: ARG001
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": _LINES})
        await send({"type": "http.response.body", "body": b""})


async def _serve_asgi(port: int) -> None:
    settings = uvicorn.Config(
        _asgi, port=port, http="httptools", lifespan="off", access_log=False, log_level="error"
    )
    await uvicorn.Server(settings).serve()


def main(kind: str, port: int, reply: Path | None = None) -> None:
    """Serve until killed; ``reply`` holds what the native server answers in place of its own."""
    transport, _, what = kind.partition("-")
    check = _allow if what == "allow" else _empty
    constant = _ALLOWED if what == "allow" else _EMPTY
    if reply is not None:
        constant = reply.read_bytes()

    async def serve() -> None:
        if transport == "http":
            await _serve_http(port)
        elif transport == "asgi":
            await _serve_asgi(port)
        elif transport == "native":
            await _serve_native(constant, port)
        else:
            await _serve_grpc(grpc.aio.server(), check, port)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *map(Path, sys.argv[3:]))

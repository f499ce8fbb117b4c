"""Both doors on loopback, and clients that speak to them as the proxies do."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any, TypeVar

import grpc
from google.protobuf.struct_pb2 import Struct

from extauthz._pb.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.adapters.envoy import MCP_NAMESPACE
from extauthz.adapters.grpc_door import SERVICE
from extauthz.adapters.grpcio_door import GrpcDoor
from extauthz.adapters.http_door import HttpDoor
from extauthz.adapters.http_server import HttpServer
from extauthz.adapters.trust import TrustedPeers
from extauthz.authorizer import Authorizer
from extauthz.config.addresses import TcpAddress
from extauthz.core.engine import Engine
from extauthz.core.model import AskedFor, Decision, Reason, Request
from extauthz.core.policy import Policy
from tests.e2e.rawhttp import Response, send
from tests.policies import key_sets
from tests.tokens import NOW

T = TypeVar("T")

LOOPBACK = (ip_network("127.0.0.0/8"),)
CHECK = f"/{SERVICE}/Check"
PARTIAL_BODY = "x-envoy-auth-partial-body"


class Keys:
    """Keys that are at hand; ``answers`` is what a search for another one finds, by issuer.

    ``given_up`` is set once a search ends for want of somebody who waits for it.
    """

    def __init__(self) -> None:
        self.sets = key_sets()
        self.answers: dict[str, Reason] = {}
        self.waits: list[float] = []
        self.searched = asyncio.Event()
        self.given_up = asyncio.Event()
        self.hold: asyncio.Event | None = None

    def snapshot(self) -> Any:
        return self.sets

    async def find(self, issuer: str, kid: str | None, *, wait: float) -> Reason | None:
        self.waits.append(wait)
        self.searched.set()
        if self.hold is not None:
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.given_up.set()
                raise
        return self.answers.get(issuer, Reason.UNKNOWN_KEY)


@dataclass
class Observer:
    """Remembers every decision it is told of."""

    told: list[tuple[Request | None, Decision, str]] = field(default_factory=list)

    def decided(
        self, request: AskedFor, decision: Decision, transport: str, seconds: float
    ) -> None:
        assert seconds >= 0
        asked = request().request() if callable(request) else request
        self.told.append((asked, decision, transport))


def authorizer(
    policy: Policy, keys: Keys | None = None, observer: Observer | None = None
) -> Authorizer:
    """An authorizer to whom it is always NOW."""
    return Authorizer(
        Engine(policy),
        keys or Keys(),
        observer or Observer(),
        wall=lambda: NOW,
        monotonic=time.monotonic,
    )


@dataclass(frozen=True)
class Asked:
    """One request of a client, in the words of no proxy."""

    lines: tuple[tuple[str, str], ...] = ()
    method: str = "POST"
    target: str = "/notes/mcp"
    host: str = "mcp.example.com"
    body: bytes | None = None
    truncated: bool = False
    mcp: dict[str, Any] | None = None
    server: str | None = None

    def plus(self, *lines: tuple[str, str]) -> Asked:
        return replace(self, lines=(*self.lines, *lines))

    @property
    def by_http(self) -> bool:
        """Whether a proxy can tell the whole of it over HTTP, in words that are no proxy's own."""
        return self.mcp is None and self.body != b"" and not self.truncated


def check_request(asked: Asked, *, raw: bool = True) -> CheckRequest:
    """What Envoy says of a request; ``raw`` as with ``encode_raw_headers``."""
    message = CheckRequest()
    http = message.attributes.request.http
    http.method, http.path, http.host = asked.method, asked.target, asked.host
    http.scheme, http.protocol, http.size = "https", "HTTP/1.1", -1
    pseudo = {":method": asked.method, ":path": asked.target, ":authority": asked.host}
    lines = [*pseudo.items(), *((name.lower(), value) for name, value in asked.lines)]
    if asked.body is not None:
        lines.append((PARTIAL_BODY, "true" if asked.truncated else "false"))
        http.raw_body = asked.body
    for name, value in lines:
        if raw:
            line = http.header_map.headers.add()
            line.key, line.raw_value = name, value.encode("latin-1")
        else:
            before = http.headers.get(name)
            http.headers[name] = value if before is None else f"{before},{value}"
    if asked.server is not None:
        message.attributes.context_extensions["mcp_server"] = asked.server
    if asked.mcp is not None:
        said = Struct()
        said.update(asked.mcp)
        message.attributes.metadata_context.filter_metadata[MCP_NAMESPACE].CopyFrom(said)
    return message


@dataclass
class Doors:
    """Both doors, run by a thread of their own."""

    grpc_port: int
    http_port: int
    keys: Keys
    observer: Observer
    channel: grpc.Channel

    def check(self, message: CheckRequest | bytes, timeout: float = 10) -> CheckResponse:
        data = message if isinstance(message, bytes) else message.SerializeToString()
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(CHECK)
        return CheckResponse.FromString(call(data, timeout=timeout))

    def nginx(self, asked: Asked) -> Response:
        lines = [
            *asked.lines,
            ("X-Original-URI", asked.target),
            ("X-Original-Method", asked.method),
            ("X-Original-Host", asked.host),
        ]
        if asked.server is not None:
            lines.append(("X-Mcp-Server", asked.server))
        body = asked.body or b""
        return send(self.http_port, "GET", "/auth/nginx", lines, body, host="127.0.0.1")

    def forward(self, asked: Asked) -> Response:
        lines = [
            *asked.lines,
            ("X-Forwarded-Uri", asked.target),
            ("X-Forwarded-Method", asked.method),
            ("X-Forwarded-Host", asked.host),
            ("X-Forwarded-Proto", "https"),
        ]
        body = asked.body or b""
        return send(self.http_port, "GET", "/auth/forward", lines, body, host="127.0.0.1")

    def envoy(self, asked: Asked) -> Response:
        target, lines = "/auth/envoy" + asked.target, list(asked.lines)
        if asked.body is not None:
            lines.append((PARTIAL_BODY, "true" if asked.truncated else "false"))
        return send(self.http_port, asked.method, target, lines, asked.body or b"", host=asked.host)

    def direct(self, asked: Asked) -> Response:
        return send(self.http_port, asked.method, asked.target, asked.lines, host=asked.host)


class Loop:
    """An event loop in a thread, for servers under synchronous tests."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()


@contextmanager
def open_doors(policy: Policy) -> Iterator[Doors]:
    """Both doors for ``policy``, until the block ends."""
    keys, observer, loop = Keys(), Observer(), Loop()
    door = authorizer(policy, keys, observer)
    by_grpc = GrpcDoor(door, TcpAddress("127.0.0.1", 0))
    http = HttpDoor(door, TrustedPeers(LOOPBACK))
    by_http = HttpServer(http, TcpAddress("127.0.0.1", 0), recall=http.again)
    try:
        grpc_at, http_at = loop.run(by_grpc.start()), loop.run(by_http.start())
        assert isinstance(grpc_at, TcpAddress)
        assert isinstance(http_at, TcpAddress)
        with grpc.insecure_channel(f"127.0.0.1:{grpc_at.port}") as channel:
            yield Doors(grpc_at.port, http_at.port, keys, observer, channel)
    finally:
        loop.run(by_grpc.stop(0))
        loop.run(by_http.stop(0))
        loop.close()


def header_options(options: Iterable[Any]) -> dict[str, str]:
    """Header options of a reply by name, none of them twice and all of them overwriting."""
    found: dict[str, str] = {}
    for option in options:
        assert option.append_action == 2
        assert not option.HasField("append")
        assert option.header.key not in found
        found[option.header.key] = option.header.value
    return found


def reason_in(body: str | bytes) -> str:
    """The reason that a refusal's body names, of either kind."""
    document = json.loads(body)
    if "jsonrpc" in document:
        document = document["error"]["data"]
    return str(document["reason"])

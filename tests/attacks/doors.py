"""Sends the cases of the table through the engine and through real doors on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Protocol

import grpc
from google.protobuf.struct_pb2 import Struct

from extauthz._pb.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.adapters.envoy import MCP_NAMESPACE
from extauthz.adapters.grpc_door import SERVICE
from extauthz.adapters.grpcio_door import GrpcDoor
from extauthz.adapters.http_door import HttpDoor
from extauthz.adapters.http_server import HttpServer
from extauthz.adapters.trust import TrustedPeers
from extauthz.config.addresses import TcpAddress
from extauthz.core.model import Allow, Answer, Request
from tests.attacks.table import ALLOW, ANSWER, Case, Sent
from tests.attacks.world import World

UNREADABLE = "refused before it was understood"
BLANKS = b" \t"


@dataclass(frozen=True)
class Outcome:
    """What became of a request. ``sent`` and ``removed`` are what an allow does to its headers."""

    verdict: str
    status: int = 0
    sent: tuple[tuple[str, str], ...] = ()
    removed: frozenset[str] = frozenset()
    told: str = ""
    """Everything the client gets to read of a refusal."""

    def arriving(self, lines: list[tuple[str, bytes]]) -> list[tuple[str, str]]:
        """The header lines that reach the server: what the client sent, as the proxy leaves it."""
        gone = {name for name, _ in self.sent} | self.removed
        kept = [(name, value.decode("latin-1")) for name, value in lines]
        return [*((n, v) for n, v in kept if n.lower() not in gone), *self.sent]


class Door(Protocol):
    """A way in."""

    async def send(self, sent: Sent) -> Outcome:
        """Make the request and say what became of it."""


def latin(value: bytes) -> str:
    return value.strip(BLANKS).decode("latin-1")


def joined(lines: list[tuple[str, bytes]]) -> tuple[dict[str, str], frozenset[str]]:
    headers: dict[str, str] = {}
    repeated = set()
    for name, value in lines:
        key = name.lower()
        if key in headers:
            repeated.add(key)
            headers[key] += "," + latin(value)
        else:
            headers[key] = latin(value)
    return headers, frozenset(repeated)


def _reason(body: str) -> str:
    try:
        document = json.loads(body)
        document = (
            document.get("error", {}).get("data", document) if "jsonrpc" in document else document
        )
        return str(document.get("reason", UNREADABLE))
    except (ValueError, AttributeError):
        return UNREADABLE


@dataclass
class EngineDoor:
    """No door at all: the authorizer itself."""

    world: World

    async def send(self, sent: Sent) -> Outcome:
        headers, repeated = joined(sent.lines())
        decision = await self.world.authorizer.check(
            Request(
                method=sent.method,
                host=sent.host,
                target=sent.target,
                headers=headers,
                repeated=repeated,
                server=sent.server,
                body=sent.body,
                body_truncated=sent.truncated or "x-envoy-auth-partial-body" in headers,
                mcp_metadata=sent.mcp,
            ),
            "engine",
        )
        if isinstance(decision, Allow):
            removed = frozenset(decision.remove)
            return Outcome(ALLOW, 200, decision.headers, removed)
        told = f"{decision.headers} {decision.body.decode()}"
        if isinstance(decision, Answer):
            return Outcome(ANSWER, decision.status, told=told)
        return Outcome(decision.reason.value, decision.status, told=told)


def partial_body(sent: Sent) -> tuple[str, bytes]:
    """What Envoy says beside a body: whether it is only the beginning of it."""
    return "x-envoy-auth-partial-body", str(sent.truncated).lower().encode()


def check_request(sent: Sent, *, raw: bool) -> CheckRequest:
    """What Envoy would say of a request; ``raw`` as with encode_raw_headers."""
    message = CheckRequest()
    http = message.attributes.request.http
    http.method, http.path, http.host = sent.method, sent.target, sent.host
    http.protocol, http.scheme = "HTTP/1.1", "https"
    pseudo = [(":method", sent.method), (":path", sent.target), (":authority", sent.host)]
    lines = [*((name, value.encode()) for name, value in pseudo), *sent.lines()]
    if sent.body is not None:
        lines.append(partial_body(sent))
        http.raw_body = sent.body
    if raw:
        for name, value in lines:
            http.header_map.headers.add(key=name.lower(), raw_value=value)
    else:
        headers, _ = joined(lines)
        for name, text in headers.items():
            # Envoy's stand-in for bytes that are no UTF-8 is an exclamation mark.
            readable = text.encode("latin-1").decode("utf-8", "replace").replace("\ufffd", "!")
            http.headers[name] = readable
    if sent.server is not None:
        message.attributes.context_extensions["mcp_server"] = sent.server
    if sent.mcp is not None:
        struct = Struct()
        struct.update(dict(sent.mcp))
        message.attributes.metadata_context.filter_metadata[MCP_NAMESPACE].CopyFrom(struct)
    return message


def outcome_of(response: CheckResponse) -> Outcome:
    """What Envoy would make of a reply."""
    if response.status.code == 0:
        ok = response.ok_response
        assert response.HasField("ok_response"), "an allow that says nothing"
        sent = tuple((one.header.key, one.header.value) for one in ok.headers)
        return Outcome(ALLOW, 200, sent, frozenset(ok.headers_to_remove))
    denied = response.denied_response
    status = denied.status.code
    told = f"{[(one.header.key, one.header.value) for one in denied.headers]} {denied.body}"
    reason = _reason(denied.body)
    if reason == UNREADABLE and status in (200, 204, 307, 404):
        return Outcome(ANSWER, status, told=told)
    return Outcome(reason, status, told=told)


@dataclass
class GrpcClient:
    """Asks as Envoy does, over gRPC; ``raw`` as with encode_raw_headers."""

    channel: grpc.aio.Channel
    raw: bool
    address: str = ""

    async def send(self, sent: Sent) -> Outcome:
        return outcome_of(await self.check(check_request(sent, raw=self.raw).SerializeToString()))

    async def check(self, data: bytes) -> CheckResponse:
        ask: Any = self.channel.unary_unary(f"/{SERVICE}/Check")
        reply = await ask(data, timeout=10)
        return CheckResponse.FromString(reply)


@asynccontextmanager
async def grpc_door(world: World, *, raw: bool = True) -> AsyncIterator[GrpcClient]:
    """The gRPC door on a port of its own, and a client."""
    door = GrpcDoor(world.authorizer, TcpAddress("127.0.0.1", 0))
    address = await door.start()
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    try:
        async with grpc.aio.insecure_channel(str(address), options=options) as channel:
            yield GrpcClient(channel, raw, str(address))
    finally:
        await door.stop(0)


@dataclass
class HttpClient:
    """Asks as one kind of proxy does, over HTTP/1.1."""

    port: int
    flavour: str

    async def send(self, sent: Sent) -> Outcome:
        response = await exchange(self.port, self._question(sent))
        status_line, _, rest = response.partition(b"\r\n")
        fields, _, body = rest.partition(b"\r\n\r\n")
        status = int(status_line.split(b" ")[1])
        lines = [line.partition(b":") for line in fields.split(b"\r\n")]
        headers = tuple((latin(name).lower(), latin(value)) for name, _, value in lines)
        if status == 200:
            return Outcome(ALLOW, status, self._forwarded(headers), self._removed(headers))
        told = f"{headers} {body.decode()}"
        reason = _reason(body.decode())
        given = dict(headers)
        if self.flavour == "nginx" and reason != UNREADABLE:
            assert status in (401, 403)
            assert _reason(given["x-extauthz-body"]) == reason
            assert len(given["x-extauthz-body"]) <= 1024
            status = int(given["x-extauthz-status"])
        return Outcome(reason, status, told=told)

    def _question(self, sent: Sent) -> bytes:
        lines = [(name.encode(), value) for name, value in sent.lines()]
        target = sent.target.encode()
        if self.flavour == "envoy-http":
            told = [] if sent.body is None else [partial_body(sent)]
            merged, _ = joined([*sent.lines(), *told])
            lines = [(name.encode(), value.encode("latin-1")) for name, value in merged.items()]
            first = b"%b /auth/envoy%b HTTP/1.1" % (sent.method.encode(), target)
            lines.insert(0, (b"Host", sent.host.encode()))
        else:
            method = "GET" if self.flavour == "nginx" else sent.method
            first = b"%b /auth/%b HTTP/1.1" % (method.encode(), self.flavour.encode())
            own = {"Uri": target, "Method": sent.method.encode(), "Host": sent.host.encode()}
            prefix = "X-Original-"
            if self.flavour == "forward":
                own["Proto"], prefix = b"https", "X-Forwarded-"
            lines = [
                (b"Host", b"127.0.0.1"),
                *((f"{prefix}{name}".encode(), value) for name, value in own.items()),
                *lines,
            ]
        if sent.body:
            lines.append((b"Content-Length", b"%d" % len(sent.body)))
        text = b"".join(b"%b: %b\r\n" % line for line in lines)
        return first + b"\r\n" + text + b"\r\n" + (sent.body or b"")

    def _forwarded(self, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        own = ("content-", "date", "access-control-", "vary", "x-envoy-auth-headers", "connection")
        return tuple((name, value) for name, value in headers if not name.startswith(own))

    def _removed(self, headers: tuple[tuple[str, str], ...]) -> frozenset[str]:
        if self.flavour == "envoy-http":
            named = dict(headers).get("x-envoy-auth-headers-to-remove", "")
            return frozenset(filter(None, named.split(",")))
        # The configurations that are shipped overwrite every exact name, with nothing if need be.
        return EXACT_NAMES


EXACT_NAMES = frozenset(
    f"x-auth-{name}"
    for name in (
        "subject", "issuer", "client-id", "scopes", "audience", "token-id", "issued-at",
        "expires-at", "server",
    )
) | {"x-user-email", "x-groups", "authorization"}  # fmt: skip


async def exchange(port: int, data: bytes) -> bytes:
    """Send bytes on a new connection and read one response whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            if data.startswith(b"HEAD "):
                length = 0
            return head + await reader.readexactly(length)
    finally:
        writer.close()


@asynccontextmanager
async def http_door(world: World, flavour: str) -> AsyncIterator[HttpClient]:
    """The HTTP listener on a port of its own, and a client that asks as a proxy does."""
    trusted = TrustedPeers([ip_network("127.0.0.0/8")])
    door = HttpDoor(world.authorizer, trusted)
    server = HttpServer(door, TcpAddress("127.0.0.1", 0), recall=door.again)
    address = await server.start()
    assert isinstance(address, TcpAddress)
    try:
        yield HttpClient(address.port, flavour)
    finally:
        await server.stop(0)


def can_carry(flavour: str, case: Case) -> bool:
    """Whether a proxy of this kind could ask about such a request at all."""
    sent = case.sent
    if flavour not in case.doors:
        return False
    if flavour in ("engine", "grpc"):
        return True
    # Over HTTP a body is whole, and one of nothing is none; Envoy alone says otherwise.
    if flavour != "envoy-http" and (sent.truncated or sent.body == b""):
        return False
    text = [sent.target.encode(), sent.host.encode(), *(value for _, value in sent.lines())]
    if any(b"\r" in one or b"\n" in one for one in text):
        return False
    # A proxy hands on neither its own headers' namesakes of a client (nginx, Traefik) nor, as
    # Envoy's http_service, a target without a path or of odd bytes.
    odd = any(byte <= 0x20 or byte >= 0x7F for byte in sent.target.encode())
    return flavour != "envoy-http" or (sent.target.startswith("/") and not odd)

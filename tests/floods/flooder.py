"""Floods a port on loopback, from a process of its own: ``python -m tests.floods.flooder ORDER``.

ORDER is JSON: ``flood`` names one, ``port``, ``connections``, ``seconds`` and ``count`` bound it,
and what is sent is made before the first byte leaves. It ends by itself after ``seconds``, and
prints what it has sent and what came of it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc

from extauthz._pb.external_auth_pb2 import CheckResponse
from tests.attacks.doors import check_request, outcome_of
from tests.attacks.table import Sent
from tests.live import CHECK, check_of
from tests.tokens import b64, good_claims

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@dataclass(frozen=True)
class Order:
    """What is asked for. ``issuer``, ``kid`` and ``good``, a good token, are for making tokens."""

    flood: str
    port: int
    connections: int
    seconds: float
    count: int
    issuer: str = ""
    kid: str = ""
    good: str = ""

    def claims(self) -> dict[str, object]:
        return good_claims(time.time(), iss=self.issuer, jti=secrets.token_hex(8))


def unsigned(order: Order, payload: bytes | None = None, **header: str) -> str:
    """A token whose signature is made up, so that each costs what looking at it costs."""
    head = b64(json.dumps({"alg": "ES256", "kid": order.kid, **header}))
    body = b64(json.dumps(order.claims()) if payload is None else payload)
    return f"{head}.{body}.{b64(secrets.token_bytes(64))}"


def deep(order: Order) -> str:
    return unsigned(order, b'{"deep":' + b"[" * 11_000 + b"]" * 100 + b"}")


def deep_body(order: Order) -> bytes:
    body = b'{"jsonrpc":"2.0","method":"tools/call","params":' + b"[" * 1_000_000
    sent = Sent(token=order.good, target="/tools/mcp", body=body)
    return check_request(sent, raw=True).SerializeToString()


CHECKS: dict[str, Callable[[Order], bytes]] = {
    "random kids": lambda order: check_of(unsigned(order, kid=secrets.token_hex(8))),
    "unique invalid tokens": lambda order: check_of(unsigned(order)),
    "1 MB tokens": lambda order: check_of(unsigned(order) + "A" * (1 << 20)),
    "deep JSON in tokens": lambda order: check_of(deep(order)),
    "deep JSON in bodies": deep_body,
}


async def checks(order: Order) -> Counter[str]:
    """Ask over gRPC, one question after another on each connection."""
    make = CHECKS[order.flood]
    messages = [make(order) for _ in range(min(order.count, 200))]
    outcomes: Counter[str] = Counter()
    ends = time.monotonic() + order.seconds
    left = order.count

    async def one() -> None:
        nonlocal left
        options = [
            ("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1),
        ]  # fmt: skip
        async with grpc.aio.insecure_channel(f"127.0.0.1:{order.port}", options=options) as channel:
            ask: Any = channel.unary_unary(CHECK)
            while left > 0 and time.monotonic() < ends:
                left -= 1
                message = messages.pop() if messages else make(order)
                try:
                    reply = await ask(message, timeout=20)
                    outcomes[outcome_of(CheckResponse.FromString(reply)).verdict] += 1
                except grpc.aio.AioRpcError as fault:
                    outcomes[fault.code().name] += 1

    await asyncio.gather(*(one() for _ in range(order.connections)))
    return outcomes


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def silent(order: Order) -> Counter[str]:
    """Open connections and say nothing, until ``seconds`` are over or all are closed."""
    return await _holding(order, lambda _: asyncio.sleep(order.seconds))


async def slow_headers(order: Order) -> Counter[str]:
    """Send a request whose head never ends, a byte at a time."""

    async def dribble(writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /auth/nginx HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        while True:
            await writer.drain()
            await asyncio.sleep(0.25)
            writer.write(b"a")

    return await _holding(order, dribble)


async def _holding(order: Order, say: Callable[[asyncio.StreamWriter], Any]) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    ends = time.monotonic() + order.seconds
    few_at_once = asyncio.Semaphore(200)

    async def one() -> None:
        try:
            async with few_at_once:
                reader, writer = await asyncio.open_connection("127.0.0.1", order.port)
        except OSError:
            outcomes["not connected"] += 1
            return
        talking = asyncio.ensure_future(say(writer))
        listening = asyncio.ensure_future(reader.read())
        left = max(0.0, ends - time.monotonic())
        done, _ = await asyncio.wait(
            {talking, listening}, timeout=left, return_when=asyncio.FIRST_COMPLETED
        )
        closed = listening in done or (talking in done and talking.exception() is not None)
        outcomes["closed by the service" if closed else "held until the end"] += 1
        for task in (talking, listening):
            task.cancel()
        await asyncio.gather(talking, listening, return_exceptions=True)
        writer.transport.abort()

    await asyncio.gather(*(one() for _ in range(order.connections)))
    return outcomes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def call_head() -> bytes:
    """The HPACK block of a call, without use of the dynamic table."""

    def literal(name: bytes, value: bytes) -> bytes:
        return b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value

    head = b"\x83\x86" + literal(b":path", CHECK.encode()) + literal(b":authority", b"x")
    return head + literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers")


def resets(order: Order) -> list[bytes]:
    head, code = call_head(), (8).to_bytes(4)
    streams = range(1, 2 * order.count, 2)
    return [frame(1, 4, number, head) + frame(3, 0, number, code) for number in streams]


def continuations(order: Order) -> list[bytes]:
    more = frame(9, 0, 1, b"\x10\x01a\x7f\x81\x1e" + b"b" * 4_000)
    return [frame(1, 0, 1, call_head()), *[more] * order.count]


def pings(order: Order) -> list[bytes]:
    return [frame(6, 0, 0, bytes(8))] * order.count


def settings(order: Order) -> list[bytes]:
    return [SETTINGS] * order.count


FRAMES: dict[str, Callable[[Order], list[bytes]]] = {
    "rapid reset": resets,
    "CONTINUATION": continuations,
    "PING": pings,
    "SETTINGS": settings,
}


async def frames(order: Order) -> Counter[str]:
    """Write frames as fast as they are taken; when cut off, connect anew."""
    script = FRAMES[order.flood](order)
    batches = [b"".join(script[at : at + 50]) for at in range(0, len(script), 50)]
    outcomes: Counter[str] = Counter()
    ends = time.monotonic() + order.seconds

    async def one() -> None:
        while time.monotonic() < ends:
            try:
                async with connected(order.port) as (reader, writer):
                    drained = asyncio.ensure_future(_drained(reader))
                    writer.write(PREFACE + SETTINGS)
                    for batch in batches:
                        if drained.done() or time.monotonic() > ends:
                            break
                        writer.write(batch)
                        async with asyncio.timeout(max(0.1, ends - time.monotonic())):
                            await writer.drain()
                        outcomes["frames"] += 50
                        await asyncio.sleep(0)
                    outcomes["cut off" if drained.done() else "written to the end"] += 1
                    drained.cancel()
                    writer.transport.abort()
            except OSError:
                outcomes["cut off"] += 1

    await asyncio.gather(*(one() for _ in range(order.connections)), return_exceptions=True)
    return outcomes


async def _drained(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(65_536):
            pass


def main(order: Order) -> None:
    held = {"silent connections": silent, "slow headers": slow_headers}
    flood = held.get(order.flood) or (checks if order.flood in CHECKS else frames)
    sys.stdout.write(json.dumps(dict(asyncio.run(flood(order)))))


if __name__ == "__main__":
    main(Order(**json.loads(sys.argv[1])))

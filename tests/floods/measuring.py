"""What good callers notice of a flood: how long they wait, and what memory it takes of the service.

The good caller asks at a fixed pace over one connection, as a proxy does, and counts from when it
meant to ask; so what is late because the answer before was late counts as late. Times on a shared
machine say little by themselves: they are measured and told, and only gross harm is a failure.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from extauthz._pb.external_auth_pb2 import CheckResponse
from tests.attacks.doors import outcome_of
from tests.live import CHECK, check_of

PACE = 0.01
"""Seconds between two questions of a good caller."""


@dataclass
class Waits:
    """How long a good caller waited for each answer, in seconds, and what the answers were."""

    seconds: list[float] = field(default_factory=list)
    verdicts: set[str] = field(default_factory=set)
    failed: int = 0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def p50(self) -> float:
        return self.percentile(0.5)

    @property
    def p99(self) -> float:
        return self.percentile(0.99)


async def good_caller(
    port: int, token: Callable[[], str], seconds: float, *, until: asyncio.Event | None = None
) -> Waits:
    """Ask over gRPC for so long, or until the event is set; each token may be another."""
    waits = Waits()
    asking: set[asyncio.Task[None]] = set()
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        ask: Any = channel.unary_unary(CHECK)
        await channel.channel_ready()

        async def one(meant: float) -> None:
            try:
                reply = await ask(check_of(token()), timeout=60)
            except grpc.aio.AioRpcError:
                waits.failed += 1
                return
            waits.seconds.append(time.perf_counter() - meant)
            waits.verdicts.add(outcome_of(CheckResponse.FromString(reply)).verdict)

        began = time.perf_counter()
        number = 0
        while time.perf_counter() - began < seconds and not (until and until.is_set()):
            meant = began + number * PACE
            await asyncio.sleep(max(0.0, meant - time.perf_counter()))
            task = asyncio.create_task(one(meant))
            asking.add(task)
            task.add_done_callback(asking.discard)
            number += 1
        await asyncio.gather(*asking)
    return waits


async def calm_and_flooded(
    port: int, token: Callable[[], str], seconds: float, flood: Callable[[], Awaitable[Any]]
) -> tuple[Waits, Waits, Any]:
    """Waits before the flood and during it, and what the flood came to."""
    await good_caller(port, token, 0.3)  # what is done once is done
    calm = await good_caller(port, token, seconds)
    over = asyncio.Event()

    async def flooding() -> Any:
        try:
            return await flood()
        finally:
            over.set()

    waits, came_to = await asyncio.gather(good_caller(port, token, 60, until=over), flooding())
    return calm, waits, came_to

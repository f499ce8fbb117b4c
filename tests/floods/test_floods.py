"""While one client floods us, others are answered, memory stays bounded, and then all is as before.

``make attack`` runs the full size and writes the figures down; the p99 of good callers then stays
within twice the calm one and a twentieth of a second. Here in short each flood has a second or two,
and good callers must be answered: how long that takes depends on what else the machine does.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import pytest

from extauthz.demo.minting import SigningKey
from tests.attacks.table import ALLOW
from tests.e2e.processes import REPOSITORY
from tests.faults.issuers import OddIssuer, configured, odd_issuer, rude_server
from tests.floods.measuring import calm_and_flooded
from tests.live import SERVER, Live
from tests.tallies import at_length, record
from tests.tokens import NOTES

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

MEGABYTE = 1 << 20
LONG = at_length()
COOLDOWN = 0.5
SLACK = 0.05
"""Seconds: a calm answer takes a few milliseconds, and so does one megabyte of a flood."""
# The good caller shares a core with the flooder, and is to wait for the service and not for it,
# nor for what it imports. Where other tests run as well, nothing would be left for who takes but
# what is idle.
GIVE_WAY = "import os; " + (
    "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))" if LONG else "os.nice(10)"
)
START = (
    'import runpy; runpy.run_module("tests.floods.flooder", run_name="__main__", alter_sys=True)'
)
TOOLS = {
    "name": "tools",
    "resource": "https://mcp.example.com/tools/mcp",
    "audiences": [NOTES],
    "issuers": ["*"],
    "tools": {"*": "allow"},
}


@dataclass
class Flooded:
    """A running service, its issuer, and tokens of good callers."""

    live: Live
    issuer: OddIssuer
    transport: str

    def tokens(self) -> Any:
        """One after another, of a hundred that each caller uses again and again."""
        made = cycle([self.issuer.token(jti=str(number)) for number in range(100)])
        return lambda: next(made)


@pytest.fixture(scope="module", params=["grpcio", "native"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flooded]:
    live = Live(tmp_path_factory.mktemp("floods"))
    with ExitStack() as stack:
        server = stack.enter_context(rude_server())
        issuer = odd_issuer(server, "good")
        settings = configured(issuer, refresh="10m", cooldown=f"{COOLDOWN:g}s", timeout="5s")
        live.configure([settings], grpc_transport=request.param, log={"level": "error"})
        document = json.loads(live.file.read_text()) | {"servers": [SERVER, TOOLS]}
        live.file.write_text(json.dumps(document))
        stack.enter_context(cores_apart(live))
        live.until_seen(issuer.token())
        yield Flooded(live, issuer, request.param)


@contextmanager
def cores_apart(live: Live) -> Iterator[None]:
    """The service runs on one core and all the rest on others, as it would on other machines."""
    before = os.sched_getaffinity(0)
    first, *rest = sorted(before)
    os.sched_setaffinity(0, {first})
    try:
        with live.running():
            os.sched_setaffinity(0, rest or before)
            yield
    finally:
        os.sched_setaffinity(0, before)


async def flood(service: Flooded, name: str, port: str, **how: Any) -> dict[str, int]:
    """Run the flooder to its end: what it counted."""
    order = {
        "flood": name,
        "port": service.live.ports[port],
        "issuer": service.issuer.url,
        "kid": service.issuer.key.kid,
        "good": service.issuer.token(),
        **how,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"{GIVE_WAY}; {START}", json.dumps(order),
        cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), how["seconds"] + 150)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    return dict(json.loads(output))


async def hold(service: Flooded, name: str, port: str, **how: Any) -> dict[str, int]:
    """Measure good callers before and during a flood; what the flooder counted."""
    live = service.live
    memory, held = live.memory(), False
    peak = memory
    calm = waits = None
    sent: dict[str, int] = {}

    async def flooding() -> dict[str, int]:
        nonlocal peak
        task = asyncio.create_task(flood(service, name, port, **how))
        while not task.done():
            await asyncio.wait({task}, timeout=0.1)
            peak = max(peak, live.memory())
        return task.result()

    try:
        calm, waits, sent = await calm_and_flooded(
            live.ports["grpc"], service.tokens(), 5.0 if LONG else 0.7, flooding
        )
        assert live.process.poll() is None
        assert waits.verdicts == {ALLOW}
        assert waits.failed <= 0.05 * (waits.failed + len(waits.seconds))
        if LONG:
            assert waits.p99 < 2 * calm.p99 + SLACK, "good callers are starved"
        assert peak - memory < 64 * MEGABYTE, "memory grows"
        assert live.see(service.issuer.token()) == ALLOW
        held = True
    finally:
        if calm is not None and waits is not None and waits.seconds:
            record(
                "floods", name=name, transport=service.transport, door=port, sent=sent, held=held,
                long=LONG,
                calm_p50=calm.p50, calm_p99=calm.p99, p50=waits.p50, p99=waits.p99,
                failed=waits.failed, answered=len(waits.seconds), grown=peak - memory,
            )  # fmt: skip
    return sent


# Name, connections, seconds and count in short, the same at length.
CHECKS = (
    ("unique invalid tokens", (2, 1.0, 400), (8, 20.0, 100_000)),
    ("1 MB tokens", (2, 1.0, 40), (4, 15.0, 2_000)),
    ("deep JSON in tokens", (2, 1.0, 400), (8, 15.0, 50_000)),
    ("deep JSON in bodies", (2, 1.0, 40), (4, 15.0, 1_000)),
)
FRAMES = (
    ("rapid reset", (2, 1.0, 5_000), (4, 15.0, 100_000)),
    ("CONTINUATION", (2, 1.0, 2_000), (4, 15.0, 20_000)),
    ("PING", None, (4, 10.0, 200_000)),
    ("SETTINGS", None, (4, 10.0, 200_000)),
)


def sized(short: tuple[int, float, int], long: tuple[int, float, int]) -> dict[str, Any]:
    return dict(zip(("connections", "seconds", "count"), long if LONG else short, strict=True))


@pytest.mark.parametrize(("name", "short", "long"), CHECKS, ids=[row[0] for row in CHECKS])
async def test_requests_that_are_refused(
    service: Flooded, name: str, short: Any, long: Any
) -> None:
    sent = await hold(service, name, "grpc", **sized(short, long))
    assert sent
    assert ALLOW not in sent
    assert not {"UNKNOWN", "INTERNAL"} & set(sent)


@pytest.mark.parametrize(
    ("name", "short", "long"),
    [row for row in FRAMES if LONG or row[1]],
    ids=[row[0] for row in FRAMES if LONG or row[1]],
)
async def test_frames(service: Flooded, name: str, short: Any, long: Any) -> None:
    assert (await hold(service, name, "grpc", **sized(short, long)))["frames"]


async def test_random_kids(service: Flooded) -> None:
    """The issuer sees one request per cooldown at most, and a rotation goes through."""
    how = sized((2, 1.6, 100_000), (8, 20.0, 1_000_000))
    issuer, live = service.issuer, service.live
    before = len(issuer.server.asked)

    async def rotate() -> SigningKey:
        await asyncio.sleep(how["seconds"] / 2)
        return issuer.rotate()

    rotating = asyncio.create_task(rotate())
    took = asyncio.get_running_loop().time()
    sent = await hold(service, "random kids", "grpc", **how)
    took = asyncio.get_running_loop().time() - took
    fresh = await rotating
    assert ALLOW not in sent
    assert sum(sent.values()) > 50
    fetches = len(issuer.server.asked) - before
    record("figures", name="fetches during random kids", transport=service.transport,
           fetches=fetches, seconds=round(took, 1), cooldown=COOLDOWN)  # fmt: skip
    assert 1 <= fetches <= 1 + took / COOLDOWN + 1
    live.until_seen(issuer.token(fresh))


@pytest.mark.parametrize("port", ["http", "grpc"])
async def test_connections_that_send_nothing(service: Flooded, port: str) -> None:
    if port == "http" and service.transport == "native":
        pytest.skip("the HTTP port is the same")
    connections = 10_000 if LONG else 500
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    how = {"connections": min(connections, soft - 200), "count": 0}
    sent = await hold(
        service, "silent connections", port, seconds=20.0 if LONG else 1.0, **how
    )  # fmt: skip
    assert sum(sent.values()) == how["connections"]
    service.live.until_seen(service.issuer.token())


async def test_slow_headers(service: Flooded) -> None:
    """Each is cut off in time; a proxy that is connected notices nothing."""
    if service.transport == "native":
        pytest.skip("the HTTP port is the same")
    connections = 2_000 if LONG else 100
    seconds = 20.0 if LONG else 7.0
    sent = await hold(
        service, "slow headers", "http", connections=connections, seconds=seconds, count=0
    )
    assert sent == {"closed by the service": connections}

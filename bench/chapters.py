"""What is measured, chapter by chapter."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import decisions
import load
from load import Load
from report import Report, spread
from running import floor, service
from world import Setup, World, check_request, in_turn, nginx_headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: what is measured and how long."""

    world: World
    report: Report
    seconds: float
    rounds: int

    def compare(self, floor_load: Callable[[], Load], *ours: Callable[[], Load]) -> list[Loads]:
        """Load the floor and the others in turn; the floor comes first in the result."""
        measures = (floor_load, *ours)
        found: list[list[Load]] = [[] for _ in measures]
        for _ in range(self.rounds):
            for measure, loads in zip(measures, found, strict=True):
                loads.append(measure())
        return [Loads(loads, found[0]) for loads in found]

    def tell(self, name: str, loads: Loads, *, plot: bool = False) -> None:
        """Report the median of several loads."""
        middle = load.median(loads.loads)
        wrong = f"  {middle.refused} REFUSED OR FAILED" if middle.refused else ""
        self.report.figure(name, f"{middle}{wrong}")
        if plot:
            self.report.rate(name, middle.rate)


@dataclass(frozen=True, slots=True)
class Loads:
    """Loads of one program, and those of the floor in the same rounds."""

    loads: list[Load]
    floor: list[Load]

    def ratios(self) -> list[float]:
        """Rate by rate of the floor, round by round."""
        pairs = zip(self.loads, self.floor, strict=True)
        return [mine.rate / least.rate for mine, least in pairs]

    def ratio(self) -> float:
        """The median of the ratios."""
        return sorted(self.ratios())[len(self.loads) // 2]


def decision(run: Run) -> None:
    """The decision alone."""
    world, report = run.world, run.report
    ((one, many),) = [
        (min(a), min(b))
        for a, b in [
            in_turn(
                run.rounds,
                lambda: decisions.cached(world),
                lambda: decisions.cached(world, Setup(servers=1000, issuers=100)),
            )
        ]
    ]
    report.figure("cached token", f"{one:.2f} µs")
    report.ratio("decision, cached token, µs", one, "<= 8")
    report.figure("cached tokens, 1,000 servers, 100 issuers", f"{many:.2f} µs")
    report.ratio("1,000 servers and 100 issuers / one of each", many / one, "<= 1.1")
    for size in (1024, 6144):
        pairs = [decisions.first_seen(world, size) for _ in range(run.rounds)]
        ratios = [seen / raw for seen, raw in pairs]
        seen, raw = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
        report.figure(f"first-seen RS256, {size} bytes", f"{seen:.1f} µs, raw verify {raw:.1f} µs")
        if size == 1024:
            middle = sorted(ratios)[len(ratios) // 2]
            report.ratio("first-seen RS256 1 KB / raw verify", middle, "<= 1.8")


def grpc(run: Run) -> None:
    """Check over gRPC, against an empty handler."""
    world, seconds = run.world, run.seconds
    message = check_request(world.token())
    with ExitStack() as stack:
        empty = stack.enter_context(floor("grpc-empty", world.folder))
        ours = stack.enter_context(service(world, Setup()))
        native = stack.enter_context(service(world, Setup(transport="native")))
        run.report.figure("size of the CheckRequest", f"{len(message)} bytes")
        least, mine, fast = run.compare(
            lambda: load.grpc(empty, message, seconds=seconds),
            lambda: load.grpc(ours.ports["grpc"], message, seconds=seconds),
            lambda: load.grpc(native.ports["grpc"], message, seconds=seconds),
        )
    run.tell("grpc.aio, empty handler", least, plot=True)
    run.tell("extauthz, grpcio, cached token", mine, plot=True)
    run.tell("extauthz, native, cached token", fast, plot=True)
    run.report.figure("grpcio / empty, round by round", spread(mine.ratios()))
    run.report.ratio("gRPC cached, grpcio / empty grpc.aio handler", mine.ratio(), ">= 0.9")
    run.report.ratio("gRPC cached, native / empty grpc.aio handler", fast.ratio(), ">= 4")


def http(run: Run) -> None:
    """/auth/nginx, against a constant answer of the same server."""
    world, seconds = run.world, run.seconds
    headers = nginx_headers(world.token())
    with ExitStack() as stack:
        constant = stack.enter_context(floor("http-constant", world.folder))
        ours = stack.enter_context(service(world, Setup()))
        least, mine = run.compare(
            lambda: load.http(constant, "/auth/nginx", headers, seconds=seconds),
            lambda: load.http(ours.ports["http"], "/auth/nginx", headers, seconds=seconds),
        )
    run.tell("the HTTP server, constant answer", least, plot=True)
    run.tell("extauthz, /auth/nginx, cached token", mine, plot=True)
    run.report.figure("/auth/nginx / constant, round by round", spread(mine.ratios()))
    run.report.ratio("HTTP /auth/nginx cached / constant answer", mine.ratio(), ">= 0.75")


ALL: Final[dict[str, Callable[[Run], None]]] = {"decision": decision, "grpc": grpc, "http": http}
QUICK: Final = ["decision", "grpc", "http"]
UNDER_LOAD: Final = frozenset({"grpc", "http"})

"""A service under load, disturbed in every way that operators disturb one.

    python -m tests.endurance.run --reloads 100 --rotations 20 --restarts 10 \\
        --report docs/operations/endurance.md
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from extauthz.demo.minting import SigningKey

from .client import Checker, Tally, World
from .disturbances import Disturber, Numbers, disturbers
from .load import H2load, Load, Wrk
from .questions import Asker
from .report import updated
from .stage import Replica, running

_LOADS: tuple[tuple[str, type[H2load | Wrk]], ...] = (
    ("envoy", H2load),
    ("envoy-http", H2load),
    ("envoy", Wrk),
    ("nginx", Wrk),
)


@dataclass(frozen=True)
class Pace:
    """How hard it is asked.

    ``rate`` is requests per second of each load generator, ``slice`` the seconds that each runs at
    a time, ``pause`` seconds between two questions of a checker. ``patient`` is for a machine that
    has other things to do: proxies wait longer than the shipped second, and a first token of a new
    key may meet keys that took longer than 250 ms to fetch.
    """

    rate: int
    slice: int
    pause: float
    patient: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a run showed."""

    numbers: Numbers
    seconds: float
    done: dict[str, int]
    tallies: list[Tally]
    replicas: list[Replica]
    faults: list[str]

    @property
    def complaints(self) -> list[str]:
        """Everything that was not as it should be."""
        found = [f"{tally.name}: {each}" for tally in self.tallies for each in tally.complaints]
        return [*self.faults, *found]


def endure(folder: Path, numbers: Numbers, pace: Pace) -> Outcome:
    """Run all of it in ``folder``."""
    first = SigningKey.generate("ES256")
    stop = threading.Event()
    with running(folder, first, patient=pace.patient) as stage:
        world = World(Asker(stage.standins, first, SigningKey.generate("ES256")))
        token = stage.steady_token()
        began = time.monotonic()
        checkers = [
            Checker(name, edge.port, world, stop, pace.pause) for name, edge in stage.edges.items()
        ]
        loads: list[Load] = [
            kind(
                name,
                stage.edges[name].port,
                token,
                folder / name,
                stop,
                rate=pace.rate,
                seconds=pace.slice,
            )
            for name, kind in _LOADS
        ]
        disturbing = disturbers(stage, world, numbers, patient=pace.patient)
        for thread in (*checkers, *loads, *disturbing):
            thread.start()
        for disturber in disturbing:
            disturber.join()
        stop.set()
        for thread in (*checkers, *loads):
            thread.join()
        seconds = time.monotonic() - began
        return Outcome(
            numbers=numbers,
            seconds=seconds,
            done={one.name: one.done for one in disturbing},
            tallies=[*(one.tally for one in checkers), *(one.tally for one in loads)],
            replicas=stage.replicas,
            faults=list(_faults(disturbing)),
        )


def _faults(disturbing: Sequence[Disturber]) -> Sequence[str]:
    return [
        f"{one.name}: after {one.done}: {type(one.fault).__name__}: {one.fault}"
        for one in disturbing
        if one.fault is not None
    ]


def main() -> int:
    """Run it and write the report; 1 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.endurance.run")
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--rotations", type=int, default=20)
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--rate", type=int, default=100, help="requests/s of each generator")
    parser.add_argument("--report", type=Path, help="page to write the figures into")
    options = parser.parse_args()
    numbers = Numbers(options.reloads, options.rotations, options.restarts, pause=10.0)
    folder = Path(tempfile.mkdtemp(prefix="endurance-"))
    outcome = endure(folder, numbers, Pace(options.rate, slice=10, pause=0.02))
    page, told = updated(options.report, outcome)
    print(told)
    if options.report is not None:
        options.report.write_text(page)
    for complaint in outcome.complaints:
        print(complaint, file=sys.stderr)
    if outcome.complaints:
        print(f"logs are in {folder}", file=sys.stderr)
    return 1 if outcome.complaints else 0


if __name__ == "__main__":
    sys.exit(main())

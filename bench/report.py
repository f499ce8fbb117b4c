"""Figures as they come in: printed, and at the end written to results.md and results.svg."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from plot import bars

_HEAD: Final = """\
# Results

Made by `make bench` on {when}, {cores} cores ({machine}), load average {before} before and
{after} after, CPython {python}.
Ratios are between programs measured in turn in this one run; absolute figures are of this
machine. `docs/performance.md` says what they mean.

![Checks per second](results.svg)
"""


@dataclass(slots=True)
class _Chapter:
    title: str
    lines: list[str] = field(default_factory=list)
    ratios: list[tuple[str, float, str]] = field(default_factory=list)


class Report:
    """Collects figures by chapter."""

    def __init__(self) -> None:
        self._chapters: list[_Chapter] = []
        self._rates: list[tuple[str, float]] = []
        self._before = _load_average()

    def begin(self, title: str) -> None:
        """Open a chapter."""
        self._chapters.append(_Chapter(title))
        print(f"\n== {title}", flush=True)

    def figure(self, name: str, value: object) -> None:
        """One line: what was measured, and what came out."""
        self._chapters[-1].lines.append(f"| {name} | {value} |")
        print(f"  {name:<58} {value}", flush=True)

    def rate(self, name: str, value: float) -> None:
        """A rate for the plot, in requests per second."""
        self._rates.append((name, value))

    def ratio(self, name: str, value: float, aim: str) -> None:
        """A ratio, and what it should be (such as ``>= 0.9``)."""
        sign, _, bound = aim.partition(" ")
        limit = float(bound)
        reached = value >= limit if sign == ">=" else value <= limit
        said = f"{value:.2f}  (aim {aim}: {'reached' if reached else 'NOT reached'})"
        self._chapters[-1].ratios.append((name, value, aim))
        self._chapters[-1].lines.append(f"| **{name}** | **{said}** |")
        print(f"  {name:<58} {said}", flush=True)

    def missing(self, name: str, why: str) -> None:
        """A chapter that could not be measured."""
        self.begin(name)
        self.figure("not measured", why)

    def end(self) -> None:
        """Print every ratio once more."""
        print("\n== ratios")
        for chapter in self._chapters:
            for name, value, aim in chapter.ratios:
                print(f"  {name:<58} {value:.2f}  (aim {aim})")

    def write(self, folder: Path) -> None:
        """Write results.md and results.svg."""
        text = _HEAD.format(
            when=datetime.now(UTC).strftime("%Y-%m-%d"),
            python=sys.version.replace("\n", " "),
            cores=os.cpu_count(),
            machine=platform.machine(),
            before=self._before,
            after=_load_average(),
        )
        for chapter in self._chapters:
            rows = "\n".join(["| | |", "| --- | --- |", *chapter.lines])
            text += f"\n## {chapter.title.capitalize()}\n\n{rows}\n"
        (folder / "results.md").write_text(text)
        (folder / "results.svg").write_text(bars("Requests per second", self._rates))
        print(f"\nwritten: {folder / 'results.md'}, {folder / 'results.svg'}")


def spread(values: Sequence[float]) -> str:
    """The median, and between what the values lie."""
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 2]:.2f} ({ordered[0]:.2f} to {ordered[-1]:.2f})"


def _load_average() -> str:
    return f"{os.getloadavg()[0]:.1f}"

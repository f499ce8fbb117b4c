"""The figures of a run, as the part of a page that the run writes."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run import Outcome

BEGIN = "<!-- written by make endure -->\n"
END = "<!-- end of what is written -->\n"


def updated(page: Path | None, outcome: Outcome) -> tuple[str, str]:
    """The page with these figures, and the figures alone."""
    told = _figures(outcome)
    if page is None:
        return "", told
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{told}\n{END}{after}", told


def _figures(outcome: Outcome) -> str:
    numbers = outcome.numbers
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    done = ", ".join(f"{count} {what}" for what, count in outcome.done.items())
    took = f"Python {platform.python_version()}, {outcome.seconds:.0f} s"
    asked = f"asked for: {numbers.reloads}, {numbers.rotations}, {numbers.restarts}"
    lines = [
        f"{when}, `make endure`, {took}: {done} ({asked}).",
        "",
        "| who asked, through what | requests | 2xx | 4xx | 5xx | no answer | wrong | slowest |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    total = [0] * 6
    for tally in outcome.tallies:
        by_class = [
            sum(n for status, n in tally.statuses.items() if status // 100 == c) for c in (2, 4, 5)
        ]
        figures = [tally.requests, *by_class, tally.statuses[0], tally.wrong]
        total = [a + b for a, b in zip(total, figures, strict=True)]
        lines.append(_row(tally.name, figures, f"{tally.slowest * 1000:.0f} ms"))
    lines += [_row("**all**", total, ""), ""]
    lines += ["| replica | starts | most memory | most open files |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {one.name} | {one.starts} | {one.most_memory / 2**20:.0f} MiB | {one.most_open_files} |"
        for one in outcome.replicas
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, figures: list[int], slowest: str) -> str:
    return f"| {name} | " + " | ".join(f"{figure:,}" for figure in figures) + f" | {slowest} |"

"""Counts the cases of the attack table, and prints how many were refused as they should be.

With EXTAUTHZ_SCOREBOARD the same goes into that file.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_tried: Counter[str] = Counter()
_right: Counter[str] = Counter()
_rows: dict[str, set[int]] = {}

_HEAD = (
    "# Scoreboard",
    "",
    "Written by `make attack`. What the rows are and why they are refused:",
    "[threat model](threat-model.md).",
    "",
)
ROOT = Path(__file__).resolve().parents[2]
Tally = Callable[[int, str, bool, list[str]], None]


@pytest.fixture
def tally() -> Tally:
    """Called once a case: row, way in, whether it is to be allowed, what was wrong."""

    def count(row: int, way: str, allowed: bool, faults: list[str]) -> None:
        kind = f"{way}: allowed" if allowed else f"{way}: refused"
        _tried[kind] += 1
        _right[kind] += not faults
        _rows.setdefault(way, set()).add(row)

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _tried:
        return
    terminalreporter.section("attack table")
    lines = list(_scoreboard())
    for line in lines:
        terminalreporter.line(line)
    if file := os.environ.get("EXTAUTHZ_SCOREBOARD"):
        Path(file).write_text("\n".join((*_HEAD, *lines, "")))


def _scoreboard() -> Iterator[str]:
    yield "| way in | rows | refused as told | let through as told |"
    yield "| --- | ---: | ---: | ---: |"
    for way, rows in sorted(_rows.items()):
        refused, allowed = f"{way}: refused", f"{way}: allowed"
        yield (
            f"| {way} | {len(rows)} | {_right[refused]} of {_tried[refused]} "
            f"| {_right[allowed]} of {_tried[allowed]} |"
        )
    counts = sorted((ROOT / ".fuzz").glob("*.count"))
    if counts:
        yield ""
        yield "| fuzz target | executions on this machine |"
        yield "| --- | ---: |"
        for file in counts:
            yield f"| {file.stem} | {int(file.read_text()):,} |"

"""Counts the cases of the attack table, and prints how many were refused as they should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

_tried: Counter[str] = Counter()
_right: Counter[str] = Counter()
_rows: dict[str, set[int]] = {}

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
    for kind in sorted(_tried):
        rows = len(_rows[kind.partition(":")[0]])
        terminalreporter.line(f"{kind:24} {_right[kind]:5} of {_tried[kind]:5}  ({rows} rows)")

"""Counts the cases of the attack table for the scoreboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.tallies import record

Tally = Callable[[int, str, bool, list[str]], None]


@pytest.fixture
def tally() -> Iterator[Tally]:
    """Called once a case: row, way in, whether it is to be allowed, what was wrong."""
    tried: Counter[tuple[int, str, bool]] = Counter()
    wrong: Counter[tuple[int, str, bool]] = Counter()

    def count(row: int, way: str, allowed: bool, faults: list[str]) -> None:
        tried[row, way, allowed] += 1
        wrong[row, way, allowed] += bool(faults)

    yield count
    for (row, way, allowed), cases in tried.items():
        faults = wrong[row, way, allowed]
        record("attacks", row=row, way=way, allowed=allowed, cases=cases, faults=faults)

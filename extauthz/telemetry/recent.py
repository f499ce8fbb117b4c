"""Decisions of the last minutes, for the status page.

Nothing is done per request but to compare the time: once a minute the counters since the
start are copied, and two copies apart tell what happened between them.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from .counts import DecisionCounts, DecisionKey

MINUTES: Final = 15
"""How many whole minutes are remembered."""


class RecentDecisions:
    """The last minutes of ``counts``; times are seconds of a monotonic clock."""

    def __init__(self, counts: DecisionCounts, now: float) -> None:
        self._counts = counts
        minute = _minute(now)
        self._starts: deque[tuple[int, dict[tuple[str, str, str, str], int]]] = deque(
            [(minute, dict(counts.by_key))], maxlen=MINUTES + 1
        )
        self.next_minute = (minute + 1) * 60.0

    def copied(self, counts: DecisionCounts) -> RecentDecisions:
        """What is remembered now, beside a copy of the counts that another thread may read."""
        copy = RecentDecisions(counts, 0.0)
        copy._starts = self._starts.copy()
        return copy

    def roll(self, now: float) -> None:
        """Note where the counters stand: to be called when ``next_minute`` is reached."""
        minute = _minute(now)
        if minute > self._starts[-1][0]:
            self._starts.append((minute, dict(self._counts.by_key)))
            self.next_minute = (minute + 1) * 60.0

    def last(self, minutes: int, now: float) -> Counter[DecisionKey]:
        """What was counted in the current minute and the ``minutes - 1`` before it."""
        return self._between(_minute(now) - minutes + 1, None, now)

    def per_minute(self, now: float) -> list[Counter[DecisionKey]]:
        """What was counted in each remembered minute, the current one last."""
        current = _minute(now)
        first = current - MINUTES + 1
        return [self._between(m, m + 1, now) for m in range(first, current + 1)]

    def _between(self, start: int, end: int | None, now: float) -> Counter[DecisionKey]:
        self.roll(now)
        before = self._at_start_of(start)
        after = self._counts.by_key if end is None else self._at_start_of(end)
        return Counter(
            {
                DecisionKey(*key): count - before.get(key, 0)
                for key, count in after.items()
                if count > before.get(key, 0)
            }
        )

    def _at_start_of(self, minute: int) -> dict[tuple[str, str, str, str], int]:
        # Idle minutes leave no copy: nothing was counted until the next one that is there.
        for known, counts in self._starts:
            if known >= minute:
                return counts
        return self._counts.by_key


def _minute(now: float) -> int:
    return int(now // 60)

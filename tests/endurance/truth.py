"""What is true at what time: which configurations may answer, and which keys are good."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Permitted(Generic[T]):
    """A set of possibilities that changes over time; a question may have met any in its time."""

    def __init__(self, *values: T) -> None:
        self._lock = threading.Lock()
        self._history: list[tuple[float, frozenset[T]]] = [(0.0, frozenset(values))]

    def become(self, *values: T) -> None:
        """From now on these."""
        with self._lock:
            self._history.append((time.monotonic(), frozenset(values)))

    def during(self, start: float, end: float) -> frozenset[T]:
        """All that were possible at some moment between two times of ``time.monotonic``."""
        with self._lock:
            history = list(self._history)
        found: set[T] = set()
        for (since, values), until in zip(history, _ends(history), strict=True):
            if since <= end and until >= start:
                found |= values
        return frozenset(found)


def _ends(history: list[tuple[float, frozenset[T]]]) -> Iterable[float]:
    return [*(since for since, _ in history[1:]), float("inf")]

"""Counters of the hot path: plain numbers, turned into Prometheus's words when scraped.

A child of a prometheus_client metric takes a lock for each observation; one dictionary
increment per request is several times cheaper, and putting it off cheaper still. Reading and
writing both happen on the event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, NamedTuple

from extauthz.core.model import Allow, Decision, Deny

ALLOW: Final = "allow"
DENY: Final = "deny"
AUDIT_DENY: Final = "audit_deny"
ANSWER: Final = "answer"
PUBLIC: Final = "public"
OUTCOMES: Final = (ALLOW, DENY, AUDIT_DENY, ANSWER, PUBLIC)
"""Every value of the label ``decision``; ``audit_deny`` is an allow that would be a refusal."""

DECISION_BOUNDS: Final = (
    0.00005,
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
)
"""Upper bounds in seconds: from a cached token to the longest wait for keys."""

FETCH_BOUNDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds: from a neighbour's key document to one that timed out."""

_BATCH: Final = 256


class DecisionKey(NamedTuple):
    """What decisions are counted by. Empty strings stand for no server and no reason."""

    server: str
    decision: str
    reason: str
    transport: str


def outcome_of(decision: Decision) -> str:
    """The value of the label ``decision``, one of OUTCOMES."""
    if isinstance(decision, Allow):
        if decision.audited is not None:
            return AUDIT_DENY
        return PUBLIC if decision.token is None else ALLOW
    return DENY if isinstance(decision, Deny) else ANSWER


def reason_of(decision: Decision) -> str:
    """Why it was refused, or would have been under ``mode: enforce``; empty otherwise."""
    if isinstance(decision, Deny):
        return decision.reason
    if isinstance(decision, Allow) and decision.audited is not None:
        return decision.audited
    return ""


class Histogram:
    """Counts of values by upper bound, the last bucket being the one without a bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value; one that equals a bound lies within it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Bounds as Prometheus writes them, each with the count of all values up to it."""
        pairs: list[tuple[str, float]] = []
        running = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            pairs.append((bound, float(running)))
        return pairs


class DecisionCounts:
    """How often each outcome occurred since the start, and how long decisions took.

    ``by_key`` has plain tuples in the order of DecisionKey's fields: making a named one would
    cost more than counting it. What was observed last is counted in a batch, at the latest when
    somebody asks.
    """

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, str, str, str], int] = {}
        self._durations: dict[str, Histogram] = {}
        self._uncounted: list[tuple[str, str, str, str, float]] = []

    @property
    def by_key(self) -> dict[tuple[str, str, str, str], int]:
        """Decisions by server, outcome, reason and transport."""
        self._count()
        return self._by_key

    @property
    def durations(self) -> dict[str, Histogram]:
        """Seconds by transport."""
        self._count()
        return self._durations

    def copied(self) -> DecisionCounts:
        """How often each outcome had occurred by now; how long decisions took is left out."""
        copy = DecisionCounts()
        copy.replace(dict(self.by_key), {})
        return copy

    def replace(
        self, by_key: dict[tuple[str, str, str, str], int], durations: dict[str, Histogram]
    ) -> None:
        """Take what others have counted in place of all that was counted here."""
        self._by_key, self._durations = by_key, durations
        self._uncounted.clear()

    def observe(
        self, server: str, decision: str, reason: str, transport: str, seconds: float
    ) -> None:
        """Count one decision that took ``seconds``."""
        self._uncounted.append((server, decision, reason, transport, seconds))
        if len(self._uncounted) >= _BATCH:
            self._count()

    def _count(self) -> None:
        by_key, durations = self._by_key, self._durations
        for server, decision, reason, transport, seconds in self._uncounted:
            key = (server, decision, reason, transport)
            by_key[key] = by_key.get(key, 0) + 1
            histogram = durations.get(transport)
            if histogram is None:
                histogram = durations[transport] = Histogram(DECISION_BOUNDS)
            histogram.observe(seconds)
        self._uncounted.clear()

"""What the metrics of contract section 10 are made of; ``exposition`` writes them down.

Labels are bounded: configured names, the closed list of reasons, the doors. Never a
subject, a client or anything of a token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Final, NamedTuple, Protocol

from .counts import FETCH_BOUNDS, DecisionCounts, Histogram

OK: Final = "ok"
FAILED: Final = "failed"


class IssuerKeys(Protocol):
    """One issuer's keys as they are now: what ``extauthz.keys`` tells of them.

    ``age_seconds`` counts from the last time the issuer served them, None before the first.
    """

    @property
    def name(self) -> str:
        """The issuer's name."""

    @property
    def keys(self) -> Sized:
        """The usable keys."""

    @property
    def age_seconds(self) -> float | None:
        """Their age."""


class Usage(NamedTuple):
    """What processes take of the machine: processor time since their start, memory now."""

    cpu_seconds: float = 0.0
    resident_bytes: int = 0


class Metrics:
    """Everything that is counted or measured.

    What others know is asked for when scraped: ``keys``, ``token_cache`` (times by
    result, ``hit`` or ``miss``, since the start), ``dropped_lines``, ``lost_workers`` and
    ``workers`` (what processes besides this one take).
    """

    def __init__(self, *, version: str) -> None:
        self.decisions = DecisionCounts()
        self.keys: Callable[[], Iterable[IssuerKeys]] = tuple
        self.token_cache: Callable[[], Mapping[str, int]] = dict
        self.dropped_lines: Callable[[], int] = int
        self.lost_workers: Callable[[], int] = int
        self.workers: Callable[[], Usage] = Usage
        self.version = version
        self.refreshes: dict[tuple[str, str], int] = {}
        self.fetches: dict[str, Histogram] = {}
        self.reloads = {OK: 0, FAILED: 0}
        self.last_reload = OK

    def refreshed(self, issuer: str, result: str, seconds: float) -> None:
        """Count one attempt to refresh an issuer's keys that took ``seconds``."""
        key = (issuer, result)
        self.refreshes[key] = self.refreshes.get(key, 0) + 1
        self.fetches.setdefault(issuer, Histogram(FETCH_BOUNDS)).observe(seconds)

    def reloaded(self, ok: bool) -> None:
        """Count one attempt to take a changed configuration; a bad one keeps the old."""
        self.last_reload = OK if ok else FAILED
        self.reloads[self.last_reload] += 1

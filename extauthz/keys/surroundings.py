"""What the keys of an issuer are kept fresh with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .fetch import Fetcher
from .snapshot import SnapshotFolder
from .status import KeyObserver


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Everything outside: ``clock`` for durations, ``wall`` for dates, both in seconds."""

    clock: Callable[[], float]
    wall: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]
    fetcher: Fetcher
    observer: KeyObserver
    snapshots: SnapshotFolder | None

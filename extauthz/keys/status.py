"""What can be told of an issuer's keys, to people and to metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

RefreshResult = Literal["ok", "failed"]


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A usable key as its issuer publishes it. ``size`` is in bits.

    ``since_at`` is when it was first seen here, in seconds since the epoch.
    """

    kid: str | None
    kty: str
    algorithms: tuple[str, ...]
    size: int
    since_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerStatus:
    """How one issuer's keys stand.

    ``usable`` says whether tokens of the issuer can be judged now; otherwise there are no
    ``keys``. ``age_seconds`` counts
    from the last success; ``fetched_at``, ``next_refresh_at`` and ``last_error_at`` are
    seconds since the epoch. ``last_error`` is that of the last attempt, None if it
    succeeded. ``skipped`` tells why keys of the set are not used. ``from_snapshot`` is true
    until a fetch succeeds.
    """

    name: str
    issuer: str
    jwks_file: str | None
    jwks_uri: str | None
    first_attempt_done: bool
    usable: bool
    keys: tuple[KeyInfo, ...]
    skipped: tuple[str, ...]
    fetched_at: float | None
    age_seconds: float | None
    next_refresh_at: float
    last_error: str | None
    last_error_at: float | None
    from_snapshot: bool


class KeyObserver(Protocol):
    """Who is told of refreshes: telemetry."""

    def refreshed(self, issuer: str, result: RefreshResult, seconds: float) -> None:
        """One attempt at the keys of ``issuer`` ended after ``seconds``."""


class NoObserver:
    """Tells nobody."""

    def refreshed(self, issuer: str, result: RefreshResult, seconds: float) -> None:
        """Do nothing."""

"""What the admin listener shows of a running service, free of HTTP and HTML.

Points in time are seconds since the epoch and end in ``_at``; spans are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass

from extauthz.keys.status import IssuerStatus
from extauthz.telemetry.formats import timestamp
from extauthz.telemetry.refusals import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigStatus:
    """The configuration in force, and whether a newer one waits to be mended.

    ``digest`` is of the file's bytes, as decision lines have it; ``meaning`` is of the issuers and
    servers in it, however they are written. ``problems`` are those of the last attempt to take a
    changed file; the one before it stays in force. ``client_id`` is the MCP server's own
    registration (environment mode).
    """

    source: str
    digest: str
    meaning: str
    loaded_at: float
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    failed_at: float | None = None
    client_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether this replica should get traffic, and why not.

    ``listening`` says whether its doors are open, ``serving`` whether one of the processes behind
    them gave a sign of life lately.
    """

    draining: bool
    issuers: tuple[IssuerStatus, ...]
    config: ConfigStatus
    listening: bool = True
    serving: bool = True

    @property
    def ready(self) -> bool:
        """Whether requests can be judged (contract, section 7)."""
        return not self.obstacle

    @property
    def obstacle(self) -> str:
        """Why it is not ready, in one line; empty when it is."""
        if self.draining:
            return "draining: shutting down"
        waiting = [issuer.name for issuer in self.issuers if not issuer.first_attempt_done]
        if waiting:
            return f"the first attempt to get keys has not ended: {', '.join(waiting)}"
        if not any(issuer.usable for issuer in self.issuers):
            errors = {issuer.last_error for issuer in self.issuers if issuer.last_error}
            return f"no issuer has usable keys: {'; '.join(sorted(errors)) or 'no error is known'}"
        if not self.listening:
            return "starting: the listeners are about to open"
        return "" if self.serving else "no worker gives a sign of life: each ended or hangs"


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """One rule in words: ``kind`` of call, ``key`` of the file, and what it demands.

    An empty ``key`` stands for every name that no key matches.
    """

    kind: str
    key: str
    demand: str


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """How often one outcome occurred lately, and since the start."""

    decision: str
    reason: str
    last_5_minutes: int
    last_15_minutes: int
    since_start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """One MCP server: what it demands, and what became of requests for it.

    ``per_minute`` has (let through, refused) for each of the last minutes, the current one
    last; what audit would refuse was let through. Answers in the server's place are neither.
    """

    name: str
    resource: str | None
    matches: tuple[str, ...]
    issuers: tuple[str, ...]
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    rules: tuple[RuleStatus, ...]
    mode: str
    notes: tuple[str, ...]
    public_paths: tuple[str, ...]
    outcomes: tuple[OutcomeCount, ...]
    per_minute: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatus:
    """The memory of verified tokens; ``capacity`` 0 when it is off."""

    entries: int
    capacity: int
    hits: int
    misses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """All of it. ``elsewhere`` counts what concerned none of the servers.

    ``refusals`` are the last of each reason and server, the newest first. They are those that have
    a line in the log: with ``log.level: error`` only some have, and ``refusals_kept`` is False.
    """

    version: str
    now_at: float
    started_at: float
    health: Health
    servers: tuple[ServerStatus, ...]
    elsewhere: tuple[OutcomeCount, ...]
    cache: CacheStatus
    refusals: tuple[Refusal, ...] = ()
    refusals_kept: bool = True
    dropped_lines: int = 0


def as_json(value: object) -> object:
    """A status as JSON values: names stay, points in time become RFC 3339 texts."""
    if is_dataclass(value) and not isinstance(value, type):
        named = {f.name: getattr(value, f.name) for f in fields(value)}
        if isinstance(value, Health):
            named = {"ready": value.ready, "obstacle": value.obstacle, **named}
        return {
            name: timestamp(inner)
            if name.endswith("_at") and isinstance(inner, float)
            else as_json(inner)
            for name, inner in named.items()
        }
    return [as_json(inner) for inner in value] if isinstance(value, tuple) else value

"""Each MCP server as the status page tells it: its demands in words, its last minutes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from extauthz.core.claims import ClaimCondition
from extauthz.core.policy import Policy, Server
from extauthz.core.rules import Rule, RuleMap
from extauthz.telemetry.counts import ALLOW, AUDIT_DENY, DENY, PUBLIC, DecisionCounts, DecisionKey
from extauthz.telemetry.recent import MINUTES, RecentDecisions

from .status import OutcomeCount, RuleStatus, ServerStatus

FEW_MINUTES = 5
# What is answered in the server's place is neither this nor a refusal.
_LET_THROUGH = (ALLOW, PUBLIC, AUDIT_DENY)


@dataclass(slots=True)
class Traffic:
    """What became of the requests of one server.

    ``per_minute`` has (let through, refused) for each remembered minute, the current last.
    """

    outcomes: tuple[OutcomeCount, ...] = ()
    per_minute: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)] * MINUTES)


def traffic_by_server(
    counts: DecisionCounts, recent: RecentDecisions, now: float
) -> dict[str, Traffic]:
    """The traffic of each server that had any, under an empty name what concerned none.

    ``now`` is of the monotonic clock of ``recent``.
    """
    columns = (
        recent.last(FEW_MINUTES, now).items(),
        recent.last(MINUTES, now).items(),
        ((DecisionKey(*key), count) for key, count in dict(counts.by_key).items()),
    )
    sums: dict[str, dict[tuple[str, str], list[int]]] = {}
    for column, counted in enumerate(columns):
        for key, count in counted:
            rows = sums.setdefault(key.server, {})
            rows.setdefault((key.decision, key.reason), [0, 0, 0])[column] += count
    traffic = {server: Traffic(_outcomes(rows)) for server, rows in sums.items()}
    for minute, counter in enumerate(recent.per_minute(now)):
        for key, count in counter.items():
            passed, refused = traffic[key.server].per_minute[minute]
            if key.decision == DENY:
                refused += count
            elif key.decision in _LET_THROUGH:
                passed += count
            traffic[key.server].per_minute[minute] = passed, refused
    return traffic


def _outcomes(rows: dict[tuple[str, str], list[int]]) -> tuple[OutcomeCount, ...]:
    outcomes = [OutcomeCount(*what, *numbers) for what, numbers in rows.items()]
    outcomes.sort(key=lambda row: (-row.last_15_minutes, -row.since_start, row.reason))
    return tuple(outcomes)


def server_statuses(policy: Policy, traffic: dict[str, Traffic]) -> tuple[ServerStatus, ...]:
    """Every server of the policy in the order of the file."""
    none = Traffic()
    return tuple(_status(server, traffic.get(server.name, none)) for server in policy.servers)


def _status(server: Server, traffic: Traffic) -> ServerStatus:
    paths = [path or "/" for path in server.paths]
    return ServerStatus(
        name=server.name,
        resource=server.resource,
        matches=tuple(f"{host}{path}" for host in server.hosts for path in paths),
        issuers=tuple(issuer.name for issuer in server.issuers),
        audiences=("any",) if server.audiences is None else tuple(sorted(server.audiences)),
        scopes=server.scopes,
        rules=tuple(_rules(server)),
        mode="audit" if server.audit else "enforce",
        notes=tuple(_notes(server)),
        public_paths=(*sorted(server.public_exact), *(f"{p}*" for p in server.public_prefixes)),
        outcomes=traffic.outcomes,
        per_minute=tuple(traffic.per_minute),
    )


def _notes(server: Server) -> Iterator[str]:
    if server.audit:
        yield "Audit: refusals are only reported; every request reaches the server."
    if server.claims:
        demanded = "; ".join(map(_condition, server.claims))
        yield f"Every request needs this of its token: {demanded}."
    if server.audiences is None:
        yield "Tokens of any audience are accepted."
    if server.allow_unverified_calls:
        yield "Calls that cannot be verified pass without rules; only the server's scopes count."
    if server.header_versions:
        yield f"Mcp-* headers are believed for protocol version {_listed(server.header_versions)}."
    if server.origins is None:
        yield "Pages of any origin may call."
    if server.keep_token:
        yield "The caller's token is passed on to the server."
    if server.allowed_clients is not None:
        yield f"Only these clients may call: {_listed(server.allowed_clients)}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _rules(server: Server) -> Iterator[RuleStatus]:
    kinds = (
        ("tool", server.tools),
        ("prompt", server.prompts),
        ("resource", server.resources),
        ("method", server.methods),
    )
    for kind, rules in kinds:
        yield from (RuleStatus(kind, rule.key, in_words(rule)) for rule in rules.rules())
        if rules and not _catches_all(rules):
            rest = "denied" if rules.deny_others else "allowed"
            yield RuleStatus(kind, "", rest)


def _catches_all(rules: RuleMap) -> bool:
    return any(rule.key == "*" for rule in rules.rules())


def in_words(rule: Rule) -> str:
    """What a rule demands of a caller, on top of the server's scopes."""
    if rule.deny:
        return "denied"
    parts = []
    if rule.scopes:
        parts.append(f"needs {' and '.join(rule.scopes)}")
    if rule.any_scopes:
        parts.append(f"needs one of {', '.join(rule.any_scopes)}")
    parts += [_condition(condition) for condition in rule.claims]
    return "; ".join(parts) or "allowed"


def _condition(condition: ClaimCondition) -> str:
    values = " or ".join(map(str, condition.values))
    return f"claim {condition.name} is or contains {values}"

"""A made-up service on a bad day, as the admin listener sees it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from extauthz.adapters.server_status import server_statuses, traffic_by_server
from extauthz.adapters.status import (
    CacheStatus,
    ConfigStatus,
    Health,
    Status,
)
from extauthz.core.claims import ClaimCondition
from extauthz.core.policy import HostPattern, Issuer, Policy, Server
from extauthz.core.rules import Glob, Rule, RuleMap
from extauthz.keys.status import IssuerStatus, KeyInfo
from extauthz.telemetry.counts import DecisionCounts
from extauthz.telemetry.recent import RecentDecisions
from extauthz.telemetry.refusals import Refusal

NOW = 1_795_000_000.0

CORP = "https://idp.example.com/realms/acme"
PARTNER = "https://login.partner.example/tenant"


def issuers() -> tuple[Issuer, ...]:
    return tuple(
        Issuer(name=name, issuer=url, accepted=frozenset({url}), advertised=url)
        for name, url in (("corp", CORP), ("partner", PARTNER))
    )


def policy() -> Policy:
    corp, partner = issuers()
    danger, rest = Rule(key="danger_*", deny=True), Rule(key="*")
    tenant = ClaimCondition("/realm/tenant", ("realm", "tenant"), ("acme", "globex"))
    tools = RuleMap(
        exact={
            "add": Rule(key="add", scopes=("calculator.add",)),
            "transfer": Rule(
                key="transfer",
                scopes=("money.read",),
                any_scopes=("money.write", "money.admin"),
                claims=(tenant,),
            ),
        },
        globs=((Glob.parse("danger_*"), danger), (Glob.parse("*"), rest)),
    )
    calculator = Server(
        name="calculator",
        resource="https://mcp.example.com/calculator/mcp",
        hosts=(HostPattern("mcp.example.com"),),
        paths=("/calculator",),
        issuers=(corp, partner),
        audiences=frozenset({"https://mcp.example.com/calculator/mcp"}),
        scopes=("mcp.use",),
        tools=tools,
        prompts=RuleMap(exact={"summary": Rule(key="summary", scopes=("prompts.use",))}),
        public_exact=frozenset({"/calculator/health"}),
        public_prefixes=("/calculator/docs/",),
    )
    archive = Server(
        name="archive",
        resource="https://archive.example.com/mcp",
        hosts=(HostPattern("archive.example.com"), HostPattern("*.archive.example.com")),
        paths=("/mcp",),
        issuers=(corp,),
        audiences=None,
        audit=True,
        origins=None,
    )
    return Policy(issuers=(corp, partner), servers=(calculator, archive), digest="sha256:5f1c0a")


def traffic(minutes: int = 12) -> tuple[DecisionCounts, RecentDecisions, float]:
    """Some minutes of traffic; the last value is the time on the monotonic clock."""
    counts = DecisionCounts()
    recent = RecentDecisions(counts, 0.0)
    now = 0.0
    for minute in range(minutes):
        now = minute * 60.0 + 1
        recent.roll(now)
        for key, times in {
            ("calculator", "allow", "", "grpc"): 40 + 17 * (minute % 5),
            ("calculator", "deny", "missing_token", "grpc"): 3,
            ("calculator", "deny", "wrong_audience", "http"): 25 if minute in (6, 7) else 0,
            ("calculator", "answer", "", "grpc"): 1,
            ("archive", "audit_deny", "insufficient_scope", "grpc"): minute % 4,
            ("archive", "allow", "", "grpc"): 6,
            ("", "deny", "no_matching_server", "http"): 1,
        }.items():
            for _ in range(times):
                counts.observe(*key, 0.0001)
    return counts, recent, now


def health(now: float = NOW) -> Health:
    corp = IssuerStatus(
        name="corp",
        issuer=CORP,
        jwks_file=None,
        jwks_uri=f"{CORP}/protocol/openid-connect/certs",
        first_attempt_done=True,
        usable=True,
        keys=(
            KeyInfo(
                kid="FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE",
                kty="RSA",
                algorithms=("RS256",),
                size=2048,
                since_at=now - 86400 * 12,
            ),
            KeyInfo(kid=None, kty="EC", algorithms=("ES256",), size=256, since_at=now - 3600),
        ),
        skipped=("member 3: its RSA modulus has 1024 bits, fewer than 2048",),
        fetched_at=now - 134,
        age_seconds=134.0,
        next_refresh_at=now + 466,
        last_error=None,
        last_error_at=None,
        from_snapshot=False,
    )
    partner = replace(
        corp,
        name="partner",
        issuer=PARTNER,
        jwks_uri=None,
        usable=False,
        keys=(),
        skipped=(),
        fetched_at=None,
        age_seconds=None,
        next_refresh_at=now + 18,
        last_error="cannot connect to login.partner.example:443: connection refused",
        last_error_at=now - 12,
    )
    config = ConfigStatus(
        source="/etc/extauthz/extauthz.yaml",
        digest="sha256:5f1c0a8be2",
        meaning="90b7c1d2e3f4",
        loaded_at=now - 90_000,
        warnings=("servers[1]: audiences: any audience is accepted",),
        problems=('extauthz.yaml:12:5: servers[0].scope: unknown key, did you mean "scopes"?',),
        failed_at=now - 75,
    )
    return Health(draining=False, issuers=(corp, partner), config=config)


def quiet(status: Health) -> Health:
    """The same service on a good day."""
    corp = replace(status.issuers[0], skipped=())
    return Health(
        draining=False,
        issuers=(corp,),
        config=replace(status.config, problems=(), warnings=(), failed_at=None),
    )


def refused(seconds_ago: float, reason: str, **changes: Any) -> Refusal:
    """A refusal of so long ago, by the configuration in force."""
    usual: dict[str, Any] = {
        "decided_at": NOW - seconds_ago,
        "decision": "deny",
        "server": "calculator",
        "reason": reason,
        "status": 401,
        "detail": None,
        "http_method": "POST",
        "host": "mcp.example.com",
        "path": "/calculator/mcp",
        "method": None,
        "name": None,
        "transport": "grpc",
        "request_id": "18d9d33b-f63b-4b1c-9f6b-d77e43585121",
        "agent": None,
        "config": "sha256:5f1c0a8be2",
    }
    return Refusal(**(usual | changes))


def refusals() -> tuple[Refusal, ...]:
    call = {"method": "tools/call", "name": "transfer", "status": 403}
    elsewhere = {"server": None, "status": 403, "http_method": "GET", "path": "/"}
    audited = {
        "decision": "audit_deny",
        "server": "archive",
        "status": None,
        "host": "a.archive.example.com",
        "path": "/mcp",
        "transport": "http",
        "request_id": None,
    }
    detail = "no server matches host and path"
    return (
        refused(2, "missing_token"),
        refused(9, "insufficient_scope", detail="rule transfer", **call),
        refused(11, "no_matching_server", detail=detail, **elsewhere),
        refused(70, "wrong_audience", detail="not issued for archive", **audited),
        refused(400, "unknown_key", config="0c44d6a1f3ab", detail="no key of issuer corp fits"),
        refused(4000, "malformed_token", agent="extauthz-doctor", detail="not base64url"),
    )


def sample_status(*, bad_day: bool = True) -> Status:
    by_server = traffic_by_server(*traffic())
    servers = server_statuses(policy(), by_server)
    return Status(
        version="0.1.0",
        now_at=NOW,
        started_at=NOW - 93_000,
        health=health() if bad_day else quiet(health()),
        servers=servers if bad_day else servers[:1],
        elsewhere=by_server[""].outcomes if bad_day else (),
        refusals=refusals() if bad_day else (),
        cache=CacheStatus(entries=1240, capacity=100_000, hits=50_312, misses=1_876),
        dropped_lines=17 if bad_day else 0,
    )

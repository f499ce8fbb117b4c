"""The metrics: names and labels of the contract, and what makes them move."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families

from extauthz.core.model import Reason, Refusal
from extauthz.telemetry.counts import DECISION_BOUNDS, OUTCOMES, Histogram
from extauthz.telemetry.metrics import Usage
from tests.policies import asking
from tests.telemetry.listening import Listening
from tests.tokens import mint

ROOT = Path(__file__).parents[2]
EXTENSIONS = {
    "extauthz_log_dropped_total": frozenset[str](),
    "extauthz_workers_lost_total": frozenset[str](),
    "extauthz_config_last_reload_successful": frozenset[str](),
}
"""Ours beyond the contract."""


@dataclass(frozen=True)
class Keys:
    """What is told of an issuer's keys."""

    name: str
    keys: tuple[str, ...]
    age_seconds: float | None


def busy() -> Listening:
    """A service in which every metric has moved."""
    service = Listening()
    service.ask(asking(mint()))
    service.ask(asking(None))
    service.metrics.refreshed("corp", "ok", 0.2)
    service.metrics.reloaded(True)
    service.metrics.keys = lambda: [Keys("corp", ("a", "b"), 31.5)]
    return service


def labels_by_name(text: str) -> dict[str, frozenset[str]]:
    """Each of our metrics with the names of its labels, ``le`` of buckets left out."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = re.sub(r"_(bucket|sum|count)$", "", sample.name)
            found.setdefault(name, set()).update(set(sample.labels) - {"le"})
    return {name: frozenset(names) for name, names in found.items() if name.startswith("extauthz")}


def value(text: str, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


def test_the_names_and_labels_are_those_of_the_contract() -> None:
    """Section 10 lists them; build_info alone may say more of what is running."""
    contract = (ROOT / "docs/contract.md").read_text()
    section = contract.split("## 10. Metrics")[1].split("\n## ")[0]
    promised = {
        name: frozenset(labels.split(",")) if labels else frozenset()
        for name, labels in re.findall(r"`(extauthz_\w+)(?:\{([\w,]+)\})?`", section)
    }
    assert len(promised) == 9
    served = labels_by_name(busy().exposition())
    assert served.pop("extauthz_build_info") >= promised.pop("extauthz_build_info")
    assert served == promised | EXTENSIONS


def test_every_metric_is_explained_in_the_guide() -> None:
    guide = (ROOT / "docs/operations/metrics.md").read_text()
    names = set(labels_by_name(busy().exposition()))
    assert {name for name in names if f"`{name}" not in guide} == set()
    mentioned = set(re.findall(r"`(extauthz_\w+)", guide))
    assert {name for name in mentioned if name not in names} == set()


def test_every_label_value_of_a_decision_is_explained_in_the_guide() -> None:
    guide = (ROOT / "docs/operations/metrics.md").read_text()
    words = {*OUTCOMES, *Reason, "grpc", "http"}
    assert {word for word in words if f"`{word}`" not in guide} == set()


@pytest.mark.parametrize(
    ("target", "token", "decision", "reason", "server"),
    [
        ("/notes/mcp", True, "allow", "", "notes"),
        ("/notes/mcp", False, "deny", "missing_token", "notes"),
        ("/notes/health", False, "public", "", "notes"),
        ("/audited/mcp", False, "audit_deny", "missing_token", "audited"),
        ("/.well-known/oauth-protected-resource/notes/mcp", False, "answer", "", "notes"),
        ("/nothing/here", False, "deny", "no_matching_server", ""),
        ("/notes/../x", False, "deny", "ambiguous_path", ""),
    ],
)
def test_a_decision_is_counted_under_what_became_of_it(
    target: str, token: bool, decision: str, reason: str, server: str
) -> None:
    service = Listening()
    service.ask(asking(mint() if token else None, target=target, method="GET"))
    text = service.exposition()
    labels = {"server": server, "decision": decision, "reason": reason, "transport": "grpc"}
    assert value(text, "extauthz_decisions_total", **labels) == 1
    assert value(text, "extauthz_decision_duration_seconds_count", transport="grpc") == 1


def test_a_message_that_is_no_request_is_counted_too() -> None:
    service = Listening()
    refusal = Refusal(Reason.MALFORMED_REQUEST, "no HTTP attributes")
    decision = service.engine._outside.deny(refusal, None)
    service.observer.decided(None, decision, "grpc", 0.0)
    assert 'reason="malformed_request",server="",transport="grpc"} 1.0' in service.exposition()


def test_nothing_a_client_sends_becomes_a_label() -> None:
    """Hosts, paths, methods, headers, subjects and clients would make labels without end."""
    service = Listening()
    canary = "canary-7f3a"
    token = mint({"sub": canary, "client_id": canary, "jti": canary})
    service.ask(asking(token, headers={"x-request-id": canary}))
    service.ask(asking(f"{canary}.{canary}.{canary}"))
    service.ask(asking(None, host=f"{canary}.example.com", target=f"/{canary}"))
    service.ask(asking(None, method=canary, target=f"/notes/{canary}"))
    service.ask(asking(mint({"iss": f"https://{canary}.example"})))
    assert canary not in service.exposition()


def test_a_value_on_a_bound_lies_within_it_and_one_above_does_not() -> None:
    histogram = Histogram((0.001, 0.25))
    for seconds in (0.001, 0.0011, 0.25, 0.26):
        histogram.observe(seconds)
    assert histogram.cumulative() == [("0.001", 1.0), ("0.25", 3.0), ("+Inf", 4.0)]
    assert histogram.total == pytest.approx(0.5121)


def test_buckets_reach_from_50_microseconds_to_the_longest_wait_for_keys() -> None:
    assert DECISION_BOUNDS[0] == 0.00005
    assert DECISION_BOUNDS[-1] == 0.25
    assert list(DECISION_BOUNDS) == sorted(DECISION_BOUNDS)


def test_the_age_of_keys_that_never_came_is_left_out() -> None:
    """A zero would look fresh, and NaN breaks sums."""
    service = Listening()
    service.metrics.keys = lambda: [Keys("corp", ("a", "b"), 31.5), Keys("new", (), None)]
    text = service.exposition()
    assert value(text, "extauthz_jwks_age_seconds", issuer="corp") == 31.5
    assert value(text, "extauthz_jwks_age_seconds", issuer="new") is None
    assert value(text, "extauthz_jwks_keys", issuer="new") == 0


def test_refreshes_are_counted_by_result_and_timed() -> None:
    service = Listening()
    service.metrics.refreshed("corp", "ok", 0.2)
    service.metrics.refreshed("corp", "ok", 0.3)
    service.metrics.refreshed("corp", "failed", 5.0)
    text = service.exposition()
    assert value(text, "extauthz_jwks_refresh_total", issuer="corp", result="ok") == 2
    assert value(text, "extauthz_jwks_refresh_total", issuer="corp", result="failed") == 1
    assert value(text, "extauthz_jwks_fetch_duration_seconds_count", issuer="corp") == 3
    assert value(text, "extauthz_jwks_fetch_duration_seconds_sum", issuer="corp") == 5.5


def test_a_failed_reload_shows_until_a_good_one() -> None:
    service = Listening()
    seen = []
    for ok in (True, False, True):
        service.metrics.reloaded(ok)
        seen.append(value(service.exposition(), "extauthz_config_last_reload_successful"))
    assert seen == [1, 0, 1]
    text = service.exposition()
    assert value(text, "extauthz_config_reload_total", result="ok") == 2
    assert value(text, "extauthz_config_reload_total", result="failed") == 1


def test_counters_that_alerts_watch_exist_before_they_move() -> None:
    """A series that appears with its first failure has no increase to alert on."""
    text = Listening().exposition()
    for result in ("hit", "miss"):
        assert value(text, "extauthz_token_cache_total", result=result) == 0
    for result in ("ok", "failed"):
        assert value(text, "extauthz_config_reload_total", result=result) == 0
    assert value(text, "extauthz_log_dropped_total") == 0
    assert value(text, "extauthz_workers_lost_total") == 0


def test_what_others_count_is_read_at_every_scrape() -> None:
    service = Listening()
    cache = service.engine.cache
    service.metrics.token_cache = lambda: {"hit": cache.hits, "miss": cache.misses}
    service.metrics.dropped_lines = lambda: 3
    token = mint()
    service.ask(asking(token))
    service.ask(asking(token))
    text = service.exposition()
    assert value(text, "extauthz_token_cache_total", result="hit") == 1
    assert value(text, "extauthz_token_cache_total", result="miss") == 1
    assert value(text, "extauthz_log_dropped_total") == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of processes")
def test_what_workers_take_is_added_to_what_the_process_takes() -> None:
    service = Listening()
    names = ("process_cpu_seconds_total", "process_resident_memory_bytes")
    alone = service.exposition()
    service.metrics.workers = lambda: Usage(cpu_seconds=1e6, resident_bytes=10**12)
    together = service.exposition()
    for name, more in zip(names, (1e6, 10**12), strict=True):
        before, after = value(alone, name), value(together, name)
        assert before is not None
        assert after is not None
        assert 0 <= after - before - more < more / 100
    assert value(alone, "process_start_time_seconds") == value(
        together, "process_start_time_seconds"
    )


def test_openmetrics_readers_are_served_too() -> None:
    service = busy()
    text = openmetrics.generate_latest(service.registry).decode()
    names = {family.name for family in parse_openmetrics(text)}
    assert {"extauthz_decisions", "extauthz_jwks_refresh", "process_cpu_seconds"} <= names


def test_two_services_in_one_process_do_not_meet() -> None:
    """Each has its own registry; nothing is registered on import."""
    one, other = busy(), Listening()
    assert "missing_token" in one.exposition()
    assert "missing_token" not in other.exposition()

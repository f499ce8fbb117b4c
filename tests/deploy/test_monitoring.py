"""Alert rules and dashboard: correct, tested, about metrics that exist, with a runbook."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from tests.e2e import edges
from tests.e2e.edges import Wiring
from tests.e2e.processes import free_port, required
from tests.e2e.scene import extauthz
from tests.e2e.tokens import ISSUER, NOTES, Signer
from tests.telemetry.test_metrics import busy, labels_by_name

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy/prometheus/alerts.yaml"
ALERT_TESTS = ROOT / "tests/deploy/alerts.test.yaml"
DASHBOARD = ROOT / "deploy/grafana/extauthz.json"
RUNBOOK = ROOT / "docs/runbook.md"

# Labels that Prometheus adds.
OUTSIDE = {"job", "instance", "namespace", "le"}
FOREIGN = {
    "envoy_cluster_name": "envoy_cluster_",
    "deployment": "kube_deployment_",
}
VARIABLES = {"$__rate_interval": "5m", "$authz_cluster": ".*", "$job": ".*", "$instance": ".*"}
NAME = re.compile(r"(?<![\w:$\"/.-])((?:extauthz|envoy|kube|process)[_:][\w:]*)(?![\w:(])")
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
GROUPING = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")


def promtool() -> str:
    return required("promtool", "apt-get install prometheus")


def read(file: Path) -> Any:
    return yaml.load(file.read_text(), yaml.CSafeLoader)  # noqa: TID251


def rules() -> list[dict[str, Any]]:
    return [rule for group in read(ALERTS)["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def dashboard_queries() -> list[str]:
    document = json.loads(DASHBOARD.read_text())
    asked = [target["expr"] for panel in panels() for target in panel.get("targets", [])]
    return asked + [mark["expr"] for mark in document["annotations"]["list"]]


def queries() -> list[str]:
    return [rule["expr"] for rule in rules()] + dashboard_queries()


def filled(query: str) -> str:
    """A dashboard's query as Grafana would send it."""
    for name, value in {**VARIABLES, "$server": ".*", "$issuer": ".*"}.items():
        query = query.replace(name, value)
    return query


def names(query: str) -> set[str]:
    """The metrics a query reads."""
    bare = GROUPING.sub("", re.sub(r"\{[^}]*\}", "", query))
    return {re.sub(r"_bucket$", "", name) for name in NAME.findall(bare)}


def test_the_rules_pass_prometheuss_own_check() -> None:
    subprocess.run([promtool(), "check", "rules", ALERTS], check=True, capture_output=True)


def test_the_rules_fire_where_they_should_and_nowhere_else() -> None:
    """The cases are in alerts.test.yaml."""
    done = subprocess.run(
        [promtool(), "test", "rules", ALERT_TESTS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    fires: set[str] = set()
    silent: set[str] = set()
    for case in read(ALERT_TESTS)["tests"]:
        for expectation in case["alert_rule_test"]:
            (fires if expectation.get("exp_alerts") else silent).add(expectation["alertname"])
    assert fires == silent == set(alerts())


def test_every_alert_says_how_urgent_it_is_and_where_to_read_on() -> None:
    for name, alert in alerts().items():
        assert alert["labels"]["severity"] in ("critical", "warning"), name
        notes = alert["annotations"]
        assert notes["runbook"] == f"docs/runbook.md#{name.lower()}"
        assert notes["summary"], name
        assert notes["description"].endswith("."), name


def test_the_runbook_has_a_section_for_every_alert_and_for_no_other() -> None:
    sections = re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    by_name = {section.partition("\n")[0]: section for section in sections}
    assert {name for name in by_name if re.match(r"(Extauthz|Envoy)[A-Z]", name)} == set(alerts())
    for name, alert in alerts().items():
        severity = alert["labels"]["severity"]
        assert f"**{severity}**" in by_name[name], name
        assert "Mend" in by_name[name], name


def test_every_metric_that_is_read_is_ours_and_in_the_guide() -> None:
    guide = (ROOT / "docs/operations/metrics.md").read_text()
    served = set(labels_by_name(busy().exposition()))
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {name for query in queries() for name in names(query)}
    ours = {name for name in used if name.startswith("extauthz")} - recorded
    assert len(ours) > 8
    assert ours <= served
    assert {name for name in ours if f"`{name}" not in guide} == set()


def test_the_dashboard_shows_every_metric_of_ours() -> None:
    served = set(labels_by_name(busy().exposition()))
    shown = {name for query in dashboard_queries() for name in names(query)}
    assert served - shown == set()


def test_every_label_that_is_read_is_one_of_its_metric() -> None:
    served = labels_by_name(busy().exposition())
    for query in queries():
        for name, matchers in SELECTOR.findall(query):
            labels = set(re.findall(r"(\w+)\s*[=!]~?", matchers)) - OUTSIDE
            known = served.get(re.sub(r"_bucket$", "", name))
            if known is None:
                assert all(name.startswith(FOREIGN.get(label, "?")) for label in labels), query
            else:
                assert labels <= known, query
        known_here = {label for name in names(query) for label in served.get(name, ())}
        grouped = {label.strip() for group in GROUPING.findall(query) for label in group.split(",")}
        foreign = {label for label in grouped if label in FOREIGN}
        recorded = {"server"} if "extauthz:" in query else set()
        assert grouped - OUTSIDE - known_here - foreign - recorded == set(), query


def test_every_query_of_the_dashboard_is_one(tmp_path: Path) -> None:
    """As Prometheus reads it, the variables filled in."""
    written = [
        {"record": f"test:query{number}", "expr": filled(query)}
        for number, query in enumerate(dashboard_queries())
    ]
    assert not any("$" in rule["expr"] for rule in written)
    file = tmp_path / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": written}]}))
    done = subprocess.run(
        [promtool(), "check", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_panels_have_places_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())
    assert len({panel["title"] for panel in panels()}) == len(panels())


@pytest.fixture
def envoy_metrics(tmp_path: Path) -> Iterator[str]:
    """What the shipped Envoy configuration serves to Prometheus after one refusal."""
    admin: list[int] = []

    def remember(document: dict[str, Any]) -> None:
        admin.append(document["admin"]["address"]["socket_address"]["port_value"])

    config = {
        "issuers": [{"issuer": ISSUER, "jwks_file": str(tmp_path / "jwks.json")}],
        "servers": [{"name": "notes", "resource": NOTES}],
    }
    Signer().write_key_set(tmp_path / "jwks.json")
    with extauthz(config, tmp_path / "extauthz") as service:
        wiring = Wiring(free_port(), free_port(), grpc=service.grpc, http=service.http)
        with edges.envoy("envoy.yaml", wiring, tmp_path, edit=remember) as edge:
            assert edge.send("GET", "/notes/mcp").status == 401
            with urlopen(f"http://127.0.0.1:{admin[0]}/stats/prometheus") as answer:
                yield answer.read().decode()


@pytest.mark.e2e
def test_every_metric_of_envoys_that_is_read_is_served_by_envoy(envoy_metrics: str) -> None:
    used = {name for query in queries() for name in names(query) if name.startswith("envoy_")}
    served = set(re.findall(r"^# TYPE (\w+)", envoy_metrics, re.MULTILINE))
    assert len(used) > 8
    assert used - served == set()

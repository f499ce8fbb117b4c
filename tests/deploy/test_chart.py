"""The Helm chart: what it renders is valid, safe, and a configuration that extauthz takes."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import extauthz
from extauthz.config.load import Loaded, load
from tests.deploy.manifests import (
    CHART,
    ROOT,
    Object,
    check,
    container,
    ends_in_time,
    environment,
    needed,
    objects,
    only,
    pod,
    pods_are_selected,
    ports_have_names,
    read,
    runs_without_privileges,
    selects,
)
from tests.e2e.processes import required

CASES = sorted(file.name for file in (CHART / "ci").glob("*-values.yaml"))
MINIMAL: dict[str, Any] = read(CHART / "ci/minimal-values.yaml")


def helm() -> Any:
    return needed("helm_python")


def render(values: dict[str, Any], release: str = "authz") -> dict[str, str]:
    with helm().Chart.load(CHART) as chart:
        rendered: dict[str, str] = chart.render(values, name=release, namespace="mcp")
    return {name.removeprefix("extauthz/templates/"): text for name, text in rendered.items()}


def rendered(values: dict[str, Any]) -> list[Object]:
    return [
        one for name, text in render(values).items() if name != "NOTES.txt" for one in objects(text)
    ]


@cache
def of_case(case: str) -> list[Object]:
    return rendered(read(CHART / "ci" / case))


def loaded(found: list[Object]) -> Loaded:
    """The configuration as ``serve`` in that pod would load it."""
    (config,) = [one for one in found if "extauthz.yaml" in one.get("data", {})]
    text: str = config["data"]["extauthz.yaml"]
    deployment = only(found, "Deployment")
    (path,) = [
        argument.removeprefix("--config=")
        for argument in container(deployment)["args"]
        if argument.startswith("--config=")
    ]
    (mount,) = [one for one in container(deployment)["volumeMounts"] if one["name"] == "config"]
    assert path == f"{mount['mountPath']}/extauthz.yaml"
    return load(path, environ=environment(deployment), read=lambda _: text.encode())


def test_there_is_a_case_for_each_feature() -> None:
    assert len(CASES) >= 7


@pytest.mark.parametrize("case", CASES)
def test_helms_own_lint_has_no_complaint(case: str) -> None:
    report = helm().lint(CHART, read(CHART / "ci" / case), strict=True)
    assert report["errors"] == []
    assert [one for one in report["messages"] if one["severity"] > 1] == []


@pytest.mark.parametrize("case", CASES)
def test_kubernetes_takes_what_is_rendered(case: str) -> None:
    found = of_case(case)
    check(found)
    names = [(one["kind"], one["metadata"]["name"]) for one in found]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", CASES)
def test_the_pods_run_without_privileges_and_end_in_time(case: str) -> None:
    deployment = only(of_case(case), "Deployment")
    runs_without_privileges(deployment)
    ends_in_time(deployment)


@pytest.mark.parametrize("case", CASES)
def test_everything_finds_its_pods_and_ports(case: str) -> None:
    pods_are_selected(of_case(case))
    ports_have_names(of_case(case))


@pytest.mark.parametrize("case", [case for case in CASES if "existing" not in case])
def test_extauthz_takes_the_configuration_and_listens_where_the_services_point(case: str) -> None:
    found = of_case(case)
    listen = loaded(found).settings.listen
    ports = {
        one["name"]: one["containerPort"] for one in container(only(found, "Deployment"))["ports"]
    }
    for name in ("grpc", "http", "admin"):
        address = getattr(listen, name)
        assert (None if address is None else str(address)) == (
            f"0.0.0.0:{ports[name]}" if name in ports else None
        )


def test_certificates_are_where_the_secrets_are_mounted() -> None:
    found = of_case("tls-values.yaml")
    mounts = {
        one["name"]: one["mountPath"]
        for one in container(only(found, "Deployment"))["volumeMounts"]
    }
    listen = loaded(found).settings.listen
    assert listen.grpc_tls.cert_file == f"{mounts['grpc-tls']}/tls.crt"
    assert listen.grpc_tls.key_file == f"{mounts['grpc-tls']}/tls.key"
    assert listen.grpc_tls.client_ca_file == f"{mounts['grpc-tls']}/ca.crt"
    assert listen.http_tls.cert_file == f"{mounts['http-tls']}/tls.crt"
    assert listen.http_tls.client_ca_file is None


def test_trusted_proxies_of_the_values_win_over_the_file() -> None:
    networks = loaded(of_case("forward-auth-values.yaml")).settings.listen.trusted_proxies
    assert list(map(str, networks)) == ["10.42.0.0/16", "fd00:42::/48"]


def test_what_helm_makes_of_off_reaches_extauthz_as_text() -> None:
    """YAML 1.1 would turn it into false: that is why `config` is a text."""
    (server,) = loaded(of_case("everything-values.yaml")).settings.servers
    assert server.forward.stream_lease == "off"


@pytest.mark.parametrize(
    ("case", "handler"),
    [
        (
            "minimal-values.yaml",
            {"grpc": {"port": 9191, "service": "envoy.service.auth.v3.Authorization"}},
        ),
        ("tls-values.yaml", {"httpGet": {"path": "/readyz", "port": "admin"}}),
        ("forward-auth-values.yaml", {"httpGet": {"path": "/readyz", "port": "admin"}}),
    ],
)
def test_readiness_goes_by_grpc_health_where_the_kubelet_can_ask_for_it(
    case: str, handler: dict[str, Any]
) -> None:
    own = container(only(of_case(case), "Deployment"))
    (name,) = handler
    assert own["readinessProbe"][name] == handler[name]
    assert {"grpc", "httpGet"} & set(own["readinessProbe"]) == {name}
    assert own["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "admin"}


def test_replicas_are_left_to_the_autoscaler_where_there_is_one() -> None:
    assert only(of_case("minimal-values.yaml"), "Deployment")["spec"]["replicas"] == 2
    found = of_case("autoscaling-values.yaml")
    assert "replicas" not in only(found, "Deployment")["spec"]
    scaler = only(found, "HorizontalPodAutoscaler")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 40)


def test_a_changed_file_rolls_the_pods_only_where_that_is_asked_for() -> None:
    def marks(**changes: Any) -> Any:
        deployment = only(rendered({**MINIMAL, **changes}), "Deployment")
        return deployment["spec"]["template"]["metadata"].get("annotations")

    assert marks() is None
    assert marks(rollOnConfigChange=True) != marks(rollOnConfigChange=True, config="version: 2")


def test_prometheus_finds_the_admin_listener_and_nothing_else() -> None:
    found = of_case("monitoring-values.yaml")
    monitor = only(found, "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["path"] == "/metrics"
    assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    matching = [
        one
        for one in found
        if one["kind"] == "Service"
        and selects(monitor["spec"]["selector"]["matchLabels"], one["metadata"]["labels"])
    ]
    (service,) = matching
    assert [port["name"] for port in service["spec"]["ports"]] == [endpoint["port"]] == ["admin"]


@pytest.mark.parametrize("case", CASES)
def test_the_admin_listener_is_on_no_service_that_proxies_use(case: str) -> None:
    doors = [
        port["name"]
        for one in of_case(case)
        if one["kind"] == "Service" and not one["metadata"]["name"].endswith("-admin")
        for port in one["spec"]["ports"]
    ]
    assert doors
    assert "admin" not in doors


def test_the_rules_and_the_dashboard_are_those_of_this_repository(tmp_path: Path) -> None:
    """To mend it: cp deploy/prometheus/alerts.yaml deploy/helm/extauthz/files/, and
    cp deploy/grafana/extauthz.json deploy/helm/extauthz/files/dashboard.json"""
    dashboard = ROOT / "deploy/grafana/extauthz.json"
    assert (CHART / "files/alerts.yaml").read_text() == (
        ROOT / "deploy/prometheus/alerts.yaml"
    ).read_text()
    assert (CHART / "files/dashboard.json").read_text() == dashboard.read_text()
    found = of_case("monitoring-values.yaml")
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps(only(found, "PrometheusRule")["spec"]))
    promtool = required("promtool", "apt-get install prometheus")
    subprocess.run([promtool, "check", "rules", file], check=True, capture_output=True)
    board = only(found, "ConfigMap", "authz-extauthz-dashboard")
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(board["data"]["extauthz.json"]) == json.loads(dashboard.read_text())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "no configuration"),
        ({**MINIMAL, "existingConfigMap": "x"}, "exclude each other"),
        ({**MINIMAL, "grpc": {"enabled": False}, "http": {"enabled": False}}, "nobody could ask"),
        ({"config": {"version": 1}}, "config"),
        ({**MINIMAL, "replicas": 3}, "replicas"),
        ({**MINIMAL, "grpc": {"port": 70000}}, "port"),
        ({**MINIMAL, "http": {"trustedProxies": ["proxies"]}}, "trustedProxies"),
        ({**MINIMAL, "terminationGracePeriodSeconds": 9}, "terminationGracePeriodSeconds"),
        ({**MINIMAL, "metrics": {"serviceMonitor": {"interval": "30"}}}, "interval"),
        ({**MINIMAL, "networkPolicy": {"ingress": []}}, "ingress"),
    ],
)
def test_wrong_values_are_refused_and_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(helm().HelmError) as caught:
        render(values)
    assert said in str(caught.value)


def test_the_schema_knows_every_value_and_templates_use_each() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    templates = "".join(file.read_text() for file in (CHART / "templates").iterdir())

    def compare(values: dict[str, Any], known: dict[str, Any], path: str) -> None:
        for name, value in values.items():
            assert name in known["properties"], f"{path}.{name}"
            inner = known["properties"][name]
            if isinstance(value, dict) and inner.get("additionalProperties") is False:
                compare(value, inner, f"{path}.{name}")
        documented = set(known["properties"]) - {"global", "claims"}
        assert documented <= set(values), f"{path}: values.yaml does not show all"

    values = read(CHART / "values.yaml")
    compare(values, schema, "")
    for name in values:
        assert re.search(rf"\.Values\.{name}\b", templates), name


def test_every_value_is_explained_or_plain() -> None:
    """A comment says what a value does wherever its name does not."""
    text = (CHART / "values.yaml").read_text()
    assert text.count("\n# --") + text.count("  # --") > 15


def test_the_notes_say_how_to_reach_it_and_what_is_still_missing() -> None:
    notes = render(MINIMAL)["NOTES.txt"]
    assert "authz-extauthz.mcp.svc:9191" in notes
    assert "http.trustedProxies" in notes
    assert "networkPolicy.proxies" in notes
    silent = render(read(CHART / "ci/forward-auth-values.yaml"))["NOTES.txt"]
    assert "http.trustedProxies" not in silent
    assert "networkPolicy.proxies" not in silent


@pytest.mark.parametrize(
    ("release", "name"),
    [("authz", "authz-extauthz"), ("extauthz", "extauthz"), ("x" * 53, ("x" * 53) + "-ext")],
)
def test_names_stay_within_what_kubernetes_takes(release: str, name: str) -> None:
    everything = {**MINIMAL, "metrics": {"grafanaDashboard": {"enabled": True}}}
    found = [
        one for text in list(render(everything, release).values())[1:] for one in objects(text)
    ]
    assert only(found, "Deployment")["metadata"]["name"] == name
    assert all(len(one["metadata"]["name"]) <= 63 or one["kind"] == "ConfigMap" for one in found)


def test_the_chart_is_of_this_version() -> None:
    about = read(CHART / "Chart.yaml")
    assert about["version"] == about["appVersion"] == extauthz.__version__


def test_a_container_of_ones_own_may_stand_beside() -> None:
    spec = pod(only(of_case("everything-values.yaml"), "Deployment"))
    assert [one["name"] for one in spec["containers"]] == ["extauthz", "sidecar"]
    assert [one["name"] for one in spec["initContainers"]] == ["validate"]

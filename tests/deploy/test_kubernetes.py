"""Plain manifests and examples for gateways: valid, safe, of one piece with the chart."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from extauthz.config.load import load
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
)
from tests.deploy.nginx_gateway import EXAMPLE, SERVICE, composed, snippets
from tests.e2e import backend
from tests.e2e.edges import Edge
from tests.e2e.processes import accepts, free_port, nginx_path, program
from tests.e2e.scene import PING, extauthz
from tests.e2e.tokens import ISSUER, NOTES, Signer

KUBERNETES = ROOT / "deploy/kubernetes"
EXAMPLES = KUBERNETES / "examples"
DOCUMENTS = {
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/register",
    "/authorize",
    "/token",
}


def folder(path: Path) -> list[Object]:
    """The objects that a kustomization names; its files must be there."""
    about = read(path / "kustomization.yaml")
    found: list[Object] = []
    for name in about["resources"]:
        inner = path / name
        found += folder(inner) if inner.is_dir() else objects(inner.read_text())
    for generator in about.get("configMapGenerator", []):
        for file in generator["files"]:
            assert (path / file).is_file()
    for patch in about.get("patches", []):
        assert (path / patch["path"]).is_file()
    return found


def example(name: str) -> list[Object]:
    return objects((EXAMPLES / name).read_text())


def routes(found: list[Object]) -> Iterator[Object]:
    for one in found:
        if one["kind"] == "HTTPRoute":
            yield from one["spec"]["rules"]


@pytest.mark.parametrize("name", ["base", "monitoring", "examples/overlay"])
def test_kubernetes_takes_the_manifests(name: str) -> None:
    check(folder(KUBERNETES / name))


def test_the_pods_run_without_privileges_and_everything_finds_them() -> None:
    found = folder(EXAMPLES / "overlay")
    runs_without_privileges(only(found, "Deployment"))
    ends_in_time(only(found, "Deployment"))
    pods_are_selected(found)
    ports_have_names(found)


def test_the_pod_is_that_of_the_chart() -> None:
    with needed("helm_python").Chart.load(CHART) as chart:
        values = read(CHART / "ci/minimal-values.yaml") | {"fullnameOverride": "extauthz"}
        rendered = chart.render(values, name="extauthz", namespace="mcp")
    of_chart = only(objects(rendered["extauthz/templates/deployment.yaml"]), "Deployment")
    of_base = only(folder(KUBERNETES / "base"), "Deployment")
    assert container(of_base) == container(of_chart)
    told_apart_by_release = {"containers", "topologySpreadConstraints"}
    assert {
        name: part for name, part in pod(of_base).items() if name not in told_apart_by_release
    } == {name: part for name, part in pod(of_chart).items() if name not in told_apart_by_release}
    assert of_base["spec"]["strategy"] == of_chart["spec"]["strategy"]


@pytest.mark.parametrize("name", ["base/extauthz.yaml", "examples/overlay/extauthz.yaml"])
def test_extauthz_takes_the_configuration_and_listens_where_the_service_points(name: str) -> None:
    found = folder(KUBERNETES / "base")
    loaded = load(str(KUBERNETES / name), environ=environment(only(found, "Deployment")))
    listen = loaded.settings.listen
    ports = {
        one["name"]: one["containerPort"] for one in container(only(found, "Deployment"))["ports"]
    }
    assert {f"0.0.0.0:{port}" for port in ports.values()} == {
        str(listen.grpc),
        str(listen.http),
        str(listen.admin),
    }


def test_kubectl_builds_the_overlay() -> None:
    """Kustomize's own word; the other tests read its files themselves."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("NOT TESTED: there is no kubectl here")
    done = subprocess.run(
        [kubectl, "kustomize", EXAMPLES / "overlay"], capture_output=True, text=True, check=True
    )
    found = objects(done.stdout)
    check(found)
    assert (
        only(found, "ConfigMap")["data"]["extauthz.yaml"]
        == (EXAMPLES / "overlay/extauthz.yaml").read_text()
    )
    assert container(only(found, "Deployment"))["image"] == (
        "registry.example.com/platform/extauthz:0.1.0"
    )
    (proxies, _) = only(found, "NetworkPolicy")["spec"]["ingress"]
    assert "namespaceSelector" in proxies["from"][0]


@pytest.mark.parametrize("name", ["envoy-gateway.yaml", "istio.yaml", "nginx-gateway-fabric.yaml"])
def test_examples_ask_the_service_that_there_is(name: str) -> None:
    service = only(folder(KUBERNETES / "base"), "Service")
    ports = {port["port"] for port in service["spec"]["ports"]}
    asked = [
        reference
        for one in example(name)
        for reference in backends(one)
        if reference["name"] == service["metadata"]["name"]
    ]
    assert {reference["port"] for reference in asked} <= ports
    assert asked or SERVICE in (EXAMPLES / name).read_text()


def backends(part: Any) -> Iterator[dict[str, Any]]:
    """Every backend that an object names, wherever."""
    if isinstance(part, dict):
        yield from part.get("backendRefs", [])
        for inner in part.values():
            yield from backends(inner)
    if isinstance(part, list):
        for inner in part:
            yield from backends(inner)


def test_envoy_gateway_refuses_what_it_cannot_check_and_checks_every_server() -> None:
    found = example("envoy-gateway.yaml")
    policies = [one for one in found if one["kind"] == "SecurityPolicy"]
    for policy in policies:
        asking = policy["spec"]["extAuth"]
        assert asking["failOpen"] is False
        assert asking["statusOnError"] == 503
        assert asking["timeout"] == "1s"
    default, *of_servers = policies
    assert [one["kind"] for one in default["spec"]["targetRefs"]] == ["Gateway"]
    for policy in of_servers:
        (extension,) = policy["spec"]["extAuth"]["contextExtensions"]
        assert extension == {
            "name": "mcp_server",
            "type": "Value",
            "value": policy["metadata"]["name"],
        }
    checked = {policy["spec"]["targetRefs"][0]["name"] for policy in of_servers}
    named = {one["metadata"]["name"] for one in found if one["kind"] == "HTTPRoute"}
    assert {one for one in named - checked if not one.startswith("extauthz-documents")} == set()


def test_envoy_gateway_strips_identity_headers_as_the_shipped_envoy_file_does() -> None:
    headers = only(example("envoy-gateway.yaml"), "ClientTrafficPolicy")["spec"]["headers"]
    assert headers["withUnderscoresAction"] == "DropHeader"
    removed = {one["value"] for one in headers["earlyRequestHeaders"]["removeOnMatch"]}
    shipped = (ROOT / "envoy/envoy.yaml").read_text()
    assert removed == {"x[^a-z0-9]auth[^a-z0-9].*", "x-envoy-"}
    assert all(one in shipped for one in removed)


@pytest.mark.parametrize("name", ["envoy-gateway.yaml", "istio.yaml"])
def test_the_oauth_documents_have_a_route_of_their_own(name: str) -> None:
    found = [
        rule
        for rule in routes(example(name))
        if rule["backendRefs"] == [{"name": "extauthz", "port": 8080}]
    ]
    assert found
    for rule in found:
        assert {match["path"]["value"] for match in rule["matches"]} == DOCUMENTS


def test_istio_checks_every_request_of_the_gateway() -> None:
    found = example("istio.yaml")
    policy = only(found, "AuthorizationPolicy", "extauthz")["spec"]
    assert policy["action"] == "CUSTOM"
    assert policy["rules"] == [{}]
    (provider,) = read(EXAMPLES / "mesh-config.yaml")["meshConfig"]["extensionProviders"]
    assert provider["name"] == policy["provider"]["name"]
    asking = provider["envoyExtAuthzGrpc"]
    assert asking["failOpen"] is False
    assert asking["statusOnError"] == "503"
    assert asking["timeout"] == "1s"
    assert asking["port"] == 9191


def test_the_snippets_are_those_of_the_shipped_nginx_files() -> None:
    """To mend it: python -m tests.deploy.nginx_gateway"""
    assert EXAMPLE.read_text() == composed()


@contextmanager
def gateway(tmp_path: Path, notes: int, authz: int) -> Iterator[Edge]:
    """An nginx whose configuration has the shape that NGINX Gateway Fabric writes."""
    port = free_port()
    text = snippets()
    config = f"""
daemon off; pid nginx.pid; error_log stderr warn; events {{ }}
http {{
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  access_log off;
  map $http_host $gw_api_compliant_host {{ '' $host; default $http_host; }}
  map $http_upgrade $connection_keepalive {{ default upgrade; '' ''; }}
  {text["http"].replace(SERVICE, f"127.0.0.1:{authz}")}
  upstream mcp_notes_8000 {{ server 127.0.0.1:{notes}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    server_name mcp.example.com;
    {text["http.server"]}
    location /notes/ {{
      {text["http.server.location"]}
      proxy_http_version 1.1;
      proxy_set_header Host "$gw_api_compliant_host";
      proxy_set_header X-Forwarded-For "$proxy_add_x_forwarded_for";
      proxy_set_header X-Real-IP "$remote_addr";
      proxy_set_header X-Forwarded-Proto "$scheme";
      proxy_set_header X-Forwarded-Host "$host";
      proxy_set_header X-Forwarded-Port "$server_port";
      proxy_set_header Upgrade "$http_upgrade";
      proxy_set_header Connection "$connection_keepalive";
      proxy_pass http://mcp_notes_8000$request_uri;
    }}
    location / {{ return 404; }}
  }}
}}
"""
    (tmp_path / "nginx.conf").write_text(config)
    log = tmp_path / "nginx.log"
    command: list[str | Path] = [
        nginx_path(),
        "-e",
        "stderr",
        "-p",
        tmp_path,
        "-c",
        tmp_path / "nginx.conf",
    ]
    with program(command, log, lambda: accepts(port)):
        yield Edge("nginx-gateway-fabric", port, log)


@pytest.mark.e2e
def test_the_snippets_work_within_what_nginx_gateway_fabric_writes(tmp_path: Path) -> None:
    signer = Signer()
    signer.write_key_set(tmp_path / "jwks.json")
    config = {
        "issuers": [{"issuer": ISSUER, "jwks_file": str(tmp_path / "jwks.json")}],
        "servers": [{"name": "notes", "resource": NOTES, "scopes": ["notes"]}],
    }
    with (
        backend.running("notes") as backends,
        extauthz(config, tmp_path / "extauthz") as service,
        gateway(tmp_path, backends["notes"].port, service.http) as edge,
    ):
        bearer = ("Authorization", f"Bearer {signer.token()}")
        spoofed = ("X-Auth-Subject", "mallory")
        allowed = edge.send("POST", "/notes/mcp", [bearer, spoofed], PING)
        assert allowed.status == 200
        seen = {name.lower(): value for name, value in backends["notes"].received[-1].headers}
        assert seen["x-auth-subject"] == "alice"
        assert "authorization" not in seen
        refused = edge.send("POST", "/notes/mcp", [spoofed], PING)
        assert refused.status == 401
        assert "resource_metadata=" in (refused.get("www-authenticate") or "")
        upgrade = [bearer, ("Connection", "Upgrade"), ("Upgrade", "websocket")]
        assert edge.send("GET", "/notes/mcp", upgrade).status == 403
        poor = ("Authorization", f"Bearer {signer.token(scope='other')}")
        forbidden = edge.send("POST", "/notes/mcp", [poor], PING)
        assert forbidden.status == 403
        assert "insufficient_scope" in (forbidden.get("www-authenticate") or "")
        document = edge.send("GET", "/.well-known/oauth-protected-resource/notes/mcp")
        assert document.status == 200
        assert len(backends["notes"].received) == 1

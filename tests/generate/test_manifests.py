"""Manifests and Traefik's files fit the schemas of those who read them, and say what they must."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from extauthz.config.load import Loaded
from extauthz.generate.artefacts import Artefact, CannotWrite
from extauthz.generate.proxies import Choices, generate
from tests.e2e.processes import REPOSITORY
from tests.generate.checkers import parsed
from tests.generate.inventories import inventory, loaded, odd_inventories, server
from tests.generate.schemas import KINDS, MESH, TRAEFIK_DYNAMIC, TRAEFIK_STATIC

AUTHZ = {"authz_grpc": "extauthz.auth:9191", "authz_http": "extauthz.auth:8080"}
ESTATE = inventory(
    server(
        "calculator",
        upstream="http://calculator:8001",
        tools={"add": "allow"},
        forward={"headers": {"x-user-email": "email"}},
    ),
    server(
        "notes",
        match={"hosts": ["mcp.example.com", "*.tenants.example.com"], "paths": ["/notes"]},
        upstream="https://notes.tools.svc.cluster.local",
    ),
    server("a/b", match={"hosts": ["*"], "paths": ["/"]}, upstream="http://shared:80"),
    edge={"listen": "0.0.0.0:8443", "tls": {"cert_file": "c", "key_file": "k"}, **AUTHZ},
)


def written(proxy: str, config: dict[str, Any], namespace: str = "mcp") -> Artefact:
    return generate(proxy, loaded(config), Choices(namespace=namespace))


def faults(document: Any, schema: dict[str, Any]) -> list[str]:
    errors = Draft202012Validator(schema).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in errors]


def objects(artefact: Artefact) -> dict[tuple[str, str], dict[str, Any]]:
    """The objects of a manifest by kind and name; each fits its schema and is there once."""
    found = {}
    for document in parsed(artefact.files[0].text):
        assert faults(document, KINDS[document["kind"]]) == []
        metadata = document["metadata"]
        key = (document["kind"], f"{metadata['namespace']}/{metadata['name']}")
        assert key not in found
        found[key] = document["spec"]
    return found


def test_envoy_gateway_asks_about_every_server_by_its_name_and_fails_closed() -> None:
    found = objects(written("envoy-gateway", ESTATE))
    policies = {name: spec for (kind, name), spec in found.items() if kind == "SecurityPolicy"}
    default = policies.pop("mcp/mcp")
    assert [(one["kind"], one["name"]) for one in default["targetRefs"]] == [("Gateway", "mcp")]
    assert "contextExtensions" not in default["extAuth"]
    routed: list[str] = []
    for name, spec in policies.items():
        (extension,) = spec["extAuth"]["contextExtensions"]
        assert extension["name"] == "mcp_server"
        assert re.sub(r"[^a-z0-9]+", "-", extension["value"]) == name.removeprefix("mcp/")
        assert spec["extAuth"]["grpc"]["backendRefs"] == [
            {"name": "extauthz", "namespace": "auth", "port": 9191}
        ]
        routed += [f"mcp/{target['name']}" for target in spec["targetRefs"]]
    routes = {name for kind, name in found if kind == "HTTPRoute"}
    nobodys = {name for name in routes if name.startswith("mcp/extauthz-documents")}
    assert sorted(routed) == sorted(routes - nobodys), "a route that is not asked about by name"
    for name in nobodys:
        (rule,) = found["HTTPRoute", name]["rules"]
        assert rule["backendRefs"] == [{"name": "extauthz", "namespace": "auth", "port": 8080}]


def test_envoy_gateway_shows_the_body_where_there_are_rules_for_calls() -> None:
    found = objects(written("envoy-gateway", ESTATE))
    shown = {
        name: "bodyToExtAuth" in spec["extAuth"]
        for (kind, name), spec in found.items()
        if kind == "SecurityPolicy"
    }
    assert shown == {
        "mcp/mcp": False,
        "mcp/calculator": True,
        "mcp/notes": False,
        "mcp/a-b": False,
    }


def test_envoy_gateway_does_to_every_request_what_the_shipped_envoy_file_does() -> None:
    spec = objects(written("envoy-gateway", ESTATE))["ClientTrafficPolicy", "mcp/mcp"]
    removed = spec["headers"]["earlyRequestHeaders"]["removeOnMatch"]
    assert {"type": "Prefix", "value": "x-envoy-"} in removed
    assert spec["timeout"]["http"]["requestHeadersReceivedTimeout"] == "10s"
    assert spec["timeout"]["http"]["requestReceivedTimeout"] == "30s"
    shipped = (REPOSITORY / "envoy" / "envoy.yaml").read_text()
    assert "key_matcher: {prefix: x-envoy-}" in shipped
    assert "request_headers_timeout: 10s" in shipped
    assert "request_timeout: 30s" in shipped


@pytest.mark.parametrize(
    ("host", "address"),
    [("10.0.0.7", "10.0.0.7"), ("[::ffff:a00:7]", "0000:0000:0000:0000:0000:ffff:0a00:0007")],
)
def test_envoy_gateway_is_given_an_address_in_full(host: str, address: str) -> None:
    """Its pattern for addresses takes not every short form of IPv6."""
    one = inventory(server("notes", upstream=f"http://{host}:8001"))
    spec = objects(written("envoy-gateway", one))["Backend", "mcp/notes"]
    assert spec["endpoints"] == [{"ip": {"address": address, "port": 8001}}]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "LocalHost."])
def test_envoy_gateway_is_not_sent_to_loopback(host: str) -> None:
    with pytest.raises(CannotWrite, match="upstream is on loopback"):
        written("envoy-gateway", inventory(server("notes", upstream=f"http://{host}:8001")))


def test_envoy_gateway_strips_lookalikes_of_extra_headers_too() -> None:
    spec = objects(written("envoy-gateway", ESTATE))["ClientTrafficPolicy", "mcp/mcp"]
    patterns = [one["value"] for one in spec["headers"]["earlyRequestHeaders"]["removeOnMatch"]]
    for name in ("x-auth-subject", "x_auth_anything", "x.user.email"):
        assert any(re.fullmatch(pattern, name) for pattern in patterns), name


def test_behind_istio_no_request_becomes_a_websocket() -> None:
    policy = objects(written("istio", ESTATE))["AuthorizationPolicy", "mcp/extauthz-no-upgrade"]
    assert policy["action"] == "DENY"
    assert policy["rules"] == [{"when": [{"key": "request.headers[upgrade]", "values": ["*"]}]}]


@pytest.mark.parametrize("proxy", ["envoy-gateway", "istio"])
def test_a_host_has_all_routes_that_broader_hosts_have(proxy: str) -> None:
    """Gateways look at the routes of the best hostname only."""
    found = objects(written(proxy, ESTATE))
    by_host: dict[str, list[str]] = {}
    for (kind, _), spec in found.items():
        for rule in spec["rules"] if kind == "HTTPRoute" else ():
            for host in spec.get("hostnames", ["*"]):
                paths = [match["path"]["value"] for match in rule["matches"]]
                by_host.setdefault(host, []).extend(path for path in paths if ".well" not in path)
    own = ["/register", "/authorize", "/token"]
    assert sorted(by_host["mcp.example.com"]) == sorted(["/", "/calculator", "/notes", *own])
    assert sorted(by_host["*.tenants.example.com"]) == sorted(["/", "/notes", *own])
    assert sorted(by_host["*"]) == sorted(["/", *own])


@pytest.mark.parametrize("proxy", ["envoy-gateway", "istio"])
def test_what_is_referred_to_elsewhere_has_leave(proxy: str) -> None:
    found = objects(written(proxy, ESTATE))
    for namespace, name in (("auth", "extauthz"), ("tools", "notes")):
        grant = found["ReferenceGrant", f"{namespace}/mcp-gateway"]
        assert {"group": "", "kind": "Service", "name": name} in grant["to"]
        assert {one["namespace"] for one in grant["from"]} == {"mcp"}
    assert "validation" in found["BackendTLSPolicy", "tools/notes"]


def test_an_upstream_outside_the_cluster_is_a_backend_or_refused() -> None:
    outside = {**ESTATE, "servers": [server(upstream="https://mcp.provider.example.com/")]}
    found = objects(written("envoy-gateway", outside))
    assert found["Backend", "mcp/calculator"]["endpoints"] == [
        {"fqdn": {"hostname": "mcp.provider.example.com", "port": 443}}
    ]
    address = {**ESTATE, "servers": [server(upstream="http://10.0.0.9:81")]}
    found = objects(written("envoy-gateway", address))
    assert found["Backend", "mcp/calculator"]["endpoints"] == [
        {"ip": {"address": "10.0.0.9", "port": 81}}
    ]
    with pytest.raises(CannotWrite, match="no Service"):
        written("istio", outside)


def test_istio_asks_about_everything_that_comes_to_the_gateway() -> None:
    artefact = written("istio", ESTATE)
    policy = objects(artefact)["AuthorizationPolicy", "mcp/extauthz"]
    assert policy["rules"] == [{}]
    (mesh,) = parsed(artefact.files[1].text)
    assert faults(mesh, MESH) == []
    (provider,) = mesh["meshConfig"]["extensionProviders"]
    assert provider["name"] == policy["provider"]["name"]
    assert provider["envoyExtAuthzGrpc"]["service"] == "extauthz.auth.svc.cluster.local"
    assert "includeRequestBodyInCheck" in provider["envoyExtAuthzGrpc"]


@pytest.mark.parametrize("proxy", ["envoy-gateway", "istio"])
def test_an_address_that_is_no_service_becomes_a_placeholder(proxy: str) -> None:
    config = inventory(server(upstream="http://calculator:8001"))
    artefact = written(proxy, config)
    objects(artefact)
    assert any("edge.authz_grpc names no Service" in each for each in artefact.warnings)


@pytest.mark.parametrize("proxy", ["envoy-gateway", "istio"])
@pytest.mark.parametrize("namespace", ["", "A", "a b", "a\nkind: Secret", "-a", "a" * 64])
def test_a_namespace_is_one_or_refused(proxy: str, namespace: str) -> None:
    with pytest.raises(CannotWrite):
        written(proxy, ESTATE, namespace)


def test_traefik_takes_its_files_and_nothing_is_unasked() -> None:
    artefact = written("traefik", ESTATE)
    dynamic, static = (parsed(file.text)[0] for file in artefact.files)
    assert faults(dynamic, TRAEFIK_DYNAMIC) == []
    assert faults(static, TRAEFIK_STATIC) == []
    http = dynamic["http"]
    for name, router in http["routers"].items():
        assert router["entryPoints"] == ["mcp"]
        assert set(router["middlewares"]) <= set(http["middlewares"])
        assert router["service"] in http["services"]
        assert (router["service"] == "extauthz") == name.startswith("extauthz-")
        assert ("extauthz" in router["middlewares"]) == (router["service"] != "extauthz"), name
    priorities = [router["priority"] for router in http["routers"].values()]
    assert sorted(priorities, reverse=True) == list(dict.fromkeys(priorities))


def test_traefik_goes_on_segment_borders_and_by_whole_hosts() -> None:
    (dynamic,) = parsed(written("traefik", ESTATE).files[0].text)
    rules = {name: router["rule"] for name, router in dynamic["http"]["routers"].items()}
    assert rules["calculator"] == (
        "(Host(`mcp.example.com`)) && (Path(`/calculator`) || PathPrefix(`/calculator/`))"
    )
    assert "HostRegexp(`^.+\\.tenants\\.example\\.com\\.?$`)" in rules["notes-2"]


def test_traefik_removes_every_spelling_before_it_sets_a_header() -> None:
    (dynamic,) = parsed(written("traefik", ESTATE).files[0].text)
    ask = dynamic["http"]["middlewares"]["extauthz"]["forwardAuth"]
    pattern = re.compile(ask["authResponseHeadersRegex"])
    for name in ("X-Auth-Subject", "X_auth_subject", "X.auth.Other", "X_User-Email"):
        assert pattern.search(name), name
    assert not pattern.search("X-Authority")


@settings(max_examples=100)
@given(loaded=odd_inventories())
def test_whatever_is_written_fits(loaded: Loaded) -> None:
    for proxy in ("envoy-gateway", "istio", "traefik"):
        try:
            artefact = generate(proxy, loaded, Choices())
        except CannotWrite:
            continue
        if proxy == "traefik":
            (dynamic,) = parsed(artefact.files[0].text)
            assert faults(dynamic, TRAEFIK_DYNAMIC) == []
        else:
            objects(artefact)

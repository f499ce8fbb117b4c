"""Against the configurations that are shipped or written by `generate`, doctor finds nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from extauthz.config.compile import compile_policy
from extauthz.demo.issuer import Issuer
from extauthz.doctor.catalogue import Code
from extauthz.doctor.edge import Edge
from extauthz.doctor.examine import examine
from extauthz.doctor.expectations import Expectations, expectations
from extauthz.doctor.telling import table
from extauthz.service.sources import issuer_sources
from tests.doctor.clinic import Clinic
from tests.generate.edges import generated
from tests.generate.inventories import loaded

pytestmark = pytest.mark.e2e

# An edge that shows no messages serves no rules for calls.
EDGES = [
    ("envoy", "notes"),
    ("envoy-mcp", "calculator"),
    ("envoy-body", "calculator"),
    ("envoy-http", "notes"),
    ("nginx", "notes"),
    ("caddy", "notes"),
    ("haproxy", "notes"),
    ("traefik", "notes"),
    ("envoy-gateway", "calculator"),
]


def expected_of(config: dict[str, Any], edge: Edge) -> Expectations:
    policy = compile_policy(loaded({"version": 1, **config}))
    return expectations(policy, edge.authority, edge.path)


@pytest.mark.parametrize(("proxy", "server"), EDGES)
def test_nothing_is_found(open_clinic: Clinic, proxy: str, server: str) -> None:
    left_by_others = set(open_clinic.servers[server].sessions)
    with open_clinic.edge(proxy):
        report = open_clinic.examine(server)
    assert open_clinic.servers[server].sessions == left_by_others
    assert not report.findings, table(report)
    assert report.requests > 200
    skipped = {step.title for step in report.steps if step.skipped}
    assert skipped == (set() if server == "calculator" else {"rules for calls hold"})


def test_nothing_is_found_without_token_and_configuration(open_clinic: Clinic) -> None:
    with open_clinic.edge("nginx"):
        edge = Edge(url=open_clinic.url("notes"))
        report = examine(edge, Expectations(), now=time.time())
    assert not report.findings, table(report)
    assert report.requests > 130


def test_rules_are_probed_without_a_configuration(open_clinic: Clinic) -> None:
    with open_clinic.edge("envoy-mcp"):
        report = examine(
            Edge(url=open_clinic.url("calculator")),
            Expectations(),
            now=time.time(),
            token=open_clinic.token("calculator"),
            parts=["token"],
        )
    assert not report.findings, table(report)
    (rules,) = (step for step in report.steps if step.title == "rules for calls hold")
    assert rules.result == "ok"


def test_a_server_that_has_all_of_its_host(open_clinic: Clinic, tmp_path: Path) -> None:
    """There, the paths of the doors are the server's own."""
    url = f"http://127.0.0.1:{open_clinic.port}"
    whole: dict[str, Any] = {
        "resource": url,
        "match": {"hosts": ["*"], "paths": ["/"]},
        "audiences": [open_clinic.url("notes")],
        "forward": {"headers": {"x-user-email": "email"}, "token": "keep"},
    }
    config = open_clinic.config(notes=whole)
    wiring = open_clinic.wiring(open_clinic.another(config))
    with generated("haproxy", config, wiring, tmp_path, port=open_clinic.port):
        report = examine(
            Edge(url=url),
            expected_of(config, Edge(url=url)),
            now=time.time(),
            token=open_clinic.token("notes", email="ann@example.com"),
            echo_tool="get_me",
        )
    assert not report.findings, table(report)


def test_over_tls(open_clinic: Clinic, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "edge.crt")
    certificate.private_key_pem.write_to_path(tmp_path / "edge.key")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    url = open_clinic.url("notes").replace("http:", "https:")
    config = open_clinic.config(notes={"resource": url})
    config["edge"] = {
        "tls": {"cert_file": f"{tmp_path}/edge.crt", "key_file": f"{tmp_path}/edge.key"}
    }
    wiring = open_clinic.wiring(open_clinic.another(config))
    with generated("nginx", config, wiring, tmp_path / "nginx", port=open_clinic.port):
        trusting, careful = (
            examine(
                Edge(url=url, ca_file=ca_file),
                expected_of(config, Edge(url=url)),
                now=time.time(),
                token=open_clinic.token("notes", aud=url),
                parts=["walk", "token"],
            )
            for ca_file in (f"{tmp_path}/ca.pem", None)
        )
    assert not trusting.findings, table(trusting)
    assert [finding.code for finding in careful.findings] == [Code.UNREACHABLE]
    assert "certificate verify failed" in table(careful)


def test_an_issuer_with_a_private_authority_that_the_file_names(
    open_clinic: Clinic, tmp_path: Path
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key, ca_file = (tmp_path / name for name in ("chain", "key", "ca"))
    certificate.cert_chain_pems[0].write_to_path(chain)
    certificate.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(ca_file)
    with Issuer(algorithms=["ES256"], tls=(chain, key)) as issuer:
        config = open_clinic.config(issuer={"issuer": issuer.url, "ca_file": str(ca_file)})
        with open_clinic.edge("nginx", service=open_clinic.another(config)):
            edge = Edge(url=open_clinic.url("notes"))
            settings = loaded({"version": 1, **config})
            policy = compile_policy(settings)
            informed, ignorant = (
                examine(
                    edge,
                    expectations(policy, edge.authority, edge.path, sources),
                    now=time.time(),
                    parts=["walk"],
                )
                for sources in (issuer_sources(settings), ())
            )
    assert not informed.findings, table(informed)
    assert [finding.code for finding in ignorant.findings] == [Code.ISSUER_METADATA]

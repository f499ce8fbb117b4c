"""`extauthz generate`: what it prints, what it writes, and when it says no."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from extauthz.cli import main
from extauthz.cli.generate import PROXIES
from extauthz.generate.envoy_check import NoChecker, fault_of
from extauthz.generate.proxies import WRITERS
from tests.e2e.processes import REPOSITORY
from tests.generate.inventories import inventory, server

ALL = sorted(WRITERS)
ON_KUBERNETES = {"upstream": "http://calculator:8001"}


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def run(proxy: str, config: dict[str, Any], *more: str) -> tuple[int, str, str]:
        Path("extauthz.yaml").write_text(json.dumps(config))
        try:
            code = main(["generate", proxy, *more])
        except SystemExit as end:
            code = int(str(end.code))
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


def test_the_command_knows_every_proxy_that_can_be_written_for() -> None:
    assert sorted(PROXIES) == ALL


@pytest.mark.parametrize("proxy", ALL)
def test_a_missing_upstream_is_a_marked_placeholder_and_a_warning(run, proxy: str) -> None:
    one = server()
    del one["upstream"]
    code, out, err = run(proxy, inventory(one))
    assert code == 0
    assert "PLACEHOLDER" in out
    assert "server calculator has no upstream" in err


@pytest.mark.parametrize("proxy", ALL)
def test_standard_output_is_one_configuration(run, proxy: str) -> None:
    code, out, _ = run(proxy, inventory(server(**ON_KUBERNETES)))
    assert code == 0
    assert out.startswith(f"# Written by `extauthz generate {proxy}")
    assert "{{" not in out.replace("{{}}", "")


@pytest.mark.parametrize("proxy", ALL)
def test_the_page_that_explains_it_is_there(run, proxy: str) -> None:
    _, out, _ = run(proxy, inventory(server(**ON_KUBERNETES)))
    (page,) = re.findall(r"^# Every setting is explained in (\S+)\.$", out, re.MULTILINE)
    assert (REPOSITORY / page).is_file()


@pytest.mark.parametrize("proxy", ALL)
def test_a_folder_gets_every_file(run, proxy: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    code, out, _ = run(proxy, inventory(server(**ON_KUBERNETES)), "--output", str(folder))
    assert (code, out) == (0, "")
    assert list(folder.iterdir())


def test_a_folder_that_cannot_be_written_is_said(run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = run("nginx", inventory(server()), "--output", str(tmp_path / "file"))
    assert code == 1
    assert "cannot write to" in err


def test_a_bad_inventory_names_its_mistakes(run) -> None:
    code, out, err = run("envoy", inventory(server(upstream="nonsense")))
    assert (code, out) == (1, "")
    assert "servers[0].upstream" in err


def test_an_unknown_proxy_is_a_usage_error(run) -> None:
    assert run("apache", inventory(server()))[0] == 2


def test_calls_are_envoys(run) -> None:
    code, _, err = run("nginx", inventory(server()), "--calls", "mcp")
    assert code == 2
    assert "--calls" in err


@pytest.mark.parametrize(
    ("rules", "words", "seen"),
    [
        ({}, [], "none"),
        ({"tools": {"add": "allow"}}, [], "mcp"),
        ({"methods": {"x": "deny"}}, [], "mcp"),
        ({}, ["--calls", "mcp"], "mcp"),
        ({"tools": {"add": "allow"}}, ["--calls", "body"], "body"),
        ({"tools": {"add": "allow"}}, ["--calls", "none"], "none"),
    ],
)
def test_envoy_uses_its_mcp_filter_where_some_server_has_rules_for_calls(
    run, rules: dict[str, Any], words: list[str], seen: str
) -> None:
    code, out, err = run("envoy", inventory(server(**rules)), *words)
    assert code == 0
    assert ("envoy.filters.http.mcp" in out) == (seen == "mcp")
    # The filter alone does not tell of members that some servers take for others.
    assert ("with_request_body" in out) == (seen != "none")
    assert ("has rules for calls" in err) == (seen == "none" and bool(rules))


@pytest.mark.parametrize("proxy", ["envoy-http", "nginx", "caddy", "traefik", "haproxy"])
def test_rules_that_nobody_can_serve_are_warned_of(run, proxy: str) -> None:
    ruled = server(tools={"add": "allow"})
    assert "has rules for calls" in run(proxy, inventory(ruled))[2]
    compared = ruled | {"header_versions": ["2026-07-28"]}
    assert "has rules for calls" not in run(proxy, inventory(compared))[2]


@pytest.mark.parametrize("proxy", ALL)
def test_an_upstream_with_a_path_is_refused(run, proxy: str) -> None:
    """Paths are not rewritten: what extauthz judged would not be what the server gets."""
    code, out, err = run(proxy, inventory(server(upstream="http://calculator:8001/mcp")))
    assert (code, out) == (1, "")
    assert err == (
        "extauthz generate: server calculator: upstream has a path, but paths are passed on as the "
        "client wrote them; expected http://calculator:8001, and the MCP server at the path of its "
        "resource\n"
    )


@pytest.mark.parametrize(
    ("proxy", "listen", "said"),
    [
        ("envoy", {"grpc": "off"}, "listen.grpc is off and edge.authz_grpc is not set"),
        ("nginx", {"http": "off"}, "listen.http is off and edge.authz_http is not set"),
        ("envoy", {"grpc": "127.0.0.1:0"}, "set edge.authz_grpc"),
    ],
)
def test_a_door_that_is_not_there_is_refused(run, proxy: str, listen, said: str) -> None:
    code, _, err = run(proxy, inventory(server(), listen=listen))
    assert code == 1
    assert said in err


def test_a_service_that_listens_everywhere_is_asked_here(run) -> None:
    _, out, _ = run("envoy", inventory(server(), listen={"grpc": "0.0.0.0:9191"}))
    assert "address: 127.0.0.1, port_value: 9191" in out


BY_FORWARD_AUTH = ("nginx", "caddy", "haproxy", "traefik")
LOOPBACK = ["127.0.0.0/8", "::1/128"]


@pytest.mark.parametrize("proxy", BY_FORWARD_AUTH)
@pytest.mark.parametrize(
    ("authz", "trusted", "warned"),
    [
        ("extauthz:8080", LOOPBACK, True),
        ("10.0.0.1:8080", [], True),
        ("extauthz:8080", [*LOOPBACK, "10.0.0.0/8"], False),
        ("127.0.0.1:8080", LOOPBACK, False),
        ("[::1]:8080", LOOPBACK, False),
        ("localhost:8080", LOOPBACK, False),
    ],
)
def test_a_proxy_elsewhere_whose_word_is_not_taken_is_warned_of(
    run, proxy: str, authz: str, trusted: list[str], warned: bool
) -> None:
    config = inventory(server(), edge={"authz_http": authz}, listen={"trusted_proxies": trusted})
    code, _, err = run(proxy, config)
    assert code == 0
    assert ("listen.trusted_proxies" in err) is warned


@pytest.mark.parametrize("proxy", sorted({*ALL} - {*BY_FORWARD_AUTH}))
def test_a_proxy_whose_word_is_not_needed_is_not(run, proxy: str) -> None:
    edge = {"authz_http": "extauthz:8080", "authz_grpc": "extauthz:9191"}
    assert "trusted_proxies" not in run(proxy, inventory(server(**ON_KUBERNETES), edge=edge))[2]


WITHOUT_FILES = ("envoy-gateway", "istio")  # the Gateway has its certificate from a Secret


@pytest.mark.parametrize("proxy", [proxy for proxy in ALL if proxy not in WITHOUT_FILES])
def test_a_certificate_that_the_proxy_would_look_for_elsewhere_is_warned_of(
    run, proxy: str
) -> None:
    def said(cert: str, key: str) -> str:
        edge = {"listen": "127.0.0.1:8443", "tls": {"cert_file": cert, "key_file": key}}
        code, out, err = run(proxy, inventory(server(**ON_KUBERNETES), edge=edge))
        assert (code, f"{cert}" in out) == (0, True)
        return str(err)

    assert "edge.tls" not in said("/etc/edge/tls.crt", "/etc/edge/tls.key")
    assert "edge.tls.cert_file: tls.crt is a relative path" in said("tls.crt", "/etc/tls.key")
    both = said("tls.crt", "tls.key")
    assert "edge.tls.cert_file" in both
    assert "edge.tls.key_file: tls.key is a relative path" in both


@pytest.mark.parametrize("proxy", WITHOUT_FILES)
def test_a_certificate_that_is_in_a_secret_may_have_any_path(run, proxy: str) -> None:
    edge = {"listen": "0.0.0.0:443", "tls": {"cert_file": "tls.crt", "key_file": "tls.key"}}
    code, _, err = run(proxy, inventory(server(**ON_KUBERNETES), edge=edge))
    assert code == 0
    assert "relative path" not in err


def test_https_without_a_certificate_is_warned_of(run) -> None:
    assert "edge.tls is not set" in run("nginx", inventory(server()))[2]
    on_loopback = server(resource="http://127.0.0.1:8443/calculator/mcp")
    assert "edge.tls" not in run("nginx", inventory(on_loopback))[2]


def test_servers_that_differ_in_the_port_alone_are_refused_where_ports_do_not_count(run) -> None:
    both = [
        server(name, match={"hosts": [f"mcp.example.com:{port}"], "paths": ["/x"]})
        for name, port in (("one", 1), ("two", 2))
    ]
    for proxy, code in (("envoy", 0), ("haproxy", 0), ("caddy", 0), ("nginx", 1), ("traefik", 1)):
        assert run(proxy, inventory(*both))[0] == code, proxy


def test_the_extra_is_named_where_it_is_missing(run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without envoy-data-plane the file is written all the same."""
    monkeypatch.setitem(sys.modules, "envoy_data_plane.envoy.config.bootstrap.v3", None)
    with pytest.raises(NoChecker, match=r"pip install '\.\[generate\]' in a clone"):
        fault_of("{}")
    code, out, err = run("envoy", inventory(server()))
    assert code == 0
    assert out
    assert "note: not checked against Envoy's API" in err


def test_the_check_sees_a_field_that_the_api_does_not_have() -> None:
    text = (REPOSITORY / "envoy" / "envoy-mcp.yaml").read_text()
    assert fault_of(text) is None
    fault = fault_of(text.replace("reject_duplicate_keys", "reject_duplicates"))
    assert fault is not None
    assert "reject_duplicates" in fault

"""Every default of the contract, and the contract's own examples."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import pytest

from extauthz.config.addresses import TcpAddress
from extauthz.config.compile import compile_policy
from extauthz.core.policy import SUPPORTED_ALGORITHMS, HostPattern, Issuer, Server
from tests.config.desk import SERVERS, Desk

CONTRACT = Path(__file__).parents[2] / "docs" / "contract.md"
SMALLEST, FULL = re.findall(r"```yaml\n(.*?)```", CONTRACT.read_text(), re.DOTALL)[:2]

TOP: dict[str, object] = {
    "listen.grpc": TcpAddress("127.0.0.1", 9191),
    "listen.http": TcpAddress("127.0.0.1", 8080),
    "listen.admin": TcpAddress("127.0.0.1", 9090),
    "listen.grpc_transport": "grpcio",
    "listen.grpc_tls.cert_file": None,
    "listen.http_tls.cert_file": None,
    "listen.unix_mode": None,
    "listen.trusted_proxies": (ip_network("127.0.0.0/8"), ip_network("::1/128")),
    "edge.authz_grpc": None,
    "edge.authz_http": None,
    "tokens.max_bytes": 16 * 1024,
    "tokens.cache_entries": 100_000,
    "state_dir": None,
    "workers": 1,
    "drain": 5.0,
    "log.level": "info",
    "log.format": "json",
    "log.allow_sample": 1.0,
    "log.subject": "plain",
}
ISSUER: dict[str, object] = {
    "name": "a.example",
    "accepted_issuers": (),
    "advertised": "https://a.example",
    "jwks_uri": None,
    "jwks_file": None,
    "discovery": "auto",
    "algorithms": SUPPORTED_ALGORITHMS,
    "token_types": ("at+jwt", "application/at+jwt", "JWT"),
    "audience_claim": "aud",
    "scope_claims": ("scope", "scp"),
    "required_claims": {},
    "leeway": 30.0,
    "ca_file": None,
    "egress_proxy": None,
    "allow_http_hosts": (),
    "keys.refresh": 600.0,
    "keys.cooldown": 10.0,
    "keys.max_stale": 24 * 3600.0,
    "keys.timeout": 5.0,
    "keys.max_bytes": 1024 * 1024,
}
SERVER: dict[str, object] = {
    "claims": {},
    "name": "m.example/x",
    "title": None,
    "hosts": (HostPattern("m.example"),),
    "paths": ("/x",),
    "issuers": (),
    "accepted_audiences": ("https://m.example/x",),
    "scopes": (),
    "tools": {},
    "prompts": {},
    "resources": {},
    "methods": {},
    "scope_implies": {},
    "header_versions": (),
    "unverified_calls": "deny",
    "public_paths": (),
    "origins": (),
    "upstream": None,
    "forward.headers": {},
    "forward.token": "strip",
    "forward.stream_lease": "off",
    "mode": "enforce",
}


def value(holder: object, path: str) -> object:
    for part in path.split("."):
        holder = getattr(holder, part)
    return holder


@pytest.mark.requirement("M18")
@pytest.mark.parametrize(("path", "default"), TOP.items(), ids=list(TOP))
def test_top_level(desk: Desk, path: str, default: object) -> None:
    assert value(desk.load(SERVERS).settings, path) == default


@pytest.mark.parametrize(("path", "default"), ISSUER.items(), ids=list(ISSUER))
def test_issuer(desk: Desk, path: str, default: object) -> None:
    assert value(desk.load(SERVERS).settings.issuers[0], path) == default


@pytest.mark.parametrize(("path", "default"), SERVER.items(), ids=list(SERVER))
def test_server(desk: Desk, path: str, default: object) -> None:
    assert value(desk.load(SERVERS).settings.servers[0], path) == default


def test_the_smallest_useful_file_becomes_a_policy_of_defaults(desk: Desk) -> None:
    loaded = desk.load(SMALLEST)
    assert loaded.warnings == ()
    policy = compile_policy(loaded)
    issuer = Issuer(
        name="idp.example.com/realms/acme",
        issuer="https://idp.example.com/realms/acme",
        accepted=frozenset({"https://idp.example.com/realms/acme"}),
        advertised="https://idp.example.com/realms/acme",
    )
    server = Server(
        name="mcp.example.com/calculator/mcp",
        resource="https://mcp.example.com/calculator/mcp",
        hosts=(HostPattern("mcp.example.com"),),
        paths=("/calculator/mcp",),
        issuers=(issuer,),
        audiences=frozenset({"https://mcp.example.com/calculator/mcp"}),
        origins=frozenset({"https://mcp.example.com"}),
    )
    assert policy.issuers == (issuer,)
    assert policy.servers == (server,)
    assert (policy.token_max_bytes, policy.cache_entries) == (16 * 1024, 100_000)
    assert policy.digest == loaded.digest


def test_the_contracts_full_example_is_good(desk: Desk) -> None:
    loaded = desk.load(FULL)
    assert loaded.warnings == ()
    (server,) = compile_policy(loaded).servers
    assert server.name == "calculator"
    assert server.paths == ("/calculator",)


DEFAULTED = re.compile(r"^( *)(?:- )?([a-z_]+):(.*?) +# default(?:;.*)?$")


def test_what_the_contract_calls_a_default_changes_nothing(desk: Desk) -> None:
    """Each line of the full example marked as a default can go without a difference."""
    whole = desk.load(FULL).settings
    lines = FULL.splitlines()
    tried = 0
    for number, line in enumerate(lines):
        match = DEFAULTED.match(line)
        if match is None or match[2] == "audiences":
            continue
        without = [*lines[:number], *lines[number + 1 :]]
        assert desk.load("\n".join(without)).settings == whole, line
        tried += 1
    assert tried > 30

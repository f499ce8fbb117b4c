"""A real `serve`, asked at real doors; its real log; a replay as people run it."""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from extauthz._pb.external_auth_pb2 import CheckResponse
from extauthz.cli import main
from extauthz.telemetry.hashing import hashed
from tests.adapters.doors import CHECK, Asked, check_request
from tests.e2e.processes import accepts, program
from tests.e2e.rawhttp import send
from tests.service.conftest import Running, until
from tests.tokens import mint, signer

OLD = """\
version: 1
listen: {{grpc: "127.0.0.1:{grpc}", http: "127.0.0.1:{http}", admin: "127.0.0.1:{admin}"}}
drain: 0s
log: {{subject: {subject}}}
issuers:
  - name: corp
    issuer: {issuer}
    jwks_file: {jwks}
servers:
  - name: notes
    resource: https://mcp.example.com/notes/mcp
    match: {{hosts: [mcp.example.com], paths: [/notes]}}
    scopes: [notes]
    public_paths: [/notes/health]
    tools:
      read: allow
      search: {{claims: {{groups: [staff]}}}}
      purge: deny
      "*": [notes.write]
    header_versions: ["2026-07-28"]
  - name: old
    resource: https://mcp.example.com/old/mcp
"""
NOTES = "https://mcp.example.com/notes/mcp"
OF_OLD = "https://mcp.example.com/old/mcp"
MODERN = "2026-07-28"


def call(tool: str) -> bytes:
    return json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}}
    ).encode()


class Edge:
    """Asks at the doors as proxies do, about the requests of people."""

    def __init__(self, running: Running, channel: grpc.Channel) -> None:
        self._running = running
        self._channel = channel
        self.asked = 0

    def envoy(self, token: str | None, tool: str | None, **more: Any) -> None:
        lines = () if token is None else (("authorization", f"Bearer {token}"),)
        asked = Asked(lines=lines, body=None if tool is None else call(tool), **more)
        ask: Any = self._channel.unary_unary(CHECK)
        CheckResponse.FromString(ask(check_request(asked).SerializeToString(), timeout=10))
        self.asked += 1

    def nginx(
        self, token: str, tool: str, *lines: tuple[str, str], target: str = "/notes/mcp"
    ) -> None:
        original = [
            ("X-Original-URI", target),
            ("X-Original-Method", "POST"),
            ("X-Original-Host", "mcp.example.com"),
            ("Authorization", f"Bearer {token}"),
            ("Mcp-Protocol-Version", MODERN),
            ("Mcp-Method", "tools/call"),
            ("Mcp-Name", tool),
            *lines,
        ]
        send(self._running.ports["http"], "GET", "/auth/nginx", original, host="127.0.0.1")
        self.asked += 1

    def document(self) -> None:
        path = "/.well-known/oauth-protected-resource/notes/mcp"
        send(self._running.ports["http"], "GET", path, [], host="mcp.example.com")
        self.asked += 1


def person(name: str, **claims: Any) -> str:
    return mint({"sub": name, "aud": NOTES, **claims}, now=time.time())


def everybody(edge: Edge) -> None:
    """What a morning brings: good, refused, odd."""
    alice = person("alice", scope="notes notes.write", groups=["staff", "ops"])
    bob = person("bob", groups=["guests"])
    carol = person("carol", scope="other")
    for tool in ("read", "search", "purge", "write"):
        for token in (alice, bob, carol):
            edge.envoy(token, tool)
            edge.nginx(token, tool)
    edge.envoy(person("dave", aud=OF_OLD), "read", target="/old/mcp")
    edge.envoy(person("dave", aud=OF_OLD), None, target="/old/mcp", method="GET")
    edge.envoy(None, "read")
    edge.envoy(None, None, target="/notes/health", method="GET")
    edge.envoy(None, None, target="/nowhere")
    edge.envoy(None, None, target="/notes/../x")
    edge.envoy(person("eve", exp=1), "read")
    edge.envoy(person("eve", aud="https://elsewhere.example"), "read")
    edge.envoy(mint({"aud": NOTES}, key=signer("ES256", "forged"), now=time.time()), "read")
    edge.nginx(alice, "read", ("Origin", "https://evil.example"))
    edge.nginx(alice, "read", ("X_Auth_Subject", "root"))
    edge.nginx(alice, "a b")
    edge.document()


@pytest.fixture(scope="module", params=["plain", "hash"])
def morning(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """The file and the log of a service that was asked by everybody, and has ended."""
    running = Running(tmp_path_factory.mktemp("morning"))
    running.write(OLD, subject=request.param)
    command = [sys.executable, "-m", "extauthz", "serve", "--config", str(running.file)]
    with program(command, running.log, lambda: accepts(running.ports["grpc"])):
        until(lambda: running.ready() == 200)
        with grpc.insecure_channel(f"127.0.0.1:{running.ports['grpc']}") as channel:
            edge = Edge(running, channel)
            everybody(edge)
        until(lambda: running.log.read_text().count('"event":"decision"') == edge.asked)
    return running


Replayed = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def replayed(morning: Running, capsys: pytest.CaptureFixture[str]) -> Replayed:
    """Replays the log of the morning against the file with changes."""

    def replay(*changes: tuple[str, str], options: tuple[str, ...] = ()) -> tuple[int, Any]:
        text = morning.file.read_text()
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        file = morning.folder / "new.yaml"
        file.write_text(text)
        log = str(morning.log)
        code = main(["replay", "--log", log, "--config", str(file), "--json", *options])
        return code, json.loads(capsys.readouterr().out)

    return replay


def who(found: dict[str, Any], change: str) -> set[tuple[str, str, str]]:
    names = {hashed(name): name for name in ("alice", "bob", "carol", "dave")}
    return {
        (names.get(group["subject"], group["subject"] or ""), group["call"], group["reason"])
        for group in found["groups"]
        if group["section"] == change
    }


def test_against_the_file_that_decided_nothing_changes(replayed: Replayed) -> None:
    code, found = replayed()
    assert code == 0
    assert (found["gained"], found["lost"], found["cannot_tell"]) == (0, 0, 0)
    assert found["unchanged"] == found["decisions"] == 37
    assert found["unreadable"] == 0


def test_exactly_those_whom_a_rule_concerns_lose_and_gain(replayed: Replayed) -> None:
    code, found = replayed(("read: allow", "read: [notes.write]"), ("[staff]", "[guests]"))
    assert code == 1
    assert who(found, "lost") == {
        ("bob", "tools/call read", "insufficient_scope"),
        ("alice", "tools/call search", "denied_by_rule"),
    }
    assert who(found, "gained") == {("bob", "tools/call search", "denied_by_rule")}
    assert (found["lost"], found["gained"], found["cannot_tell"]) == (4, 2, 0)


def test_what_is_meant_does_not_fail(replayed: Replayed) -> None:
    change = ("purge: deny", "purge: allow")
    assert replayed(change)[0] == 1
    assert replayed(change, options=("--allow", "losses"))[0] == 1
    assert replayed(change, options=("--allow", "gains"))[0] == 0


def test_a_claim_that_is_not_in_the_log_is_not_guessed_at(replayed: Replayed) -> None:
    change = ("read: allow", "read: {claims: {department: x}}")
    code, found = replayed(change)
    assert code == 0
    assert (found["gained"], found["lost"], found["cannot_tell"]) == (0, 0, 4)
    assert {group["detail"] for group in found["groups"]} == {"the claim department"}
    assert replayed(change, options=("--strict",))[0] == 1


def test_rules_for_a_server_that_had_none_need_a_call_that_nobody_looked_for(
    replayed: Replayed,
) -> None:
    code, found = replayed(("/old/mcp\n", "/old/mcp\n    tools: {read: allow}\n"))
    assert code == 0
    assert who(found, "cannot_tell") == {("dave", "POST /old/mcp", "")}
    assert found["cannot_tell"] == 1


def test_audit_mode_takes_nothing_from_anybody_and_says_what_it_would(replayed: Replayed) -> None:
    code, found = replayed(
        ("read: allow", "read: deny"), ("scopes: [notes]\n", "scopes: [notes]\n    mode: audit\n")
    )
    assert (code, found["lost"]) == (1, 0)
    assert who(found, "reported") == {
        ("alice", "tools/call read", "denied_by_rule"),
        ("bob", "tools/call read", "denied_by_rule"),
    }


def test_a_path_that_is_public_no_more(replayed: Replayed) -> None:
    _, found = replayed(("[/notes/health]", "[]"))
    assert who(found, "lost") == {("", "GET /notes/health", "missing_token")}
    assert found["lost"] == 1


def test_a_log_may_be_compressed_and_cut_off(
    morning: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = morning.folder / "log.gz"
    packed.write_bytes(gzip.compress(morning.log.read_bytes()))
    command = ["replay", "--config", str(morning.file), "--log"]
    assert main([*command, str(packed)]) == 0
    assert "nobody is seen to gain or lose" in capsys.readouterr().out
    packed.write_bytes(packed.read_bytes()[:-20])
    assert main([*command, str(packed)]) == 1
    assert "breaks off" in capsys.readouterr().err

"""However a call is dressed, the dangerous tool does not run behind a gateway whose rules deny it.

Two real MCP servers stand behind it. The newer one compares the ``Mcp-*`` headers of revision
2026-07-28 with the message. The older one, mcp 1.9.4, runs what the message says.
"""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.gateways import OLD_MCP, Guarded, gateway, resource, serving
from tests.clients.node import HERE
from tests.e2e.edges import Edge
from tests.e2e.rawhttp import HeaderLines, Response, send
from tests.e2e.tokens import ISSUER, Signer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

ACCEPT = ("Accept", "application/json, text/event-stream")
JSON = ("Content-Type", "application/json")
MODERN = ("MCP-Protocol-Version", "2026-07-28")
LEGACY = ("MCP-Protocol-Version", "2025-11-25")
CALLS = ("Mcp-Method", "tools/call")
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bypass", "version": "1"},
}
RULES = {"tools": {"danger_*": "deny", "*": "allow"}}
# The paths of the two: mcp 1.9.4 serves its own with a slash at the end.
OLD, NEW = "/calculator/mcp/", "/notes/mcp"


def named(tool: str) -> tuple[str, str]:
    return ("Mcp-Name", tool)


@dataclass(frozen=True)
class Attack:
    """A request: headers besides those of an MCP client, and its message as bytes.

    ``MARK`` in the message stands for a word that tells one request from the others.
    """

    headers: HeaderLines = ()
    body: bytes = b""
    method: str = "POST"
    usual: HeaderLines = (ACCEPT, JSON)


def message(tool: str = "danger_zone", **envelope: object) -> bytes:
    params = {"name": tool, "arguments": {"mark": "MARK"}, "_meta": META}
    whole = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params, **envelope}
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


SAFE, DANGER = message("safe"), message()
SAYS_SAFE = (CALLS, named("safe"))


def edited(old: str, new: str) -> bytes:
    assert old.encode() in DANGER
    return DANGER.replace(old.encode(), new.encode())


# What the standard says about Mcp-* headers, and what servers do all the same.
HEADERS = {
    "2026-07-28 and a safe name": Attack((MODERN, *SAYS_SAFE), DANGER),
    "2026-07-28 and two names": Attack((MODERN, *SAYS_SAFE, named("danger_zone")), DANGER),
    "2026-07-28 and two names, the other first": Attack(
        (MODERN, CALLS, named("danger_zone"), named("safe")), DANGER
    ),
    "2025-11-25 and a safe name": Attack((LEGACY, *SAYS_SAFE), DANGER),
    "no version and a safe name": Attack(SAYS_SAFE, DANGER),
    "two versions, the older first": Attack((LEGACY, MODERN, *SAYS_SAFE), DANGER),
    "two versions, the newer first": Attack((MODERN, LEGACY, *SAYS_SAFE), DANGER),
    "two versions in one line": Attack(
        (("MCP-Protocol-Version", "2025-11-25, 2026-07-28"), *SAYS_SAFE), DANGER
    ),
    "a version nobody knows": Attack((("MCP-Protocol-Version", "2099-01-01"), *SAYS_SAFE), DANGER),
    "a safe name in base64": Attack((MODERN, CALLS, named("=?base64?c2FmZQ==?=")), DANGER),
    "a safe name in bad base64": Attack((MODERN, CALLS, named("=?base64?c2FmZQ?=")), DANGER),
    "a method that needs no rule": Attack((MODERN, ("Mcp-Method", "ping")), DANGER),
    "two methods": Attack((MODERN, ("Mcp-Method", "ping"), *SAYS_SAFE), DANGER),
    "no method": Attack((MODERN, named("safe")), DANGER),
    "no name": Attack((MODERN, CALLS), DANGER),
    "no headers": Attack((), DANGER),
    "the truth": Attack((MODERN, CALLS, named("danger_zone")), DANGER),
    "another protocol version than in the message": Attack(
        (MODERN, *SAYS_SAFE), edited("2026-07-28", "2025-11-25")
    ),
    "the method in another header": Attack(
        (("X-HTTP-Method-Override", "DELETE"), ("X-Mcp-Method", "ping"), *SAYS_SAFE), DANGER
    ),
    "a server's name of the client's own": Attack(
        (("X-Mcp-Server", "other"), ("X-Original-URI", "/healthz")), DANGER
    ),
}
# What proxies and servers read differently in a message.
MESSAGES = {
    "twice named, danger last": edited('"name": "danger', '"name": "safe", "name": "danger'),
    "twice named, danger first": edited('"danger_zone"', '"danger_zone", "name": "safe"'),
    "params twice": edited('"params":', '"params": {"name": "safe"}, "params":'),
    "method twice": edited('"method":', '"method": "ping", "method":'),
    "a batch": b"[" + DANGER + b"]",
    "a batch behind a safe call": b"[" + SAFE + b"," + DANGER + b"]",
    "no id": message(id=None),
    "a response as well": message(result={}),
    "no jsonrpc": message(jsonrpc=None),
    "jsonrpc 1.0": message(jsonrpc="1.0"),
    "escaped name": edited("danger_zone", r"dange\u0072_zone"),
    "escaped member": edited('"name"', r'"n\u0061me": "safe", "name"'),
    "Name and name": edited('"name"', '"Name": "safe", "name"'),
    "Name alone": edited('"name"', '"Name"'),
    "name with NUL": edited('"name"', r'"name\u0000": "safe", "name"'),
    "Method": edited('"method": "tools/call"', '"Method": "ping", "method": "tools/call"'),
    "upper case method": edited("tools/call", "Tools/Call"),
    "method with a space": edited("tools/call", "tools/call "),
    "two documents": SAFE + DANGER,
    "two lines": SAFE + b"\n" + DANGER,
    "the other order of lines": DANGER + b"\n" + SAFE,
    "trailing garbage": DANGER + b"}",
    "leading space": b" \r\n\t" + DANGER,
    "byte order mark": b"\xef\xbb\xbf" + DANGER,
    "UTF-16": DANGER.decode().encode("utf-16"),
    "not UTF-8": edited("bypass", "bypass\xff"),
    "NaN": edited('"id": 1', '"id": NaN'),
    "over 1 MiB": edited('"mark": "MARK"', f'"mark": "MARK", "more": "{"a" * (1 << 20)}"'),
    "over 8 KiB": edited('"method"', f'"more": "{"a" * 9000}", "method"'),
    "deep": edited('"mark": "MARK"', f'"mark": "MARK", "more": {"[" * 500}{"]" * 500}'),
}
# What makes a proxy's filter think that this is no MCP request.
DRESS = {
    "no Accept": Attack((), DANGER, usual=(JSON,)),
    "Accept */*": Attack((("Accept", "*/*"),), DANGER, usual=(JSON,)),
    "Accept json": Attack((("Accept", "application/json"),), DANGER, usual=(JSON,)),
    "no Content-Type": Attack((), DANGER, usual=(ACCEPT,)),
    "upper case type": Attack((("Content-Type", "Application/JSON"),), DANGER, usual=(ACCEPT,)),
    "text": Attack((("Content-Type", "text/plain"),), DANGER, usual=(ACCEPT,)),
    "charset": Attack(
        (("Content-Type", "application/json; charset=utf-16"),), DANGER, usual=(ACCEPT,)
    ),
    "two types": Attack((("Content-Type", "text/plain"),), DANGER),
    "gzip": Attack((("Content-Encoding", "gzip"),), b"GZIP" + DANGER),
    "empty": Attack((), b""),
    "PUT": Attack((), DANGER, method="PUT"),
    "PATCH": Attack((), DANGER, method="PATCH"),
    "post": Attack((), DANGER, method="post"),
    "DELETE": Attack((), DANGER, method="DELETE"),
    "GET": Attack((("Accept", "application/json"),), DANGER, method="GET", usual=(JSON,)),
    "OPTIONS": Attack((), DANGER, method="OPTIONS"),
}
ATTACKS = HEADERS | {name: Attack((), body) for name, body in MESSAGES.items()} | DRESS


@dataclass(frozen=True)
class Stage:
    """The gateways, the ports of the servers behind them, and what these ran."""

    edges: dict[str, Edge]
    old_port: int
    new_port: int
    signer: Signer
    log: Path

    def ran(self, mark: str) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split()[0] for line in lines if line.endswith(mark)]

    def attack(self, port: int, target: str, attack: Attack) -> tuple[Response, list[str]]:
        """The answer to ``attack``, and the tools that it made run."""
        mark = uuid.uuid4().hex
        token = self.signer.token(aud=resource(port, target.split("/")[1]), scope="")
        headers = [*attack.usual, *attack.headers, ("Authorization", f"Bearer {token}")]
        body = attack.body.replace(b"MARK", mark.encode())
        if body.startswith(b"GZIP"):
            body = gzip.compress(body[4:])
        if attack.method in ("GET", "DELETE", "OPTIONS", "post"):
            headers.append(("Content-Length", str(len(body))))
        host = f"127.0.0.1:{port}"
        answer = send(port, attack.method, target, headers, body, host=host)
        return answer, self.ran(mark)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("bypass")
    signer, log = Signer(), folder / "ran"
    signer.write_key_set(folder / "jwks.json")
    issuer = {"issuer": ISSUER, "jwks_file": str(folder / "jwks.json")}
    program = HERE / "two_tools_server.py"
    with ExitStack() as stack:
        old = stack.enter_context(serving([program, OLD, log], folder / "old.log", OLD_MCP))
        new = stack.enter_context(serving([program, NEW, log], folder / "new.log"))
        edges: dict[str, Edge] = {}
        for name in ("envoy-mcp", "envoy-body", "nginx"):
            guards = (Guarded(old, RULES), Guarded(new, RULES))
            running = gateway(name, *guards, issuer=issuer, folder=folder / name)
            edges[name] = stack.enter_context(running)
        # Told that the newer server compares: only there do headers name the tool.
        guards = (Guarded(old, RULES), Guarded(new, {**RULES, "header_versions": ["2026-07-28"]}))
        running = gateway("nginx", *guards, issuer=issuer, folder=folder / "believing")
        edges["nginx, believing"] = stack.enter_context(running)
        yield Stage(edges, old, new, signer, log)


EDGES = ["envoy-mcp", "envoy-body", "nginx", "nginx, believing"]


# What each server does on its own: the reason for all of this.
ALONE = {
    OLD: {
        "2026-07-28 and a safe name",
        "2025-11-25 and a safe name",
        "no version and a safe name",
        "two versions, the older first",
        "twice named, danger last",
        "escaped name",
    },
    NEW: {
        "2025-11-25 and a safe name",
        "no version and a safe name",
        "two versions, the older first",
        "twice named, danger last",
        "escaped name",
    },
}


@pytest.mark.parametrize(
    ("target", "name"), [(target, name) for target in ALONE for name in sorted(ALONE[target])]
)
def test_without_a_gateway_the_dangerous_tool_runs(stage: Stage, target: str, name: str) -> None:
    """These are no made-up dangers: the servers run the tool although the headers are lies."""
    port = stage.old_port if target == OLD else stage.new_port
    answer, ran = stage.attack(port, target, ATTACKS[name])
    assert (answer.status, ran) == (200, ["danger_zone"]), answer


@pytest.mark.requirement("M21", "M22", "M24")
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("target", [OLD, NEW], ids=["mcp 1.9.4", "mcp 2.3"])
def test_the_dangerous_tool_does_not_run(stage: Stage, target: str, name: str, edge: str) -> None:
    answer, ran = stage.attack(stage.edges[edge].port, target, ATTACKS[name])
    assert ran == []
    if ATTACKS[name].method == "POST":
        assert answer.status >= 400, answer


@pytest.mark.parametrize("target", [OLD, NEW], ids=["mcp 1.9.4", "mcp 2.3"])
@pytest.mark.parametrize("edge", ["envoy-mcp", "envoy-body"])
def test_the_safe_tool_runs(stage: Stage, target: str, edge: str) -> None:
    """The refusals above are not those of a gateway that refuses everything."""
    port = stage.edges[edge].port
    for headers in ((), (LEGACY,), (MODERN, *SAYS_SAFE)):
        answer, ran = stage.attack(port, target, Attack(headers, SAFE))
        assert (answer.status, ran) == (200, ["safe"]), answer


def test_the_safe_tool_runs_where_headers_are_compared(stage: Stage) -> None:
    port = stage.edges["nginx, believing"].port
    answer, ran = stage.attack(port, NEW, Attack((MODERN, *SAYS_SAFE), SAFE))
    assert (answer.status, ran) == (200, ["safe"]), answer

"""However the URI of a denied resource is spelled, it is not read behind a gateway.

The SDKs read URIs with the URL classes of their languages, which resolve dot segments, fold
schemes and skip blanks: a server answers for many spellings of one resource.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.gateways import OLD_MCP, Guarded, gateway, resource, serving
from tests.clients.node import HERE, node
from tests.e2e.processes import accepts, free_port, program
from tests.e2e.rawhttp import Response, send
from tests.e2e.tokens import ISSUER, Signer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

EXPRESS, OLD = "/calculator/mcp", "/notes/mcp/"
DENYING = {"resources": {"file:///danger_zone/*": "deny", "*": "allow"}}
ALLOWING = {"resources": {"file:///safe/*": "allow"}}
SAFE = "file:///safe/x"
SPELLINGS = [
    "FILE:///danger_zone/x",
    "file:///safe/../danger_zone/x",
    "file:///safe/%2e%2e/danger_zone/x",
    "file:///safe/../danger_zone\\x",
    "file:/danger_zone/x",
    "file://localhost/danger_zone/x",
    " file:///danger_zone/x",
    "fi\tle:///danger_zone/x",
]


@dataclass(frozen=True)
class Stage:
    ports: dict[str, int]
    folder: Path
    signer: Signer

    def read(self, port: int, target: str, uri: str) -> Response:
        token = self.signer.token(aud=resource(port, target.split("/")[1]), scope="")
        headers = [
            ("Accept", "application/json, text/event-stream"),
            ("Content-Type", "application/json"),
            ("Authorization", f"Bearer {token}"),
        ]
        message = {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": uri}}
        body = json.dumps(message).encode()
        return send(port, "POST", target, headers, body, host=f"127.0.0.1:{port}")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder, port, signer = tmp_path_factory.mktemp("uris"), free_port(), Signer()
    signer.write_key_set(folder / "jwks.json")
    command: list[str | Path] = [node(), HERE / "express_server.js", EXPRESS, str(port)]
    with ExitStack() as stack:
        starting = program(command, folder / "express.log", lambda: accepts(port))
        stack.enter_context(starting)
        two_tools: list[str | Path] = [HERE / "two_tools_server.py", OLD, folder / "ran"]
        old = stack.enter_context(serving(two_tools, folder / "old.log", OLD_MCP))
        yield Stage({EXPRESS: port, OLD: old}, folder, signer)


@pytest.mark.parametrize("uri", SPELLINGS)
@pytest.mark.parametrize("target", [EXPRESS, OLD], ids=["TypeScript SDK", "mcp 1.9.4"])
def test_without_a_gateway_each_is_read(stage: Stage, target: str, uri: str) -> None:
    """These are no made-up dangers."""
    assert b"read danger_zone" in stage.read(stage.ports[target], target, uri).body


@pytest.mark.parametrize("rules", [DENYING, ALLOWING], ids=["denied", "not allowed"])
@pytest.mark.parametrize("edge", ["envoy-mcp", "envoy-body"])
def test_behind_one_none_is(stage: Stage, edge: str, rules: dict[str, dict[str, str]]) -> None:
    issuer = {"issuer": ISSUER, "jwks_file": str(stage.folder / "jwks.json")}
    guards = (Guarded(stage.ports[EXPRESS], rules), Guarded(stage.ports[OLD], rules))
    folder = stage.folder / f"{edge}-{len(rules['resources'])}"
    with gateway(edge, *guards, issuer=issuer, folder=folder) as running:
        for target in (EXPRESS, OLD):
            assert b"read safe" in stage.read(running.port, target, SAFE).body
            for uri in SPELLINGS:
                answer = stage.read(running.port, target, uri)
                assert answer.status in (400, 403), (uri, answer)

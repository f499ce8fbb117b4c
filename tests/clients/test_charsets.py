"""A message that is a call of one tool in UTF-8 and of another one in UTF-7.

Express parses a message by the ``charset`` of its ``Content-Type``, of which anything that begins
with ``utf-`` will do. So do MCP servers made with the TypeScript SDK and ``express.json()``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.gateways import Guarded, gateway, resource
from tests.clients.node import HERE, node
from tests.e2e.processes import accepts, free_port, program
from tests.e2e.rawhttp import Response, send
from tests.e2e.tokens import ISSUER, Signer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

TARGET = "/calculator/mcp"
RULES = {"tools": {"danger_*": "deny", "*": "allow"}}


def _utf_7(text: str) -> str:
    return "+" + base64.b64encode(text.encode("utf-16-be")).decode().rstrip("=") + "-"


# What stands in the text of `x` ends it, in UTF-7, and the members that follow come last.
HIDDEN = '"}},"method":"tools/call","params":{"name":"danger_zone","_meta":{"y":"'
TWOFOLD = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "safe", "_meta": {"x": _utf_7(HIDDEN)}},
    },
    separators=(",", ":"),
)


@dataclass(frozen=True)
class Stage:
    server: int
    folder: Path
    signer: Signer

    def call(self, port: int, charset: str) -> Response:
        token = self.signer.token(aud=resource(port), scope="")
        headers = [
            ("Accept", "application/json, text/event-stream"),
            ("Content-Type", f"application/json; charset={charset}"),
            ("Authorization", f"Bearer {token}"),
        ]
        host = f"127.0.0.1:{port}"
        return send(port, "POST", TARGET, headers, TWOFOLD.encode(), host=host)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder, port, signer = tmp_path_factory.mktemp("charsets"), free_port(), Signer()
    signer.write_key_set(folder / "jwks.json")
    command: list[str | Path] = [node(), HERE / "express_server.js", TARGET, str(port)]
    with program(command, folder / "express.log", lambda: accepts(port)):
        yield Stage(port, folder, signer)


def test_without_a_gateway_the_charset_decides_which_tool_runs(stage: Stage) -> None:
    """This is no made-up danger."""
    assert b"ran safe" in stage.call(stage.server, "utf-8").body
    assert b"ran danger_zone" in stage.call(stage.server, "utf-7").body


@pytest.mark.parametrize("edge", ["envoy-mcp", "envoy-body", "envoy-http-body"])
def test_behind_one_only_what_was_judged_runs(stage: Stage, edge: str) -> None:
    issuer = {"issuer": ISSUER, "jwks_file": str(stage.folder / "jwks.json")}
    guarded = Guarded(stage.server, RULES)
    with gateway(edge, guarded, issuer=issuer, folder=stage.folder / edge) as running:
        assert b"ran safe" in stage.call(running.port, "utf-8").body
        for charset in ("utf-7", '"UTF-7"', "utf-8; charset=utf-7"):
            answer = stage.call(running.port, charset)
            assert (answer.status, b"malformed_request" in answer.body) == (400, True), answer

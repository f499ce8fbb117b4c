"""Rules for tools hold whatever the client says in headers and however it writes the body."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import config
from tests.e2e.edges import Edge
from tests.e2e.scene import Attempt, Scene, Service, attempt, extauthz, start
from tests.e2e.tokens import CALCULATOR

pytestmark = pytest.mark.e2e

MODERN = ("MCP-Protocol-Version", "2026-07-28")
LEGACY = ("MCP-Protocol-Version", "2025-11-25")
CALLS = ("Mcp-Method", "tools/call")
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "e2e", "version": "1"},
}


def message(tool: str) -> bytes:
    params = {"name": tool, "arguments": {}, "_meta": META}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return json.dumps(call).encode()


SAFE, ADD, DANGER = message("safe"), message("add"), message("danger_zone")


def named(tool: str) -> tuple[str, str]:
    return ("Mcp-Name", tool)


def call(scene: Scene, edge: Edge, body: bytes, *headers: tuple[str, str]) -> Attempt:
    token = scene.token(aud=CALCULATOR, scope="calculator")
    return attempt(scene, edge, target="/calculator/mcp", token=token, body=body, headers=headers)


@pytest.fixture(params=["envoy-mcp", "envoy-body", "envoy-http-body"])
def seeing(request: pytest.FixtureRequest, scene: Scene) -> Edge:
    """The edges that show extauthz the message itself."""
    return scene.edge(request.param)


@pytest.fixture(params=["envoy", "envoy-http", "nginx"])
def blind(request: pytest.FixtureRequest, scene: Scene) -> Edge:
    """The edges that show extauthz headers alone."""
    return scene.edge(request.param)


def test_a_tool_that_the_rules_allow_runs(scene: Scene, seeing: Edge) -> None:
    assert call(scene, seeing, SAFE).response.status == 200
    modern = call(scene, seeing, SAFE, MODERN, CALLS, named("safe"))
    assert modern.response.status == 200, modern.response
    ((server, received),) = modern.reached
    assert server == "calculator"
    assert received.body == SAFE


@pytest.mark.requirement("M13", "M14")
def test_a_tool_that_needs_a_scope_names_it(scene: Scene, seeing: Edge) -> None:
    """All scopes of the operation in one challenge, so that one step-up is enough."""
    refused = call(scene, seeing, ADD)
    assert refused.response.status == 403
    challenge = refused.response.get("www-authenticate") or ""
    assert challenge.startswith(
        'Bearer error="insufficient_scope", scope="calculator calculator.add"'
    )
    assert not refused.reached


REWRITES = {
    "plain": DANGER,
    "batch": b"[" + DANGER + b"]",
    "twice named, danger last": DANGER.replace(b'"name": "d', b'"name": "safe", "name": "d'),
    "twice named, danger first": DANGER.replace(b'"danger_zone"', b'"danger_zone", "name": "safe"'),
    "escaped name": DANGER.replace(b'"danger_zone"', rb'"dange\u0072_zone"'),
    "escaped member": DANGER.replace(b'"name"', rb'"n\u0061me": "safe", "name"'),
    "Name": DANGER.replace(b'"name"', b'"Name": "safe", "name"'),
    # Servers that read members in any case, as Go's encoding/json does, take these for them.
    "Name, which comes last": SAFE.replace(b'"safe"', b'"safe", "Name": "danger_zone"'),
    "Params, which comes last": SAFE[:-1] + b', "Params": {"name": "danger_zone"}}',
    "paramſ, which comes last": SAFE[:-1] + rb', "param\u017f": {"name": "danger_zone"}}',
    "Method, which comes last": DANGER.replace(b'"tools/call"', b'"ping", "Method": "tools/call"'),
    "two documents": SAFE + DANGER,
    "after a newline": SAFE + b"\n" + DANGER,
    "byte order mark": b"\xef\xbb\xbf" + DANGER,
    "UTF-16": DANGER.decode().encode("utf-16"),
    "over the limit": DANGER.replace(
        b'"arguments": {}', b'"arguments": "' + b"a" * (1 << 20) + b'"'
    ),
}


@pytest.mark.parametrize("rewrite", REWRITES)
def test_a_denied_tool_does_not_run_however_it_is_written(
    scene: Scene, seeing: Edge, rewrite: str
) -> None:
    sent = call(scene, seeing, REWRITES[rewrite])
    assert sent.response.status in (400, 403, 413), sent.response
    assert not sent.reached


LIES = {
    "modern": (MODERN, CALLS, named("safe")),
    "modern, two names": (MODERN, CALLS, named("safe"), named("danger_zone")),
    "modern, another method": (MODERN, ("Mcp-Method", "ping")),
    "modern, encoded name": (MODERN, CALLS, named("=?base64?c2FmZQ==?=")),
    "legacy": (LEGACY, CALLS, named("safe")),
    "no version": (CALLS, named("safe")),
    "two versions": (LEGACY, MODERN, CALLS, named("safe")),
    "joined versions": (("MCP-Protocol-Version", "2025-11-25, 2026-07-28"), CALLS, named("safe")),
}


@pytest.mark.requirement("M21")
@pytest.mark.parametrize("lie", LIES)
def test_headers_that_name_a_safe_tool_do_not_help(scene: Scene, seeing: Edge, lie: str) -> None:
    """The message is the call; headers that tell another story are refused."""
    sent = call(scene, seeing, DANGER, *LIES[lie])
    assert sent.response.status in (400, 403), sent.response
    assert not sent.reached


@pytest.mark.requirement("M22")
@pytest.mark.parametrize("lie", LIES)
def test_by_default_headers_are_nobodys_word(scene: Scene, blind: Edge, lie: str) -> None:
    """A server exists that runs what the body says although the header named a safe tool."""
    sent = call(scene, blind, DANGER, *LIES[lie])
    assert sent.response.status in (400, 403), sent.response
    assert not sent.reached


def test_a_blind_edge_lets_no_post_through_where_rules_exist(scene: Scene, blind: Edge) -> None:
    for body in (SAFE, DANGER):
        refused = call(scene, blind, body)
        assert refused.response.status == 403
        assert refused.response.json()["error"]["data"]["reason"] == "unverified_call"
        assert not refused.reached


@pytest.fixture(scope="module")
def believer(
    scene: Scene, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Path]]:
    """An extauthz that was told: the calculator checks the headers against the message."""
    folder = tmp_path_factory.mktemp("believing")
    scene.signer.write_key_set(folder / "jwks.json")
    with extauthz(config(folder, header_versions=["2026-07-28"]), folder) as service:
        yield service, folder


@pytest.fixture(scope="module", params=["envoy", "envoy-http", "nginx"])
def believing(
    request: pytest.FixtureRequest, scene: Scene, believer: tuple[Service, Path]
) -> Iterator[Edge]:
    service, folder = believer
    with start(request.param, scene.wiring(service), folder / request.param) as edge:
        yield edge


@pytest.mark.requirement("M24")
def test_checked_headers_name_the_tool(scene: Scene, believing: Edge) -> None:
    assert call(scene, believing, SAFE, MODERN, CALLS, named("safe")).response.status == 200
    refused = call(scene, believing, ADD, MODERN, CALLS, named("add")).response
    assert 'scope="calculator calculator.add"' in (refused.get("www-authenticate") or "")
    assert (
        call(scene, believing, DANGER, MODERN, CALLS, named("danger_zone")).response.status == 403
    )


# The server answers a difference under the modern version itself: that row is its to refuse.
UNCHECKED = {name: lie for name, lie in LIES.items() if not name.startswith("modern")} | {
    "modern, two names": LIES["modern, two names"],
    "modern, bad base64": (MODERN, CALLS, named("=?base64?c2FmZQ?=")),
    "modern, an octet that some servers strip": (MODERN, CALLS, named("\xa0danger_zone")),
    "modern, no name": (MODERN, CALLS),
    "modern, no method": (MODERN, named("safe")),
}


@pytest.mark.requirement("M21", "M22")
@pytest.mark.parametrize("lie", UNCHECKED)
def test_headers_that_the_server_would_not_check_are_not_believed(
    scene: Scene, believing: Edge, lie: str
) -> None:
    sent = call(scene, believing, DANGER, *UNCHECKED[lie])
    assert sent.response.status in (400, 403), sent.response
    assert not sent.reached


@pytest.mark.parametrize(("name", "status"), [("envoy-mcp", 400), ("envoy-body", 413)])
def test_a_message_over_the_limit_is_answered_by_envoy(
    scene: Scene, name: str, status: int
) -> None:
    """As the files' comments say, and in no words that a client takes for its server's."""
    refused = call(scene, scene.edge(name), REWRITES["over the limit"]).response
    assert (refused.status, refused.get("content-type")) == (status, "text/plain")

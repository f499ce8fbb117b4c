"""What the MCP specification asks of whoever stands between a client and its server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.gateways import Guarded, gateway, resource
from tests.e2e.edges import Edge
from tests.e2e.rawhttp import connection, request_bytes
from tests.e2e.scene import MCP_HEADERS, PING, Scene, attempt
from tests.e2e.tokens import CALCULATOR, ISSUER, NOTES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SESSION = ("Mcp-Session-Id", "0123456789abcdef")


@pytest.mark.requirement("M11", "M25")
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_a_session_is_no_credential(scene: Scene, edge: Edge, method: str) -> None:
    """Whoever knows the id of an open session still needs a token, on every request."""
    opened = attempt(scene, edge, token=scene.token(), headers=[SESSION])
    assert opened.response.status == 200
    sent = attempt(scene, edge, method=method, headers=[SESSION])
    assert sent.response.status == 401
    assert not sent.reached


@pytest.mark.requirement("M11", "R42")
def test_a_connection_is_no_credential(scene: Scene, edge: Edge) -> None:
    """A request without a token is refused on the connection that one with a token came over."""
    token = ("Authorization", f"Bearer {scene.token()}")
    with connection(edge.port) as opened:
        for headers, status in (([token], 200), ([], 401), ([token], 200), ([SESSION], 401)):
            opened.send(request_bytes("POST", "/notes/mcp", [*MCP_HEADERS, *headers], PING))
            assert opened.read_response("POST").status == status


@pytest.mark.requirement("M11", "R14", "R16", "R43")
def test_a_token_elsewhere_than_in_its_header_does_not_count(scene: Scene, edge: Edge) -> None:
    form = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "*/*")]
    token = scene.token()
    body = f"access_token={token}".encode()
    raw = request_bytes("POST", "/notes/mcp", form, body)
    with connection(edge.port) as opened:
        opened.send(raw)
        # Envoy's MCP filter takes such a body for no MCP message before anybody is asked.
        assert opened.read_response("POST").status == (400 if edge.name == "envoy-mcp" else 401)
    in_query = attempt(scene, edge, method="GET", target=f"/notes/mcp?access_token={token}")
    assert in_query.response.status in (400, 401)
    in_cookie = attempt(scene, edge, headers=[("Cookie", f"access_token={token}")])
    assert in_cookie.response.status == 401
    assert not in_query.reached
    assert not in_cookie.reached


@pytest.mark.requirement("M23")
def test_mirrored_parameters_pass_as_they_are(scene: Scene, edge: Edge) -> None:
    """A header that mirrors an argument is the server's to read, whatever its name and value."""
    headers = [("Mcp-Param-Region", "eu"), ("mcp-param-X9", "=?base64?SGVsbG8=?=")]
    sent = attempt(scene, edge, token=scene.token(), headers=headers)
    ((_, received),) = sent.reached
    got = {name.lower(): value for name, value in received.headers}
    assert {name: got.get(name.lower()) for name, _ in headers} == dict(headers)


@pytest.mark.requirement("M4", "M26", "R11")
def test_a_challenge_asks_for_no_more_than_is_needed(scene: Scene, edge: Edge) -> None:
    """Not for the scopes of every tool, and in the same words each time: clients compare them."""
    first, second = (attempt(scene, edge, target="/calculator/mcp").response for _ in range(2))
    challenge = first.get("www-authenticate") or ""
    assert challenge.startswith('Bearer scope="calculator", resource_metadata="')
    assert challenge == second.get("www-authenticate")


@pytest.mark.requirement("M15")
@pytest.mark.parametrize(
    ("scope", "status"), [("all", 200), ("use add", 200), ("use", 403), ("add", 403), ("al", 403)]
)
def test_a_broader_scope_counts_for_the_narrower(
    hierarchy: Edge, scene: Scene, scope: str, status: int
) -> None:
    token = scene.token(aud=resource(hierarchy.port), scope=scope)
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{}}}'
    host = f"127.0.0.1:{hierarchy.port}"
    sent = attempt(scene, hierarchy, target="/calculator/mcp", token=token, body=body, host=host)
    assert sent.response.status == status
    assert bool(sent.reached) == (status == 200)


@pytest.fixture(scope="module")
def hierarchy(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder: Path = tmp_path_factory.mktemp("hierarchy")
    settings = {
        "scopes": ["use"],
        "tools": {"add": ["add"]},
        "scope_implies": {"all": ["most"], "most": ["use", "add"]},
    }
    issuer = {"issuer": ISSUER, "jwks_file": str(scene.folder / "jwks.json")}
    guarded = Guarded(scene.backends["calculator"].port, settings)
    with gateway("envoy-body", guarded, issuer=issuer, folder=folder) as edge:
        yield edge


@pytest.mark.requirement("M7", "M9", "R13", "R42", "R50")
def test_a_token_works_at_its_own_server_only(scene: Scene, edge: Edge) -> None:
    """Two servers of one gateway are two resources: neither takes the other's token."""
    for target, audience in (("/notes/mcp", CALCULATOR), ("/calculator/mcp", NOTES)):
        for odd in (audience, f"{audience}2", [audience], "https://mcp.example.com"):
            sent = attempt(scene, edge, target=target, token=scene.token(aud=odd))
            assert sent.response.status == 401
            assert sent.response.json()["error"]["data"]["reason"] == "wrong_audience"
            assert not sent.reached

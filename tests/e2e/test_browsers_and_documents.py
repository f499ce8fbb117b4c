"""What needs no token: OAuth documents and preflights, alike behind every proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.edges import Edge
from tests.e2e.scene import Scene, attempt
from tests.e2e.tokens import ISSUER, NOTES

pytestmark = pytest.mark.e2e

METADATA = "/.well-known/oauth-protected-resource"
ORIGIN = ("Origin", "https://app.example.com")
ASKS = ("Access-Control-Request-Method", "POST")


@pytest.mark.requirement("M1", "M2", "R1", "R2", "R7")
@pytest.mark.parametrize("version", ["2026-07-28", "2025-11-25"])
def test_resource_metadata(scene: Scene, edge: Edge, version: str) -> None:
    """RFC 9728: open to all origins, with the exact resource; clients name their version."""
    headers = [("Accept", "application/json"), ("MCP-Protocol-Version", version)]
    answer = edge.send("GET", f"{METADATA}/notes/mcp", headers)
    assert answer.status == 200
    assert answer.get("content-type") == "application/json"
    assert answer.get("access-control-allow-origin") == "*"
    document = json.loads(answer.body)
    assert document["resource"] == NOTES
    assert document["authorization_servers"][0] == ISSUER
    assert document["bearer_methods_supported"] == ["header"]


@pytest.mark.requirement("M3", "R6")
def test_resource_metadata_is_found_at_the_root_of_a_host_with_one_server(
    scene: Scene, edge: Edge
) -> None:
    assert edge.send("GET", METADATA).status == 404
    answer = edge.send("GET", METADATA, host="other.example.com")
    assert answer.status == 200
    assert answer.json()["resource"] == "https://other.example.com/mcp"


def test_documents_answer_head_and_preflights(scene: Scene, edge: Edge) -> None:
    head = edge.send("HEAD", f"{METADATA}/notes/mcp")
    assert head.status == 200
    asked = [("Origin", "https://any.example"), ("Access-Control-Request-Method", "GET")]
    asked.append(("Access-Control-Request-Headers", "mcp-protocol-version"))
    preflight = edge.send("OPTIONS", f"{METADATA}/notes/mcp", asked)
    assert preflight.status == 204
    assert preflight.get("access-control-allow-origin") == "*"
    assert preflight.get("access-control-allow-headers") == "mcp-protocol-version"


@pytest.mark.parametrize("name", ["oauth-authorization-server", "openid-configuration"])
def test_older_clients_are_sent_to_the_issuer(scene: Scene, edge: Edge, name: str) -> None:
    answer = edge.send("GET", f"/.well-known/{name}", host="other.example.com")
    assert answer.status == 307
    assert (answer.get("location") or "").startswith("https://idp.example.com/")
    assert edge.send("GET", f"/.well-known/{name}/deeper", host="other.example.com").status == 404
    assert edge.send("GET", f"/.well-known/{name}", host="unknown.example").status >= 400


@pytest.mark.parametrize("path", ["/register", "/authorize", "/token"])
def test_the_gateway_is_no_authorization_server(scene: Scene, edge: Edge, path: str) -> None:
    """404 and no challenge: a client that guessed must not log in here."""
    for method, body in (("GET", b""), ("POST", b'{"redirect_uris":[]}')):
        headers = [("Content-Type", "application/json"), ("MCP-Protocol-Version", "2026-07-28")]
        answer = edge.send(method, path, headers, body)
        assert answer.status == 404
        assert answer.get("www-authenticate") is None


def test_an_unknown_path_is_nobodys(scene: Scene, edge: Edge) -> None:
    sent = attempt(scene, edge, target="/nobody", token=scene.token())
    assert sent.response.status in (403, 404)
    assert not sent.reached


def test_a_preflight_of_an_allowed_origin(scene: Scene, edge: Edge) -> None:
    asked = [ORIGIN, ASKS, ("Access-Control-Request-Headers", "authorization")]
    sent = attempt(scene, edge, method="OPTIONS", headers=asked)
    assert sent.response.status == 204
    assert sent.response.get("access-control-allow-origin") == ORIGIN[1]
    assert sent.response.get("access-control-allow-headers") == "authorization"
    assert "POST" in (sent.response.get("access-control-allow-methods") or "")
    assert not sent.reached


def test_a_preflight_of_another_origin_gets_no_leave(scene: Scene, edge: Edge) -> None:
    asked = [("Origin", "https://evil.example"), ASKS]
    sent = attempt(scene, edge, method="OPTIONS", headers=asked)
    assert sent.response.status == 204
    assert sent.response.get("access-control-allow-origin") is None
    assert not sent.reached


@pytest.mark.parametrize("headers", [[], [ORIGIN], [ASKS]], ids=["neither", "origin", "method"])
def test_other_options_need_a_token(
    scene: Scene, edge: Edge, headers: list[tuple[str, str]]
) -> None:
    assert attempt(scene, edge, method="OPTIONS", headers=headers).response.status == 401
    allowed = attempt(scene, edge, method="OPTIONS", headers=headers, token=scene.token())
    assert allowed.response.status == 200
    assert [server for server, _ in allowed.reached] == ["notes"]


@pytest.fixture
def careless_cors(scene: Scene) -> Iterator[None]:
    """The notes server says of its own accord that every origin may read."""
    headers = scene.backends["notes"].answer_headers
    headers += [
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Expose-Headers", "X-Own"),
        ("X-Own", "kept"),
    ]
    yield
    headers.clear()


@pytest.mark.usefixtures("careless_cors")
def test_what_we_say_about_origins_overwrites_what_the_server_says(
    scene: Scene, edge: Edge
) -> None:
    response = attempt(scene, edge, token=scene.token(), headers=[ORIGIN]).response
    assert response.status == 200
    assert response.get("access-control-allow-origin") == ORIGIN[1]
    assert response.get("vary") == "Origin"
    exposed = (response.get("access-control-expose-headers") or "").replace(" ", "").split(",")
    assert exposed == ["WWW-Authenticate", "Mcp-Session-Id"]
    assert response.get("x-own") == "kept"

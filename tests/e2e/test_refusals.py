"""Refused means refused: the same status, challenge and body, whichever proxy asked."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.e2e.conftest import DOWN_ISSUER
from tests.e2e.edges import Edge
from tests.e2e.processes import free_port
from tests.e2e.rawhttp import Response
from tests.e2e.scene import Scene, Service, attempt, start
from tests.e2e.tokens import CALCULATOR, Signer

pytestmark = pytest.mark.e2e

ORIGIN = ("Origin", "https://app.example.com")

# Changes to a good token, further header lines, status and reason.
TOKENS: dict[str, tuple[dict[str, object], int, str]] = {
    "expired": ({"lifetime": -60}, 401, "token_expired"),
    "for another server": ({"aud": CALCULATOR}, 401, "wrong_audience"),
    "from another issuer": ({"iss": "https://evil.example"}, 401, "unknown_issuer"),
    "without a needed scope": ({"scope": "calculator"}, 403, "insufficient_scope"),
    "of an issuer that is down": ({"iss": DOWN_ISSUER}, 503, "keys_unavailable"),
    "with a control character": ({"sub": "a\r\nx-auth-subject: root"}, 401, "malformed_token"),
}


def seen(response: Response) -> tuple[object, ...]:
    """All that a client goes by."""
    names = ("www-authenticate", "content-type", "cache-control", "retry-after")
    cors = ("access-control-allow-origin", "access-control-expose-headers", "vary")
    values = tuple(response.get(name) for name in (*names, *cors))
    return (response.status, *values, response.body)


def assert_refused_alike(
    scene: Scene, edge: Edge, status: int, reason: str, **request: object
) -> None:
    """``edge`` refuses as contract section 8 says, and exactly as Envoy does over gRPC."""
    sent = attempt(scene, edge, **request)  # type: ignore[arg-type]
    assert not sent.reached
    assert sent.response.status == status, sent.response
    if edge.name == "envoy-http" and status >= 500:
        return  # Envoy replaces what an HTTP authorizer says in a 5xx by an empty answer.
    assert sent.response.json()["error"]["data"]["reason"] == reason
    assert sent.response.get("content-type") == "application/json"
    assert sent.response.get("cache-control") == "no-store"
    assert (sent.response.get("retry-after") is not None) == (status == 503)
    by_grpc = attempt(scene, scene.edge("envoy"), **request)  # type: ignore[arg-type]
    assert seen(sent.response) == seen(by_grpc.response)


@pytest.mark.requirement("M6", "M7", "M8", "M9", "M12", "R13", "R19", "R25")
@pytest.mark.parametrize("case", TOKENS)
def test_a_bad_token_is_refused(scene: Scene, edge: Edge, case: str) -> None:
    changes, status, reason = TOKENS[case]
    assert_refused_alike(scene, edge, status, reason, token=scene.token(**changes))


@pytest.mark.requirement("M3", "M4", "R9", "R17", "R20")
def test_no_token_is_asked_for_one(scene: Scene, edge: Edge) -> None:
    """The challenge that MCP clients start from: no error, scopes, and the metadata's URL."""
    assert_refused_alike(scene, edge, 401, "missing_token")
    assert attempt(scene, edge).response.get("www-authenticate") == (
        'Bearer scope="notes", resource_metadata='
        '"https://mcp.example.com/.well-known/oauth-protected-resource/notes/mcp"'
    )


@pytest.mark.requirement("M6")
def test_a_forged_token_is_refused(scene: Scene, edge: Edge) -> None:
    forged = Signer().token()
    assert_refused_alike(scene, edge, 401, "bad_signature", token=forged)


@pytest.mark.parametrize("word", ["", "Basic YTpi", "Bearer", "Bearer !", "Bearer a b"])
def test_odd_credentials_are_refused_alike(scene: Scene, edge: Edge, word: str) -> None:
    headers = [("Authorization", word)]
    sent = attempt(scene, edge, headers=headers)
    by_grpc = attempt(scene, scene.edge("envoy"), headers=headers)
    assert sent.response.status in (400, 401)
    assert seen(sent.response) == seen(by_grpc.response)


def test_a_browser_can_read_the_challenge(scene: Scene, edge: Edge) -> None:
    assert_refused_alike(scene, edge, 401, "missing_token", headers=[ORIGIN])
    response = attempt(scene, edge, headers=[ORIGIN]).response
    assert response.get("access-control-allow-origin") == ORIGIN[1]
    assert response.get("vary") == "Origin"
    assert response.get("access-control-expose-headers") == "WWW-Authenticate, Mcp-Session-Id"


@pytest.mark.requirement("M17")
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://app.example.com"])
def test_a_bad_origin_is_refused(scene: Scene, edge: Edge, origin: str) -> None:
    """Even with a good token: DNS rebinding and cross-site calls stop here."""
    headers = [("Origin", origin)]
    token = scene.token()
    assert_refused_alike(scene, edge, 403, "bad_origin", headers=headers, token=token)


def test_a_body_ending_in_html_is_still_json(scene: Scene, edge: Edge) -> None:
    """nginx guesses content types from the path unless it is told not to."""
    assert_refused_alike(scene, edge, 401, "missing_token", target="/notes/page.html")


@pytest.mark.parametrize("name", ["envoy", "envoy-mcp", "envoy-body", "envoy-http", "nginx"])
def test_nothing_passes_while_the_authorizer_is_down(
    scene: Scene, tmp_path: Path, name: str
) -> None:
    nobody = Service(free_port(), free_port(), free_port(), tmp_path)
    with start(name, scene.wiring(nobody), tmp_path / name) as edge:
        for target in ("/notes/mcp", "/notes/public/terms"):
            sent = attempt(scene, edge, token=scene.token(), target=target)
            assert sent.response.status == 503, sent.response
            assert not sent.reached
        document = edge.send("GET", "/.well-known/oauth-protected-resource/notes/mcp")
        assert document.status == 503


@pytest.mark.parametrize("name", ["envoy", "envoy-http", "nginx"])
def test_nothing_passes_while_the_authorizer_is_silent(
    scene: Scene, tmp_path: Path, name: str
) -> None:
    """A connection is accepted and no answer ever comes."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        silent = Service(port, port, port, tmp_path)
        with start(name, scene.wiring(silent), tmp_path / name) as edge:
            sent = attempt(scene, edge, token=scene.token())
    assert sent.response.status == 503, sent.response
    assert not sent.reached

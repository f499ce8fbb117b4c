"""Who is calling reaches the MCP server as extauthz says it, and in no other way."""

from __future__ import annotations

import re
import uuid

import httpx
import pytest

from extauthz.core.policy import IDENTITY_HEADERS
from tests.e2e.backend import Received
from tests.e2e.edges import Edge
from tests.e2e.scene import MCP_HEADERS, PING, Scene, attempt
from tests.e2e.tokens import CALCULATOR, ISSUER, NOTES, claims_of

pytestmark = pytest.mark.e2e

SPELLINGS = [
    *IDENTITY_HEADERS,
    "X-Auth-Subject",
    "X-AUTH-SUBJECT",
    "x_auth_subject",
    "X_Auth_Subject",
    "x-auth_subject",
    "x_auth-subject",
    "x.auth.subject",
    "X.Auth-Subject",
    "x!auth!subject",
    "x~auth|subject",
    "x-auth.subject",
    "X-Auth-Anything",
    "x_auth_anything",
    "x-auth-",
]


def identity_of(received: Received) -> list[tuple[str, str]]:
    """What a backend that folds header names carelessly could take for an identity."""
    return [
        (name, value)
        for name, value in received.headers
        if re.sub(r"[^a-z0-9]", "-", name.lower()).startswith("x-auth-")
    ]


def expected_identity(token: str) -> dict[str, str]:
    claims = claims_of(token)
    return {
        "x-auth-subject": "alice",
        "x-auth-issuer": ISSUER,
        "x-auth-client-id": "inspector",
        "x-auth-scopes": "notes calculator",
        "x-auth-audience": NOTES,
        "x-auth-token-id": "token-1",
        "x-auth-issued-at": str(claims["iat"]),
        "x-auth-expires-at": str(claims["exp"]),
        "x-auth-server": "notes",
    }


@pytest.mark.requirement("M9", "M10", "R28")
def test_a_good_token_passes_as_identity_headers(scene: Scene, edge: Edge) -> None:
    """All nine, each once, and the token itself stays behind."""
    token = scene.token()
    sent = attempt(scene, edge, token=token)
    assert sent.response.status == 200, sent.response
    ((server, received),) = sent.reached
    assert server == "notes"
    identity = [(name.lower(), value) for name, value in identity_of(received)]
    assert sorted(identity) == sorted(expected_identity(token).items())
    names = {name.lower() for name, _ in received.headers}
    assert "authorization" not in names
    assert not {name for name in names if name.startswith("x-extauthz")}


@pytest.mark.requirement("R28")
def test_an_absent_claim_sends_nothing(scene: Scene, edge: Edge) -> None:
    token = scene.token(client_id=None, jti=None)
    spoofs = [("X-Auth-Client-Id", "spoof"), ("X-Auth-Token-Id", "spoof")]
    sent = attempt(scene, edge, token=token, headers=spoofs)
    ((_, received),) = sent.reached
    names = {name.lower() for name, _ in identity_of(received)}
    assert names == set(IDENTITY_HEADERS) - {"x-auth-client-id", "x-auth-token-id"}


@pytest.mark.requirement("R44")
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spoofed_header_in_any_spelling_never_reaches_the_server(
    scene: Scene, edge: Edge, spelling: str
) -> None:
    """Removed, overwritten or refused, but never a 5xx and never at the server."""
    token = scene.token()
    once, twice = [(spelling, "spoof")], [(spelling, "spoof"), (spelling, "spoof2")]
    for headers in (once, twice):
        sent = attempt(scene, edge, token=token, headers=headers)
        assert sent.response.status in (200, 400), sent.response
        for _, received in sent.reached:
            identity = {name.lower(): value for name, value in identity_of(received)}
            assert identity == expected_identity(token)
            assert len(identity_of(received)) == len(identity)


def test_a_spoof_does_not_pass_on_a_public_path_either(scene: Scene, edge: Edge) -> None:
    """Where no token is needed the server name is all there is."""
    headers = [(name, "spoof") for name in IDENTITY_HEADERS]
    sent = attempt(scene, edge, target="/notes/public/terms", headers=headers)
    ((_, received),) = sent.reached
    assert [(name.lower(), value) for name, value in identity_of(received)] == [
        ("x-auth-server", "notes")
    ]


@pytest.mark.parametrize("name", ["Connection", "Keep-Alive", "TE", "Trailer", "Proxy-Connection"])
def test_a_client_cannot_have_identity_headers_dropped(scene: Scene, edge: Edge, name: str) -> None:
    """A name in ``Connection`` makes some proxies take the header away, hop by hop."""
    token = scene.token()
    sent = attempt(scene, edge, token=token, headers=[(name, "x-auth-subject, x-auth-issuer")])
    for _, received in sent.reached:
        identity = {name.lower(): value for name, value in identity_of(received)}
        assert identity == expected_identity(token)
    assert sent.reached or sent.response.status in (400, 403)


@pytest.mark.requirement("R14")
def test_two_tokens_are_refused(scene: Scene, edge: Edge) -> None:
    """Whichever of them a server would read, it reads neither."""
    good, foreign = scene.token(), scene.token(aud=CALCULATOR)
    for first, second in ((good, foreign), (foreign, good), (good, good)):
        headers = [("Authorization", f"Bearer {second}")]
        sent = attempt(scene, edge, token=first, headers=headers)
        assert sent.response.status in (400, 401), sent.response
        assert not sent.reached
        sent = attempt(scene, edge, headers=[("Authorization", f"Bearer {first}, Bearer {second}")])
        assert sent.response.status in (400, 401), sent.response
        assert not sent.reached


def test_the_most_identity_that_extauthz_sends_fits(scene: Scene, edge: Edge) -> None:
    """A token of nearly 16 KiB whose claims come back as headers of many KiB."""
    token = scene.token(scope="notes " + "s" * 8000)
    # Go's server may end a body while it is read still, and a long answer with it: Caddy gets none.
    sent = attempt(scene, edge, token=token, method="GET" if edge.name == "caddy" else "POST")
    assert sent.response.status == 200, sent.response
    ((_, received),) = sent.reached
    identity = {name.lower(): value for name, value in identity_of(received)}
    assert identity["x-auth-scopes"] == "notes " + "s" * 8000


@pytest.mark.parametrize("name", ["envoy", "envoy-mcp", "envoy-body", "envoy-http", "envoy-bare"])
def test_the_same_holds_over_http_2(scene: Scene, name: str) -> None:
    holds_over_http_2(scene, scene.edge(name))


def holds_over_http_2(scene: Scene, edge: Edge) -> None:
    """No spoof in any spelling arrives, and no second token does."""
    token = scene.token()
    headers = [*MCP_HEADERS, ("Host", "mcp.example.com"), ("Authorization", f"Bearer {token}")]
    url = f"http://127.0.0.1:{edge.port}/notes/mcp"
    with httpx.Client(http1=False, http2=True) as client:
        for spelling in SPELLINGS:
            mark = uuid.uuid4().hex
            spoofs = [("X-Mark", mark), (spelling, "spoof"), (spelling, "spoof2")]
            answer = client.post(url, headers=[*headers, *spoofs], content=PING)
            assert answer.http_version == "HTTP/2"
            assert answer.status_code in (200, 400), spelling
            for _, received in scene.reached(mark):
                identity = sorted((name.lower(), value) for name, value in identity_of(received))
                assert identity == sorted(expected_identity(token).items()), spelling
        second = ("Authorization", f"Bearer {scene.token(aud=CALCULATOR)}")
        mark = uuid.uuid4().hex
        answer = client.post(url, headers=[*headers, second, ("X-Mark", mark)], content=PING)
        assert answer.status_code in (400, 401)
        assert not scene.reached(mark)


UPGRADES = [
    [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
    [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
    ],
]


@pytest.mark.parametrize("upgrade", UPGRADES, ids=["websocket", "h2c"])
def test_no_other_protocol_comes_through(
    scene: Scene, edge: Edge, upgrade: list[tuple[str, str]]
) -> None:
    """In a WebSocket nobody would judge the calls."""
    headers = [*upgrade, ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
    sent = attempt(scene, edge, method="GET", token=scene.token(), headers=headers)
    assert sent.response.status in (200, 400, 403), sent.response
    for _, received in sent.reached:
        assert "upgrade" not in {name.lower() for name, _ in received.headers}

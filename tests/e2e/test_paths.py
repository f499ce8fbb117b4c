"""No way of writing a path leads around the check or to another server."""

from __future__ import annotations

import re
from itertools import product

import pytest

from tests.e2e.backend import Received
from tests.e2e.edges import Edge
from tests.e2e.scene import Scene, attempt

pytestmark = pytest.mark.e2e

TRICKS: list[str | bytes] = [
    "/pub/../notes/mcp",
    "/notes/../calculator/mcp",
    "/calculator/../notes/mcp",
    "/notes/public/../mcp",
    "/notes/public/../../calculator/mcp",
    "//notes//mcp",
    "//calculator/mcp",
    "/notes//mcp",
    "/./notes/./mcp",
    "/notes/%2e%2e/calculator/mcp",
    "/calculator/%2E%2E/notes/mcp",
    "/notes/.%2e/calculator/mcp",
    "/notes%2fmcp",
    "/notes%2Fmcp/..%2f..%2fcalculator",
    "/notes/public%2f..%2fmcp",
    "/notes%5c..%5ccalculator",
    "/notes\\..\\calculator\\mcp",
    "\\calculator\\mcp",
    "/notes;/mcp",
    "/notes/mcp;x=1",
    "/notes/..;/calculator/mcp",
    "/%2e%2e;/calculator/mcp",
    "/notes/mcp#/../calculator",
    "/calculator/mcp#/notes",
    "/notes/mcp%23",
    "/notes%3f/mcp",
    "/notes/mcp%3b",
    "/notes/mcp%00",
    "/notes/mcp%0d%0aX-Auth-Subject:%20root",
    "/notes/%252e%252e/calculator/mcp",
    "/notes/mcp%",
    "/notes/mcp%zz",
    b"/notes/\xe9",
    "/notes/%c3%a9",
    "/notesevil/mcp",
    "/NOTES/mcp",
    "/%6eotes/mcp",
    "/%63alculator/mcp",
    "/notes/mcp?x=/../calculator/mcp",
    "/notes/mcp?/calculator/../..",
    "/.well-known/oauth-protected-resource/../../calculator/mcp",
    "/.well-known/oauth-protected-resource/%2e%2e/%2e%2e/calculator/mcp",
    "/register/../calculator/mcp",
    "/_extauthz",
    "/_extauthz/../calculator/mcp",
    "/_extauthz_preflight/calculator/mcp",
    "/auth/nginx",
    "/auth/envoy/notes/mcp",
    "/auth/forward",
    "http://mcp.example.com/calculator/mcp",
    "http://evil.example/notes/mcp",
    "*",
    "calculator/mcp",
]


def test_no_spelling_of_a_path_passes_without_a_token(scene: Scene, edge: Edge) -> None:
    wrong = []
    for target, method in product(TRICKS, ("POST", "GET", "OPTIONS")):
        sent = attempt(scene, edge, method=method, target=target)
        if sent.reached or not 400 <= sent.response.status < 500:
            wrong.append((method, target, sent))
    assert not wrong


def test_no_spelling_of_a_path_leads_to_another_server(scene: Scene, edge: Edge) -> None:
    """A token for the notes server opens that server alone, under an unambiguous path."""
    token = scene.token()
    wrong = []
    for target in TRICKS:
        sent = attempt(scene, edge, token=token, target=target)
        places = [(server, _path(received)) for server, received in sent.reached]
        if sent.response.status not in (200, 400, 401, 403, 404) or any(
            server != "notes" or NOTES_PATH.fullmatch(path) is None for server, path in places
        ):
            wrong.append((target, sent))
    assert not wrong


NOTES_PATH = re.compile(r"/(?:n|%6e)otes(?:/(?:[a-z]|%c3%a9)+)*")


def _path(received: Received) -> str:
    return received.request_line.split(" ")[1].split("?")[0]


def test_a_preflight_reaches_no_server(scene: Scene, edge: Edge) -> None:
    """Preflights need no token, so they must never be passed on."""
    headers = [("Origin", "https://app.example.com"), ("Access-Control-Request-Method", "POST")]
    wrong = []
    for target in TRICKS:
        sent = attempt(scene, edge, method="OPTIONS", target=target, headers=headers)
        if sent.reached or sent.response.status >= 500:
            wrong.append((target, sent))
    assert not wrong


HOSTS = ["evil.example", "mcp.example.com.evil.example", "mcp.example.com, evil.example", "[::1]"]


@pytest.mark.parametrize("host", HOSTS)
def test_another_host_is_no_way_in(scene: Scene, edge: Edge, host: str) -> None:
    sent = attempt(scene, edge, token=scene.token(), host=host)
    assert not sent.reached
    # Those answer themselves where no route has the host.
    unasked = (404,) if edge.name in ("traefik", "envoy-gateway") else ()
    assert sent.response.status in (400, 403, *unasked), sent.response


@pytest.mark.requirement("M16")
@pytest.mark.parametrize("host", ["MCP.example.com", "mcp.example.com.", "mcp.example.com:443"])
def test_spellings_of_the_same_host_are_the_same(scene: Scene, edge: Edge, host: str) -> None:
    sent = attempt(scene, edge, token=scene.token(), host=host)
    assert sent.response.status == 200, sent.response

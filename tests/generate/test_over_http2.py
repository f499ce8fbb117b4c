"""Over HTTP/2 nobody gets what is refused over HTTP/1.1, nor a WebSocket (RFC 8441)."""

from __future__ import annotations

import uuid

import pytest

from tests.e2e.edges import Edge
from tests.e2e.rawhttp2 import status_of
from tests.e2e.scene import Scene
from tests.e2e.test_identity import holds_over_http_2
from tests.generate.conftest import running
from tests.generate.edges import NEW_CADDY, caddy_with_http2

pytestmark = pytest.mark.e2e

SHIPPED = ["envoy", "envoy-mcp", "envoy-http"]
WRITTEN = [NEW_CADDY, "haproxy", "traefik", "envoy-gateway"]
WEBSOCKET = [
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("accept", "text/event-stream"),
]


@pytest.fixture(params=[*SHIPPED, *WRITTEN])
def edge(request: pytest.FixtureRequest, scene: Scene) -> Edge:
    if request.param in SHIPPED:
        return scene.edge(request.param)
    name = f"{request.param}-http2"
    return running(request.param, scene, name=name, edit=caddy_with_http2)


def asked(scene: Scene, mark: str, *pseudo: tuple[str, str]) -> list[tuple[str, str]]:
    target = [(":scheme", "http"), (":path", "/notes/mcp"), (":authority", "mcp.example.com")]
    token = ("authorization", f"Bearer {scene.token()}")
    return [*pseudo, *target, token, ("x-mark", mark), *WEBSOCKET]


def test_a_connect_for_one_does_not_become_one(scene: Scene, edge: Edge) -> None:
    mark = uuid.uuid4().hex
    headers = asked(scene, mark, (":method", "CONNECT"), (":protocol", "websocket"))
    status = status_of(edge.port, headers, ended=False)
    for _, received in scene.reached(mark):
        assert "upgrade" not in {name.lower() for name, _ in received.headers}, received
    assert scene.reached(mark) or status in (0, 400, 403, 404, 405), status


def test_without_it_the_server_is_reached(scene: Scene, edge: Edge) -> None:
    """So that it is the CONNECT which is refused above."""
    mark = uuid.uuid4().hex
    assert status_of(edge.port, asked(scene, mark, (":method", "GET"))) == 200
    assert scene.reached(mark)


def test_no_spoof_and_no_second_token_arrives(scene: Scene, edge: Edge) -> None:
    holds_over_http_2(scene, edge)

"""What comes after the body names nobody: some web servers add trailers to the headers.

RFC 9110 section 6.5: fields that a client sends when everything has been decided.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import product

import pytest

from extauthz.core.policy import IDENTITY_HEADERS
from tests.e2e.edges import Edge
from tests.e2e.rawhttp import Connection
from tests.e2e.rawhttp2 import status_of
from tests.e2e.scene import MCP_HEADERS, PING, Scene
from tests.generate.conftest import running
from tests.generate.edges import NEW_CADDY, caddy_with_http2

pytestmark = pytest.mark.e2e

SHIPPED = ["envoy", "envoy-mcp", "envoy-http", "nginx"]
WRITTEN = ["caddy", NEW_CADDY, "haproxy", "traefik", "envoy-gateway"]
WITHOUT_HTTP_2 = ["nginx", "caddy"]
TRAILERS = [(name, "ceo") for name in IDENTITY_HEADERS]
ANNOUNCED = ("trailer", ", ".join(IDENTITY_HEADERS))


def edge_of(scene: Scene, name: str) -> Edge:
    if name in SHIPPED:
        return scene.edge(name)
    if name == NEW_CADDY:
        return running(name, scene, name=f"{name}-http2", edit=caddy_with_http2)
    return running(name, scene)


def asked(scene: Scene, mark: str, target: str) -> Iterator[tuple[str, str]]:
    yield from MCP_HEADERS
    yield "x-mark", mark
    if "public" not in target:
        token = scene.token(sub=None, client_id=None, jti=None, scope="notes")
        yield "authorization", f"Bearer {token}"


def holds(scene: Scene, mark: str) -> None:
    """Each name in a trailer was in the headers already, so that a second one is seen to be one."""
    for _, received in scene.reached(mark):
        names = {name.lower() for name, _ in received.headers}
        late = {name.lower() for name, _ in received.trailers}
        assert late <= names, received
        for name, value in received.headers:
            assert "ceo" not in value or name.lower() == "trailer", received


@pytest.mark.parametrize("name", [*SHIPPED, *WRITTEN])
def test_a_trailer_names_nobody(scene: Scene, name: str) -> None:
    edge = edge_of(scene, name)
    arrived = 0
    targets = ("/notes/mcp", "/notes/public/terms")
    for method, target, announced, body in product(
        ("POST", "GET", "DELETE"), targets, (True, False), (PING, b"")
    ):
        mark = uuid.uuid4().hex
        lines = [("Host", "mcp.example.com"), *asked(scene, mark, target)]
        lines += [ANNOUNCED] * announced + [("Transfer-Encoding", "chunked")]
        head = "".join(f"{field}: {value}\r\n" for field, value in lines)
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        tail = "".join(f"{field}: {value}\r\n" for field, value in TRAILERS)
        connection = Connection(edge.port)
        connection.send(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + chunk)
        connection.send(f"0\r\n{tail}\r\n".encode())
        connection.read_head()
        connection.close()
        holds(scene, mark)
        arrived += len(scene.reached(mark))
    assert arrived


@pytest.mark.parametrize("name", [one for one in (*SHIPPED, *WRITTEN) if one not in WITHOUT_HTTP_2])
def test_nor_does_one_over_http_2(scene: Scene, name: str) -> None:
    edge = edge_of(scene, name)
    arrived = 0
    targets = ("/notes/mcp", "/notes/public/terms")
    for method, target, announced, body, sized in product(
        ("POST", "GET"), targets, (True, False), (PING, b""), (True, False)
    ):
        mark = uuid.uuid4().hex
        pseudo = [(":method", method), (":scheme", "http"), (":path", target)]
        lines = [*pseudo, (":authority", "mcp.example.com"), *asked(scene, mark, target)]
        lines = [(field.lower(), value) for field, value in lines]
        lines += [("content-length", str(len(body)))] * sized + [ANNOUNCED] * announced
        status_of(edge.port, lines, body=body, trailers=TRAILERS)
        holds(scene, mark)
        arrived += len(scene.reached(mark))
    assert arrived


def test_where_none_can_follow_nothing_is_sent_empty(scene: Scene) -> None:
    """The boundary of the two above: a body of a length that is told over HTTP/1.1."""
    for name in ("caddy", NEW_CADDY, "haproxy"):
        mark = uuid.uuid4().hex
        lines = [*asked(scene, mark, ""), ("Content-Length", str(len(PING)))]
        edge_of(scene, name).send("POST", "/notes/mcp", lines, PING)
        ((_, received),) = scene.reached(mark)
        assert "" not in {value for _, value in received.headers}, received

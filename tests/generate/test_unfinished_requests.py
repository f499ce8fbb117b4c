"""No edge keeps what a client without a token has begun and does not finish; answers may last."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest

from tests.e2e.edges import Edge
from tests.e2e.rawhttp import Connection, connection, request_bytes
from tests.e2e.scene import MCP_HEADERS, PING, Scene
from tests.e2e.test_calls import SAFE, call
from tests.generate.conftest import running
from tests.generate.edges import NEW_CADDY

pytestmark = [pytest.mark.e2e, pytest.mark.long]

EDGES = ["envoy", "envoy-http", "nginx", "caddy", NEW_CADDY, "haproxy", "traefik", "envoy-gateway"]
# The time that each file gives a request, and its head.
_GIVEN = re.compile(
    r"""((?:request_(?:headers_)?timeout|read_(?:body|header)|client_(?:body|header)_timeout
    |timeout\ http-request|readTimeout|request(?:Headers)?ReceivedTimeout):?\ "?)(?:10|30)s""",
    re.VERBOSE,
)


PARTLY = SAFE[:-1] + b" " * 900_000


def _unfinished(target: str) -> bytes:
    """A POST whose last octet never comes."""
    return request_bytes("POST", target, MCP_HEADERS, PARTLY + b" ").removesuffix(b" ")


UNFINISHED = {
    "message": _unfinished("/calculator/mcp"),
    "document": _unfinished("/register"),
    "head": b"POST /calculator/mcp HTTP/1.1\r\nHost: mcp.example.com\r\nX: ",
}


def hurried(_: str, text: str) -> str:
    """The edit that gives every request one second."""
    return _GIVEN.sub(r"\g<1>1s", text)


@pytest.fixture(params=EDGES)
def edge(request: pytest.FixtureRequest, scene: Scene) -> Edge:
    return running(request.param, scene, name=f"{request.param}-hurried", edit=hurried)


def ended(opened: Connection) -> None:
    """Wait for the proxy to answer, or to close the connection without a word."""
    with suppress(EOFError, ConnectionResetError):
        opened.read_head()


@pytest.mark.parametrize("what", UNFINISHED)
def test_a_request_that_does_not_end_is_ended(edge: Edge, what: str) -> None:
    with connection(edge.port) as opened:
        opened.send(UNFINISHED[what])
        ended(opened)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_answer_may_last_longer_than_a_request(scene: Scene, edge: Edge, method: str) -> None:
    """For longer than the time that another request is given."""
    headers = [*MCP_HEADERS, ("Authorization", f"Bearer {scene.token()}")]
    body = PING if method == "POST" else b""
    with connection(edge.port) as stream:
        stream.send(request_bytes(method, "/notes/mcp/events", headers, body))
        assert stream.read_head().status == 200
        events = stream.chunks()
        assert next(events) == b"data: open\n\n"
        for number in range(2):
            with connection(edge.port) as other:
                other.send(UNFINISHED["head"])
                ended(other)
            scene.backends["notes"].publish(f"event {number}")
            assert next(events) == f"data: event {number}\n\n".encode()


@pytest.mark.parametrize(("size", "passes"), [(1 << 20, True), ((1 << 20) + 1, False)])
@pytest.mark.parametrize("name", ["envoy", "envoy-gateway"])
def test_the_longest_message_is_a_mebibyte(
    scene: Scene, name: str, size: int, passes: bool
) -> None:
    """However small the buffers of a connection are."""
    long = SAFE[:-1] + b" " * (size - len(SAFE)) + b"}"
    sent = call(scene, running(name, scene, name=f"{name}-written"), long)
    assert bool(sent.reached) == passes
    assert sent.response.status == 200 if passes else sent.response.status in (400, 413)

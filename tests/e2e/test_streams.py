"""Server-Sent Events pass as they are written, and end with the token where that is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.e2e.edges import Edge
from tests.e2e.rawhttp import Connection, connection, request_bytes
from tests.e2e.scene import Scene

pytestmark = pytest.mark.e2e


@contextmanager
def stream(edge: Edge, token: str) -> Iterator[Connection]:
    headers = [("Accept", "text/event-stream"), ("Authorization", f"Bearer {token}")]
    headers.append(("X-Envoy-Upstream-Rq-Timeout-Ms", "1"))
    with connection(edge.port) as opened:
        opened.send(request_bytes("GET", "/notes/mcp/events", headers))
        head = opened.read_head()
        assert head.status == 200
        assert head.get("content-type") == "text/event-stream"
        yield opened


def test_events_arrive_as_they_are_written(scene: Scene, edge: Edge) -> None:
    """The next one is written only once the one before has been read."""
    with stream(edge, scene.token()) as opened:
        events = opened.chunks()
        assert next(events) == b"data: open\n\n"
        for number in range(3):
            scene.backends["notes"].publish(f"event {number}")
            assert next(events) == f"data: event {number}\n\n".encode()


def test_a_leased_stream_ends_with_its_token(scene: Scene) -> None:
    """``stream_lease: token``: Envoy cuts the stream that a check hours ago had opened."""
    names = ("envoy", "envoy-mcp", "envoy-body", "envoy-http")
    edges = [scene.edge(name) for name in names]
    with ExitStack() as stack:
        token = scene.token(lifetime=2)
        streams = [stack.enter_context(stream(edge, token)).chunks() for edge in edges]
        for events in streams:
            assert next(events) == b"data: open\n\n"
        for events in streams:
            with pytest.raises(EOFError):
                next(events)

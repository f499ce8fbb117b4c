"""Server-Sent Events pass as they are written, and end with the token where that is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import edges
from tests.e2e.edges import Edge
from tests.e2e.rawhttp import Connection, connection, request_bytes
from tests.e2e.scene import Scene

pytestmark = pytest.mark.e2e


@contextmanager
def stream(
    edge: Edge, token: str, *more: tuple[str, str], path: str = "/notes/mcp/events"
) -> Iterator[Connection]:
    headers = [("Accept", "text/event-stream"), ("Authorization", f"Bearer {token}"), *more]
    headers.append(("X-Envoy-Upstream-Rq-Timeout-Ms", "1"))
    with connection(edge.port) as opened:
        opened.send(request_bytes("GET", path, headers))
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
    leased = [scene.edge(name) for name in names]
    with ExitStack() as stack:
        token = scene.token(lifetime=2)
        streams = [stack.enter_context(stream(edge, token)).chunks() for edge in leased]
        for events in streams:
            assert next(events) == b"data: open\n\n"
        for events in streams:
            with pytest.raises(EOFError):
                next(events)


@pytest.mark.parametrize("name", ["envoy", "envoy-http"])
def test_a_leased_stream_ends_also_where_its_request_does_not(scene: Scene, name: str) -> None:
    """Envoy counts a route's timeout from the end of the request, which never comes."""
    edge, token, unfinished = scene.edge(name), scene.token(lifetime=2), ("Content-Length", "1")
    with stream(edge, token, unfinished, path="/notes/mcp/early/events") as opened:
        events = opened.chunks()
        assert next(events) == b"data: open\n\n"
        with pytest.raises(EOFError):
            next(events)


def test_a_lease_does_not_lengthen_the_operators_own_limit(scene: Scene, tmp_path: Path) -> None:
    """``max_stream_duration`` on the route ends a stream whose token has minutes to live."""

    def limit(document: dict[str, Any]) -> None:
        listener = document["static_resources"]["listeners"][0]
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
            if "route" in route:
                route["route"]["max_stream_duration"] = {"max_stream_duration": "0.5s"}

    with (
        edges.envoy("envoy.yaml", scene.wiring(), tmp_path, edit=limit) as edge,
        stream(edge, scene.token()) as opened,
    ):
        events = opened.chunks()
        assert next(events) == b"data: open\n\n"
        with pytest.raises(EOFError):
            next(events)

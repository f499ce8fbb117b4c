"""Clients that hang up on the proxy make it give up its checks; nobody else is to notice."""

from __future__ import annotations

import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.e2e import edges
from tests.e2e.conftest import config
from tests.e2e.edges import Edge
from tests.e2e.scene import Scene, attempt, extauthz

pytestmark = pytest.mark.e2e

ASKED = b"POST /notes/mcp HTTP/1.1\r\nhost: mcp.example.com\r\ncontent-length: 0\r\n\r\n"
AT_ONCE = 60  # of a thousand that it gives up at once Envoy itself makes an end


def without_retries(document: dict[str, Any]) -> None:
    """Let each check that fails show."""
    listener = document["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    (asking,) = (one for one in manager["http_filters"] if one["name"].endswith(".ext_authz"))
    del asking["typed_config"]["grpc_service"]["retry_policy"]


def hang_up(edge: Edge) -> None:
    """Ask on many connections, and be gone before there can be an answer."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", edge.port)))
            for _ in range(AT_ONCE)
        ]
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(ASKED)
            client.close()


@pytest.mark.parametrize("transport", ["grpcio", "native"])
def test_callers_are_served_while_others_hang_up(
    scene: Scene, transport: str, tmp_path: Path
) -> None:
    done = Event()

    def call(edge: Edge) -> set[int]:
        token, statuses = scene.token(), set()
        while not done.is_set():
            statuses.add(attempt(scene, edge, token=token).response.status)
        return statuses

    folder = tmp_path / "extauthz"
    with extauthz(config(scene.folder), folder, grpc_transport=transport) as service:
        wiring = scene.wiring(service)
        with (
            edges.envoy("envoy.yaml", wiring, tmp_path / "envoy", edit=without_retries) as edge,
            ThreadPoolExecutor() as pool,
        ):
            assert attempt(scene, edge, token=scene.token()).response.status == 200
            callers = [pool.submit(call, edge) for _ in range(4)]
            for _ in range(30):
                hang_up(edge)
                attempt(scene, edge, token=scene.token())
            done.set()
            statuses = set().union(*(caller.result() for caller in callers))
    assert statuses == {200}
    assert "cut off" not in service.log.read_text()

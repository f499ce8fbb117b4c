"""Clients that hang up on the proxy make it give up its checks; nobody else is to notice."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from tests.e2e import edges
from tests.e2e.conftest import config
from tests.e2e.edges import Edge
from tests.e2e.scene import Scene, attempt, extauthz

pytestmark = pytest.mark.e2e

ASKED = b"POST /notes/mcp HTTP/1.1\r\nhost: mcp.example.com\r\ncontent-length: 0\r\n\r\n"


def hang_up(edge: Edge) -> None:
    """Ask, and be gone before there can be an answer."""
    with socket.create_connection(("127.0.0.1", edge.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(ASKED)


def test_callers_are_served_while_others_hang_up(scene: Scene, tmp_path: Path) -> None:
    with extauthz(config(scene.folder), tmp_path / "extauthz") as service:
        with edges.envoy("envoy.yaml", scene.wiring(service), tmp_path / "envoy") as edge:
            statuses = set()
            for _ in range(30):
                for _ in range(20):
                    hang_up(edge)
                statuses.add(attempt(scene, edge, token=scene.token()).response.status)
    assert statuses == {200}
    assert "cut off" not in service.log.read_text()

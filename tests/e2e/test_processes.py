"""What the tests start does not get into its own way."""

from __future__ import annotations

import socket

from tests.e2e.processes import free_port


def test_no_port_is_handed_out_twice() -> None:
    ports = [free_port() for _ in range(500)]
    assert len(set(ports)) == 500


def test_a_port_that_is_taken_is_left_out() -> None:
    free = free_port()
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert free_port(iter([server.getsockname()[1], free])) == free

"""A certificate that is replaced is shown to whoever connects next, by every worker and door."""

from __future__ import annotations

import socket
import ssl
import sys
from pathlib import Path

import pytest
import trustme

from tests.adapters.tls_files import Files
from tests.e2e.processes import program
from tests.service.conftest import CONFIG, Running, until


@pytest.mark.parametrize(
    ("transport", "workers"),
    [
        ("grpcio", 1),
        pytest.param("grpcio", 2, marks=pytest.mark.long),
        pytest.param("native", 2, marks=pytest.mark.long),
    ],
)
def test_a_replaced_certificate_is_taken_up(transport: str, workers: int, tmp_path: Path) -> None:
    files, running = Files(tmp_path), Running(tmp_path)
    pair = f"{{{{cert_file: {files.certificate}, key_file: {files.key}}}}}"
    listen = f"listen: {{{{grpc_transport: {transport}, grpc_tls: {pair}, http_tls: {pair}, "
    text = CONFIG.replace("listen: {{", listen)
    running.write(f"{text}workers: {workers}\n")
    first, second = trustme.CA(), trustme.CA()
    files.write(first)

    def shown(door: str) -> bytes:
        """The certificate that a new connection gets."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"] if door == "grpc" else ["http/1.1"])
        address = ("127.0.0.1", running.ports[door])
        with (
            socket.create_connection(address, timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            return secured.getpeercert(binary_form=True) or b""

    def ready() -> bool:
        try:
            return running.ready() == 200
        except OSError:
            return False

    command = [sys.executable, "-m", "extauthz", "serve", "--config", str(running.file)]
    with program(command, running.log, ready):
        before = {door: {shown(door) for _ in range(8)} for door in ("grpc", "http")}
        files.write(second)
        for door, old in before.items():
            assert len(old) == 1
            # The kernel spreads connections over the workers.
            until(lambda d=door, o=old: not o & {shown(d) for _ in range(16)})  # type: ignore[misc]
            assert len({shown(door) for _ in range(16)}) == 1

"""`extauthz serve` on Unix sockets, with the mode that the settings want."""

from __future__ import annotations

import socket
import stat
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.e2e.processes import program
from tests.service.conftest import Running, until

CONFIG = """\
version: 1
listen:
  grpc: "{grpc}"
  http: "{http}"
  admin: unix:{folder}/admin.sock
  unix_mode: "0660"
  grpc_transport: {transport}
workers: {workers}
drain: 0s
issuers:
  - {{issuer: {issuer}, jwks_file: {jwks}}}
servers:
  - resource: {resource}
"""


class ByPath(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def answer(path: Path, target: str) -> int:
    connection = ByPath(path)
    try:
        connection.request("GET", target)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.sock")}


def served(running: Running, more: tuple[str, ...] = ()) -> dict[str, int]:
    """Serve until ready; the modes that the sockets then have. None of them is left behind."""
    folder, config = running.folder, ("--config", str(running.file))
    command = [sys.executable, "-m", "extauthz", "serve", *config, *more]
    admin = folder / "admin.sock"
    with program(command, running.log, lambda: answer(admin, "/readyz") == 200):
        found = modes(folder)
        if (folder / "http.sock").exists():
            assert answer(folder / "http.sock", "/nothing") == 404
    until(lambda: not modes(folder))
    return found


def write(running: Running, *, transport: str = "grpcio", workers: int = 1) -> None:
    folder = running.folder
    doors = ("unix:{}/grpc.sock", "unix:{}/http.sock") if workers == 1 else ("127.0.0.1:0",) * 2
    grpc, http = (door.format(folder) for door in doors)
    running.write(CONFIG, grpc=grpc, http=http, folder=folder, transport=transport, workers=workers)


@pytest.mark.parametrize("transport", ["grpcio", "native"])
def test_all_listeners_have_the_mode(tmp_path: Path, transport: str) -> None:
    running = Running(tmp_path)
    write(running, transport=transport)
    assert served(running) == dict.fromkeys(("grpc.sock", "http.sock", "admin.sock"), 0o660)


def test_the_variable_wins_over_the_file_and_the_flag_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Running(tmp_path)
    write(running)
    monkeypatch.setenv("EXTAUTHZ_LISTEN_UNIX_MODE", "0600")
    assert set(served(running).values()) == {0o600}
    assert set(served(running, ("--listen-unix-mode", "0640")).values()) == {0o640}


def test_the_listener_of_several_workers_has_it_too(tmp_path: Path) -> None:
    running = Running(tmp_path)
    write(running, workers=2)
    assert served(running) == {"admin.sock": 0o660}

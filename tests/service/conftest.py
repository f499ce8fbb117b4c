"""A real `extauthz serve` of its own for each test, with one process or several."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.e2e.processes import accepts, free_port, program
from tests.tokens import ISSUER, mint, signer

RESOURCE = "https://mcp.example.com/notes/mcp"
CONFIG = """\
version: 1
listen: {{grpc: "127.0.0.1:{grpc}", http: "127.0.0.1:{http}", admin: "127.0.0.1:{admin}"}}
drain: {drain}
issuers:
  - name: corp
    issuer: {issuer}
    jwks_file: {jwks}
servers:
  - name: notes
    resource: {resource}
    scopes: [{scope}]
"""
WORKERS = CONFIG + "workers: 2\n"


class Running:
    """A service as a program, with its file and its ports."""

    timeout = 5.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("grpc", "http", "admin")}
        self.file = folder / "extauthz.yaml"
        self.log = folder / "extauthz.log"
        self.process: subprocess.Popen[bytes]
        (folder / "jwks.json").write_text(json.dumps({"keys": [signer().public_jwk()]}))
        self.write()

    def write(self, text: str = CONFIG, **changes: object) -> None:
        """Write the configuration file, with changes to its blanks."""
        blanks: dict[str, object] = {
            "drain": "0s",
            "issuer": ISSUER,
            "jwks": self.folder / "jwks.json",
            "resource": RESOURCE,
            "scope": "notes",
            **self.ports,
            **changes,
        }
        self.file.write_text(text.format(**blanks))

    def ask(self, port: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """GET ``path`` from a listener: status, headers and body."""
        connection = HTTPConnection("127.0.0.1", self.ports[port], timeout=self.timeout)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", path, headers=names)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()
        finally:
            connection.close()

    def judge(self, **claims: object) -> tuple[int, dict[str, str], bytes]:
        """Ask the forward-auth door about a request with a token of these claims."""
        return self.judge_token(mint(claims, now=time.time()))

    def judge_token(self, token: str) -> tuple[int, dict[str, str], bytes]:
        """Ask the forward-auth door about a request with this token."""
        return self.ask(
            "http",
            "/auth/forward",
            x_forwarded_uri="/notes/mcp",
            x_forwarded_method="GET",
            x_forwarded_host="mcp.example.com",
            x_forwarded_proto="https",
            authorization=f"Bearer {token}",
        )

    def ready(self) -> int:
        """The status of /readyz."""
        return self.ask("admin", "/readyz")[0]

    def status(self) -> Any:
        """The status page as JSON."""
        return json.loads(self.ask("admin", "/status", accept="application/json")[2])

    def explained(self, token: str, **fields: str) -> Any:
        """What the form of the status page makes of a token, as JSON."""
        asked = {"token": token, "host": "mcp.example.com", "path": "/notes/mcp", **fields}
        form = urlencode(asked)
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
        }
        connection = HTTPConnection("127.0.0.1", self.ports["admin"], timeout=self.timeout)
        try:
            connection.request("POST", "/status/explain", body=form, headers=headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def reload(self) -> None:
        """Send SIGHUP."""
        self.process.send_signal(signal.SIGHUP)

    def lines(self) -> list[dict[str, Any]]:
        """What was logged so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line]


def until(holds: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until ``holds()`` is true."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    command = [sys.executable, "-m", "extauthz", "serve", "--config", str(running.file)]
    with program(command, running.log, lambda: accepts(running.ports["grpc"])) as process:
        running.process = process
        until(lambda: running.ready() == 200)
        yield running


@contextmanager
def started(running: Running, before: str = "") -> Iterator[Running]:
    """Serve until the block ends, with ``before`` (Python) done first; ready when it begins."""
    code = f"{before}\nimport sys\nfrom extauthz.cli import main\nsys.exit(main())"
    how = ["-c", code] if before else ["-m", "extauthz"]
    command = [sys.executable, *how, "serve", "--config", str(running.file)]

    def ready() -> bool:
        return accepts(running.ports["admin"]) and running.ready() == 200

    with program(command, running.log, ready) as process:
        running.process = process
        yield running


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    running.write(WORKERS)
    with started(running):
        yield running


def children(running: Running) -> list[int]:
    """The processes of its workers."""
    pid = running.process.pid
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def measured(running: Running, name: str) -> float:
    """The value of a metric that has no labels."""
    metrics = running.ask("admin", "/metrics")[2].decode()
    return float(metrics.partition(f"\n{name} ")[2].partition("\n")[0])

"""A real `extauthz serve` with real doors, asked as proxies ask it.

For tests of what happens when something goes wrong: it serves one MCP server, which any of its
issuers may send people to.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from extauthz._pb.external_auth_pb2 import CheckResponse
from extauthz.adapters.grpc_door import SERVICE
from tests.attacks.doors import check_request, outcome_of
from tests.attacks.table import ALLOW, Sent
from tests.e2e.processes import accepts
from tests.service.conftest import RESOURCE, Running
from tests.service.conftest import until as until_in_time

PATIENCE = 40.0
"""Seconds that something may take on a machine that does much else; usually it takes one."""
CHECK = f"/{SERVICE}/Check"
SERVER: Mapping[str, Any] = {
    "name": "notes",
    "resource": RESOURCE,
    "scopes": ["notes"],
    "issuers": ["*"],
}


def until(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until ``holds()`` is true."""
    until_in_time(holds, seconds)


class Live(Running):
    """A running service; ``see`` is what a client sees, whichever proxy it came through."""

    timeout = PATIENCE

    def configure(self, issuers: Sequence[Mapping[str, Any]], **settings: Any) -> None:
        """Write the configuration file: these issuers, and top-level ``settings``."""
        self.transport = settings.pop("grpc_transport", "grpcio")
        listen = {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}
        document = {
            "version": 1,
            "listen": {**listen, "grpc_transport": self.transport},
            "drain": "0s",
            "issuers": list(issuers),
            "servers": [SERVER],
            **settings,
        }
        self.file.write_text(json.dumps(document))

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "extauthz", "serve", "--config", str(self.file)]

    @contextmanager
    def running(self, **how: Any) -> Iterator[Live]:
        """Serve until the block ends; ``how`` goes to Popen. Its output goes to ``log``."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, **{"stdout": log, "stderr": subprocess.STDOUT, **how}
            )
        try:
            until(self._up, PATIENCE)
            yield self
        finally:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(PATIENCE)

    def _up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        return all(accepts(port) for port in self.ports.values())

    def see(self, token: str) -> str:
        """``allow``, or the reason of the refusal; the same through gRPC and HTTP."""
        by_http, by_grpc = self.see_http(token), self.see_grpc(token)
        assert by_http == by_grpc, "one door says this and the other that"
        return by_grpc

    def see_http(self, token: str) -> str:
        status, _, body = self.judge_token(token)
        return ALLOW if status == 200 else str(json.loads(body)["reason"])

    def until_seen(self, token: str, what: str = ALLOW, seconds: float = PATIENCE) -> None:
        """Wait until a client sees that, over HTTP."""
        until(lambda: self.see_http(token) == what, seconds)

    def see_grpc(self, token: str) -> str:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{self.ports['grpc']}", options) as channel:
            return verdict(channel, token)

    def memory(self) -> int:
        """Bytes of memory that the process holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024

    def descriptors(self) -> int:
        """How many files and sockets the process has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def issuer(self, name: str) -> Any:
        """What the status page says of an issuer."""
        found = [one for one in self.status()["health"]["issuers"] if one["name"] == name]
        assert len(found) == 1, name
        return found[0]

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        text = self.ask("admin", "/metrics")[2].decode()
        return sum(map(float, re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)))


def check_of(token: str) -> bytes:
    """What Envoy asks about a request with this token."""
    sent = Sent(method="GET", target="/notes/mcp", host="mcp.example.com", token=token)
    return check_request(sent, raw=True).SerializeToString()


def verdict(channel: grpc.Channel, token: str) -> str:
    ask: Any = channel.unary_unary(CHECK)
    return outcome_of(CheckResponse.FromString(ask(check_of(token), timeout=PATIENCE))).verdict

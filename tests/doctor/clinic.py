"""A live estate for doctor: an issuer, two MCP servers, extauthz, and one edge at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from extauthz.config.compile import compile_policy
from extauthz.demo.issuer import Endpoint, Fault, Issuer
from extauthz.doctor.edge import Edge
from extauthz.doctor.examine import PARTS, Part, examine
from extauthz.doctor.expectations import expectations
from extauthz.doctor.findings import Report
from extauthz.doctor.running import GivenFile
from extauthz.doctor.telling import document, table
from tests.doctor.mcp_server import McpServer, running
from tests.doctor.spare import Spare, spare
from tests.e2e import edges
from tests.e2e.edges import Wiring
from tests.e2e.processes import free_port
from tests.e2e.scene import Service, extauthz
from tests.generate.edges import Edit, generated
from tests.generate.inventories import loaded

MOST_REQUESTS = 400
RULES = {"get_me": "allow", "add": "allow", "danger_*": "deny"}


@dataclass
class Clinic:
    """Examines what it starts. ``port`` is the edge's, in every URL of the inventory."""

    folder: Path
    stack: ExitStack
    issuer: Issuer
    servers: dict[str, McpServer]
    port: int
    service: Service
    _spare: Spare | None = None

    def url(self, server: str) -> str:
        return f"http://127.0.0.1:{self.port}/{server}/mcp"

    def config(self, **changes: dict[str, Any]) -> dict[str, Any]:
        """The inventory; ``changes`` are those of servers, by name, and of ``issuer``."""
        issuer = {"issuer": self.issuer.url, **changes.pop("issuer", {})}
        servers = [
            {
                "name": name,
                "resource": self.url(name),
                "match": {"hosts": ["*"], "paths": [f"/{name}"]},
                "scopes": [name],
                **({"tools": RULES} if name == "calculator" else {}),
                **changes.get(name, {}),
            }
            for name in self.servers
        ]
        return {"issuers": [issuer], "servers": servers, "log": {"level": "error"}}

    def token(self, server: str, **claims: Any) -> str:
        claims = {"aud": self.url(server), "scope": server, "sub": "alice", **claims}
        return self.issuer.mint(alg="ES256", **claims)

    def wiring(self, service: Service | None = None) -> Wiring:
        service = service or self.service
        ports = {name: server.port for name, server in self.servers.items()}
        return Wiring(**ports, grpc=service.grpc, http=service.http)

    @property
    def spare(self) -> Spare:
        """Another extauthz, which holds to what a test says."""
        if self._spare is None:
            self._spare = self.stack.enter_context(spare(self.config(), self.folder / "spare"))
        return self._spare

    def another(self, config: dict[str, Any]) -> Service:
        """An extauthz with another configuration, until the next call."""
        self.spare.hold_to(config)
        return self.spare.service

    @contextmanager
    def faulty(self, endpoint: Endpoint, fault: Fault) -> Iterator[Service]:
        """An extauthz whose issuer fails, after the first time."""
        service = self.another(self.config())
        self.issuer.faults[endpoint], self.issuer.delay = fault, 0.4
        try:
            yield service
        finally:
            del self.issuer.faults[endpoint]

    @contextmanager
    def edge(
        self,
        proxy: str,
        *,
        service: Service | None = None,
        config: dict[str, Any] | None = None,
        edit: Edit | None = None,
        change: Callable[[dict[str, Any]], None] | None = None,
    ) -> Iterator[None]:
        """The proxy with the files that are shipped for it, or written where none are.

        ``edit`` spoils a text file, ``change`` Envoy's document.
        """
        folder = self.folder / f"{proxy}-{time.monotonic_ns()}"
        wiring = self.wiring(service)
        if proxy in ("caddy", "haproxy", "traefik", "envoy-gateway"):
            written = generated(
                proxy, config or self.config(), wiring, folder, port=self.port, edit=edit
            )
            with written:
                yield
            return
        starting = (
            edges.nginx(wiring, folder, self.port, edit)
            if proxy == "nginx"
            else edges.envoy(f"{proxy}.yaml", wiring, folder, self.port, change)
        )
        with starting:
            yield

    def examine(
        self,
        server: str = "notes",
        *,
        config: dict[str, Any] | None = None,
        token: str | None = "",
        echo_tool: str | None = "get_me",
        parts: Collection[Part] = PARTS,
        host: str = "",
        given: GivenFile | None = None,
    ) -> Report:
        """What doctor finds; an empty token stands for a good one. ``host`` renames the edge."""
        policy = compile_policy(loaded({"version": 1, **(config or self.config())}))
        url, connect = self.url(server), None
        if host:
            url, connect = url.replace("127.0.0.1", host), ("127.0.0.1", self.port)
        edge = Edge(url=url, connect=connect, timeout=5.0)
        token = self.token(server) if token == "" else token
        report = examine(
            edge,
            expectations(policy, edge.authority, edge.path),
            now=time.time(),
            token=token,
            echo_tool=echo_tool,
            parts=parts,
            given=given,
        )
        assert report.requests < MOST_REQUESTS
        told = table(report) + document(report)
        assert token is None or token.split(".")[-1][:16] not in told
        return report


@contextmanager
def clinic(folder: Path) -> Iterator[Clinic]:
    with ExitStack() as stack:
        issuer = stack.enter_context(Issuer(algorithms=("ES256",)))
        names = ("calculator", "notes")
        servers = {name: stack.enter_context(running(McpServer())) for name in names}
        nobody = Service(0, 0, 0, folder)
        opened = Clinic(folder, stack, issuer, servers, free_port(), nobody)
        service = stack.enter_context(extauthz(opened.config(), folder / "extauthz"))
        yield replace(opened, service=service)

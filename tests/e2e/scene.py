"""The whole stage: two MCP servers, extauthz and the proxies between them and the client."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e import edges
from tests.e2e.backend import Backend, Received
from tests.e2e.edges import Edge, Wiring
from tests.e2e.processes import answers, free_port, program
from tests.e2e.rawhttp import HeaderLines, Response
from tests.e2e.tokens import Signer

MCP_HEADERS = (
    ("Accept", "application/json, text/event-stream"),
    ("Content-Type", "application/json"),
)
Starting = AbstractContextManager[Edge]
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


@dataclass(frozen=True)
class Service:
    """A running ``extauthz serve``."""

    grpc: int
    http: int
    admin: int
    log: Path


@contextmanager
def extauthz(config: dict[str, Any], folder: Path, **listening: Any) -> Iterator[Service]:
    """``extauthz serve`` with ``config`` on free ports, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    service = Service(free_port(), free_port(), free_port(), folder / "extauthz.log")
    listen = {name: f"127.0.0.1:{getattr(service, name)}" for name in ("grpc", "http", "admin")}
    file = folder / "extauthz.yaml"
    file.write_text(
        json.dumps({"version": 1, "listen": listen | listening, "drain": "0s", **config})
    )
    command: list[str | Path] = [sys.executable, "-m", "extauthz", "serve", "--config", file]
    ready = f"http://127.0.0.1:{service.admin}/readyz"
    with program(command, service.log, lambda: answers(ready)):
        yield service


@dataclass
class Scene:
    """What a test sees: edges by name, tokens, and what reached the MCP servers."""

    backends: dict[str, Backend]
    service: Service
    signer: Signer
    folder: Path
    stack: ExitStack
    running: dict[str, Edge] = field(default_factory=dict)

    def wiring(self, service: Service | None = None) -> Wiring:
        service = service or self.service
        ports = {name: backend.port for name, backend in self.backends.items()}
        return Wiring(**ports, grpc=service.grpc, http=service.http)

    def edge(self, name: str) -> Edge:
        """The proxy of that name: a file in ``envoy/``, ``nginx``, or one that ``start`` knows."""
        if name not in self.running:
            starting = start(name, self.wiring(), self.folder / name)
            self.running[name] = self.stack.enter_context(starting)
        return self.running[name]

    def token(self, **changes: Any) -> str:
        return self.signer.token(**changes)

    def reached(self, mark: str) -> list[tuple[str, Received]]:
        """The requests that carried ``mark`` and reached an MCP server, with its name."""
        return [
            (name, received)
            for name, backend in self.backends.items()
            for received in backend.received
            if ("x-mark", mark) in {(key.lower(), value) for key, value in received.headers}
        ]


def start(name: str, wiring: Wiring, folder: Path, port: int | None = None) -> Starting:
    """The proxy of that name, before it runs."""
    if name == "nginx":
        return edges.nginx(wiring, folder, port)
    if name == "envoy-bare":
        return edges.envoy("envoy.yaml", wiring, folder, port, bare)
    if name == "envoy-http-body":
        return edges.envoy("envoy-http.yaml", wiring, folder, port, with_bodies)
    return edges.envoy(f"{name}.yaml", wiring, folder, port)


def bare(document: dict[str, Any]) -> None:
    """Take away what Envoy does for us: extauthz must be safe without it."""
    listener = document["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    for key in (
        "early_header_mutation_extensions",
        "common_http_protocol_options",
        "normalize_path",
        "merge_slashes",
        "path_with_escaped_slashes_action",
    ):
        del manager[key]
    del manager["http_filters"][0]["typed_config"]["encode_raw_headers"]


def with_bodies(document: dict[str, Any]) -> None:
    """Have Envoy send the message over HTTP too, as docs/proxies/envoy.md says."""
    listener = document["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    (ext_authz,) = [one for one in manager["http_filters"] if one["name"].endswith("ext_authz")]
    ext_authz["typed_config"]["with_request_body"] = {
        "max_request_bytes": 1 << 20,
        "allow_partial_message": False,
        "pack_as_bytes": True,
    }


@dataclass(frozen=True)
class Attempt:
    """A request that was sent, what the client got, and what reached a server."""

    response: Response
    reached: list[tuple[str, Received]]


def attempt(
    scene: Scene,
    edge: Edge,
    *,
    token: str | None = None,
    headers: HeaderLines = (),
    method: str = "POST",
    target: str | bytes = "/notes/mcp",
    body: bytes = PING,
    host: str = "mcp.example.com",
) -> Attempt:
    """Send an MCP request, by default a ping to the notes server."""
    mark = uuid.uuid4().hex
    lines = [*MCP_HEADERS, ("X-Mark", mark)]
    if token is not None:
        lines.append(("Authorization", f"Bearer {token}"))
    body = body if method == "POST" else b""
    response = edge.send(method, target, [*lines, *headers], body, host=host)
    return Attempt(response, scene.reached(mark))

"""Real Envoy and real nginx, started from the files in ``envoy/`` and ``nginx/``.

The files name fixed ports; each edge gets free ones in their place and nothing else changes,
unless a test asks for an edit of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.processes import (
    REPOSITORY,
    accepts,
    answers,
    envoy_path,
    free_port,
    nginx_path,
    program,
    with_ports,
)
from tests.e2e.rawhttp import HeaderLines, Response, send

ENVOY_PORT, ENVOY_ADMIN_PORT, NGINX_PORT = 10000, 9901, 10080
CALCULATOR_PORT, NOTES_PORT, GRPC_PORT, HTTP_PORT = 8001, 8002, 9191, 8080


@dataclass(frozen=True)
class Wiring:
    """The ports that an edge talks to: the two MCP servers and extauthz."""

    calculator: int
    notes: int
    grpc: int
    http: int

    def ports(self) -> dict[int, int]:
        return {
            CALCULATOR_PORT: self.calculator,
            NOTES_PORT: self.notes,
            GRPC_PORT: self.grpc,
            HTTP_PORT: self.http,
        }


@dataclass(frozen=True)
class Edge:
    """A running proxy: ``name`` of its configuration, and where clients reach it."""

    name: str
    port: int
    log: Path

    def send(
        self,
        method: str,
        target: str | bytes,
        headers: HeaderLines = (),
        body: bytes = b"",
        *,
        host: str | None = "mcp.example.com",
    ) -> Response:
        return send(self.port, method, target, headers, body, host=host)


@contextmanager
def envoy(
    file: str,
    wiring: Wiring,
    folder: Path,
    port: int | None = None,
    edit: Callable[[dict[str, Any]], None] | None = None,
) -> Iterator[Edge]:
    """Envoy from ``envoy/<file>``; ``edit`` may change the parsed configuration first."""
    port, admin = port or free_port(), free_port()
    ports = {ENVOY_PORT: port, ENVOY_ADMIN_PORT: admin, **wiring.ports()}
    text = with_ports((REPOSITORY / "envoy" / file).read_text(), ports)
    if edit is not None:
        document = yaml.load(text, yaml.CSafeLoader)  # noqa: TID251
        edit(document)
        text = yaml.safe_dump(document)
    folder.mkdir(parents=True, exist_ok=True)
    config, log = folder / file, folder / "envoy.log"
    config.write_text(text)
    command: list[str | Path] = [
        envoy_path(),
        "-c",
        config,
        "--concurrency",
        "1",
        "--disable-hot-restart",
    ]
    command += ["-l", "warning", "--file-flush-interval-msec", "100"]
    with program(command, log, lambda: answers(f"http://127.0.0.1:{admin}/ready")):
        yield Edge(file.removesuffix(".yaml"), port, log)


@contextmanager
def nginx(
    wiring: Wiring,
    folder: Path,
    port: int | None = None,
    edit: Callable[[str, str], str] | None = None,
) -> Iterator[Edge]:
    """The nginx of ``nginx/nginx.conf`` with everything it includes.

    ``edit`` may change a file first: it is given the name and the text.
    """
    port = port or free_port()
    ports = {NGINX_PORT: port, **wiring.ports()}
    prefix = folder / "prefix"
    prefix.mkdir(parents=True)
    for file in (REPOSITORY / "nginx").glob("*.conf"):
        text = with_ports(file.read_text(), ports)
        (folder / file.name).write_text(edit(file.name, text) if edit else text)
    log = folder / "nginx.log"
    command: list[str | Path] = [
        nginx_path(),
        "-e",
        "stderr",
        "-p",
        prefix,
        "-c",
        folder / "nginx.conf",
    ]
    with program(command, log, lambda: accepts(port)):
        yield Edge("nginx", port, log)

"""MCP servers of others behind a real edge and an extauthz of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.clients.node import missing
from tests.e2e.edges import Edge, Wiring
from tests.e2e.processes import REPOSITORY, accepts, free_port, program
from tests.e2e.scene import extauthz, start

OLD_MCP = REPOSITORY / ".venv" / "mcp-1.9.4"


@dataclass(frozen=True)
class Guarded:
    """An MCP server by its port, and its settings in the configuration of extauthz."""

    port: int
    settings: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def serving(
    command: Sequence[str | Path],
    log: Path,
    packages: Path | None = None,
    port: int | None = None,
) -> Iterator[int]:
    """A Python program that listens on the port that its last argument names.

    ``packages`` is a folder whose packages win over those of this Python.
    """
    if packages is not None and not packages.is_dir():
        missing(f"{packages.name} is not installed")
    port = port or free_port()
    path = f"PYTHONPATH={os.pathsep.join(map(str, filter(None, [packages, REPOSITORY])))}"
    with program(["env", path, sys.executable, *command, str(port)], log, lambda: accepts(port)):
        yield port


def resource(port: int, server: str = "calculator") -> str:
    """The public URL of an MCP server behind the edge on ``port``."""
    return f"http://127.0.0.1:{port}/{server}/mcp"


@contextmanager
def gateway(
    edge: str,
    calculator: Guarded,
    notes: Guarded | None = None,
    *,
    issuer: dict[str, Any],
    folder: Path,
    port: int | None = None,
) -> Iterator[Edge]:
    """The edge of that name in front of one or two MCP servers, guarded by an extauthz."""
    port = port or free_port()
    servers = {"calculator": calculator} | ({"notes": notes} if notes else {})
    config = {
        "issuers": [issuer],
        "servers": [
            {
                "name": name,
                "resource": resource(port, name),
                "match": {"paths": [f"/{name}"]},
                **server.settings,
            }
            for name, server in servers.items()
        ],
        "log": {"level": "warning"},
    }
    with extauthz(config, folder / "extauthz") as service:
        backends = {"calculator": calculator.port, "notes": (notes or calculator).port}
        wiring = Wiring(**backends, grpc=service.grpc, http=service.http)
        with start(edge, wiring, folder / "edge", port) as running:
            yield running

"""One stage for all end-to-end tests of a run; proxies start when first asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import backend
from tests.e2e.edges import Edge
from tests.e2e.processes import free_port
from tests.e2e.scene import Scene, extauthz
from tests.e2e.tokens import CALCULATOR, ISSUER, NOTES, Signer

DOWN_ISSUER = "https://down.example.com"


def config(folder: Path, **calculator: Any) -> dict[str, Any]:
    """The inventory that the shipped proxy files are for, at a name instead of loopback."""
    nobody = f"http://127.0.0.1:{free_port()}/jwks"
    return {
        "issuers": [
            {
                "name": "main",
                "issuer": ISSUER,
                "jwks_file": str(folder / "jwks.json"),
                "leeway": "0s",
            },
            {"name": "down", "issuer": DOWN_ISSUER, "jwks_uri": nobody},
        ],
        "servers": [
            {
                "name": "notes",
                "resource": NOTES,
                "match": {"hosts": ["mcp.example.com"], "paths": ["/notes"]},
                "issuers": ["main", "down"],
                "scopes": ["notes"],
                "public_paths": ["/notes/public/*"],
                "origins": ["https://app.example.com"],
                "forward": {"stream_lease": "token"},
            },
            {
                "name": "calculator",
                "resource": CALCULATOR,
                "match": {"hosts": ["mcp.example.com"], "paths": ["/calculator"]},
                "issuers": ["main"],
                "scopes": ["calculator"],
                "tools": {"add": ["calculator.add"], "danger_*": "deny", "*": "allow"},
                **calculator,
            },
            {"name": "other", "resource": "https://other.example.com/mcp", "issuers": ["main"]},
        ],
        "log": {"level": "warning"},
    }


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("e2e")
    signer = Signer()
    signer.write_key_set(folder / "jwks.json")
    with ExitStack() as stack:
        backends = stack.enter_context(backend.running("calculator", "notes"))
        service = stack.enter_context(extauthz(config(folder), folder / "extauthz"))
        yield Scene(backends, service, signer, folder, stack)


@pytest.fixture(params=["envoy", "envoy-mcp", "envoy-body", "envoy-http", "envoy-bare", "nginx"])
def edge(request: pytest.FixtureRequest, scene: Scene) -> Edge:
    """Each shipped configuration in turn, and Envoy without the settings that help us."""
    return scene.edge(request.param)

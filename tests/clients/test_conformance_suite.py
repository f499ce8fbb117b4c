"""The published MCP conformance suite finds a server the same behind a gateway as without it.

The suite knows no tokens, so a proxy that adds one stands in front of the gateway.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.gateways import Guarded, gateway, serving
from tests.clients.node import HERE, PACKAGES, run_node
from tests.e2e.processes import free_port
from tests.e2e.tokens import ISSUER, Signer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

# The suite of the revisions up to 2025-11-25, and the one to come, for 2026-07-28.
SUITES = {
    "2025-11-25": ("conformance", []),
    "2026-07-28": ("conformance-next", ["--requirements", "2026-07-28"]),
}
ANYTHING = {"tools": {"*": "allow"}, "prompts": {"*": "allow"}, "resources": {"*": "allow"}}
# Rules make the gateway read every message; nginx cannot show them.
GATEWAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "envoy-mcp": ("envoy-mcp", {}),
    "envoy-body, with rules": ("envoy-body", ANYTHING),
    "nginx": ("nginx", {}),
}

# Scenario, number of the check in it, its name: its outcome.
Results = dict[tuple[str, int, str], str]

# The proxies take blanks off a header as HTTP says; the server alone compares them.
TRIMMED = {"sep-2243-server-accepts-whitespace-header-value": ("FAILURE", "SUCCESS")}
# A gateway that reads messages refuses these before the server does, with its own code -32010.
REFUSED_FIRST = {
    "sep-2243-server-reject-error-code": ("SUCCESS", "WARNING"),
    "tasks-headers-reject-mismatched-method": ("SUCCESS", "FAILURE"),
    "wire-schema-valid": ("SUCCESS", "FAILURE"),
    # Removed methods, asked for without the uri that a rule would judge.
    "sep-2575-http-server-method-not-found-404-resources-subscribe": ("SUCCESS", "FAILURE"),
    "sep-2575-http-server-method-not-found-404-resources-unsubscribe": ("SUCCESS", "FAILURE"),
}
DIFFERENT: dict[tuple[str, str], dict[str, tuple[str, str]]] = {
    ("2026-07-28", "envoy-mcp"): TRIMMED,
    ("2026-07-28", "envoy-body, with rules"): TRIMMED | REFUSED_FIRST,
    ("2026-07-28", "nginx"): TRIMMED,
}


def results(suite: str, port: int, folder: Path) -> Results:
    """Every check of ``suite`` at the server on ``port`` and its outcome."""
    package, options = SUITES[suite]
    program = PACKAGES / "@modelcontextprotocol" / package / "dist" / "index.js"
    url = f"http://localhost:{port}/calculator/mcp"
    run_node([program, "server", "--url", url, "--output-dir", folder, *options], (0, 1))
    found: Results = {}
    for file in folder.glob("*/checks.json"):
        scenario = file.parent.name.rsplit("-", 6)[0]  # the rest is the time
        for number, check in enumerate(json.loads(file.read_text())):
            found[scenario, number, check["id"]] = check["status"]
    return found


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    log = tmp_path_factory.mktemp("everything") / "server.log"
    with serving([HERE / "everything_server.py", "/calculator/mcp"], log) as port:
        yield port


@pytest.fixture(scope="module")
def alone(backend: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Results]:
    """The results without any gateway."""
    return {suite: results(suite, backend, tmp_path_factory.mktemp(suite)) for suite in SUITES}


@pytest.fixture(scope="module", params=GATEWAYS)
def behind(
    request: pytest.FixtureRequest, backend: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    """The name of a gateway in front of the server, and the port where a token is added."""
    edge_name, rules = GATEWAYS[request.param]
    folder, port, signer = tmp_path_factory.mktemp("gateway"), free_port(), Signer()
    signer.write_key_set(folder / "jwks.json")
    issuer = {"issuer": ISSUER, "jwks_file": str(folder / "jwks.json")}
    url = f"http://localhost:{port}/calculator/mcp"
    guarded = Guarded(backend, {"resource": url, **rules})
    token = folder / "token"
    token.write_text(signer.token(aud=url))
    with gateway(edge_name, guarded, issuer=issuer, folder=folder) as edge:
        injector: list[str | Path] = [HERE / "injector.py", token, str(edge.port)]
        with serving(injector, folder / "injector.log", port=port):
            yield request.param, port


@pytest.mark.parametrize(("suite", "least"), [("2025-11-25", 40), ("2026-07-28", 115)])
def test_the_server_alone_does_well(alone: dict[str, Results], suite: str, least: int) -> None:
    """To fail alike would prove little."""
    outcomes = list(alone[suite].values())
    assert outcomes.count("SUCCESS") >= least


@pytest.mark.parametrize(
    "suite", ["2025-11-25", pytest.param("2026-07-28", marks=pytest.mark.long)]
)
def test_behind_a_gateway_it_does_the_same(
    alone: dict[str, Results], behind: tuple[str, int], suite: str, tmp_path: Path
) -> None:
    name, port = behind
    expected, found = alone[suite], results(suite, port, tmp_path)
    assert sorted(found) == sorted(expected)
    differences = {
        check: (expected[key], outcome)
        for key, outcome in found.items()
        if outcome != expected[key]
        for check in [key[2]]
    }
    assert differences == DIFFERENT.get((suite, name), {})

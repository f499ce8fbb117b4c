"""The attack table through real Envoy and real nginx, in front of ``extauthz serve``.

An edge may refuse by itself, and may make one path of two spellings before it asks. What it
must not do is let through what the table refuses, or hand on an identity of the client's own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from extauthz.core.identity import folded
from extauthz.core.paths import canonical_path
from extauthz.demo.minting import SigningKey
from tests.attacks.conftest import Tally
from tests.attacks.http_requests import SPOOF
from tests.attacks.rows import ROWS
from tests.attacks.table import ALLOW, ANSWER, Case, Row, Stage
from tests.e2e import backend, scene
from tests.e2e.edges import Edge, Wiring
from tests.e2e.rawhttp import Response
from tests.policies import ISSUERS, SERVERS, other_signer
from tests.tallies import at_length
from tests.tokens import jwks, signer

pytestmark = pytest.mark.e2e

# Row 105 is about forwarded claims, which the shipped files of the proxies have none of.
HTTP_ROWS = tuple(row for row in ROWS.values() if 97 <= row.number <= 113 and row.number != 105)
BODY_ROWS = tuple(row for row in ROWS.values() if row.number >= 117)
TOKEN_ROWS = tuple(row for row in ROWS.values() if row.number < 97)
STAGE = Stage(float(int(time.time())))
ALGORITHMS = ("ES256", "ES384", "ES512", "RS256", "EdDSA")


@dataclass
class Attempt:
    """What the client got, and what reached a server."""

    response: Response
    reached: list[backend.Received]


@dataclass
class Town:
    """The servers, extauthz, and the edges, which start when first asked for."""

    backends: dict[str, backend.Backend]
    wiring: Any
    folder: Path
    stack: ExitStack
    edges: dict[str, Edge]

    def edge(self, name: str) -> Edge:
        if name not in self.edges:
            starting = scene.start(name, self.wiring, self.folder / name)
            self.edges[name] = self.stack.enter_context(starting)
        return self.edges[name]

    def send(self, edge: str, case: Case) -> Attempt:
        sent = case.sent
        for one in self.backends.values():
            one.received.clear()
        response = self.edge(edge).send(
            sent.method,
            sent.target.encode(),
            [("Accept", "application/json"), *sent.lines()],
            sent.body or b"",
            host=sent.host,
        )
        return Attempt(response, [hit for one in self.backends.values() for hit in one.received])


def config(folder: Path) -> dict[str, Any]:
    """The inventory of the table, with keys from files and without names of a server's own."""
    published: dict[str, list[SigningKey]] = {
        "corp": [signer(algorithm) for algorithm in ALGORITHMS],
        "other": [signer("ES256", "es256-other"), other_signer()],
        "entra": [signer("ES256", "entra")],
    }
    issuers = []
    for issuer in ISSUERS:
        file = folder / f"{issuer['name']}.json"
        file.write_text(json.dumps(jwks(*published[issuer["name"]])))
        issuers.append(issuer | {"jwks_file": str(file)})
    servers = [
        {name: value for name, value in server.items() if name != "forward"}
        for server in SERVERS
        if server["name"] != "audited"
    ]
    return {"issuers": issuers, "servers": servers, "log": {"level": "warning"}}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    with ExitStack() as stack:
        backends = stack.enter_context(backend.running("calculator", "notes"))
        service = stack.enter_context(scene.extauthz(config(folder), folder / "extauthz"))
        ports = {name: one.port for name, one in backends.items()}
        wiring = Wiring(**ports, grpc=service.grpc, http=service.http)
        yield Town(backends, wiring, folder, stack, {})


@pytest.mark.parametrize("edge", ["envoy-bare", "nginx"])
@pytest.mark.parametrize("row", HTTP_ROWS, ids=lambda row: f"{row.number} {row.name}")
def test_requests(town: Town, row: Row, edge: str, tally: Tally) -> None:
    check(town, row, edge, tally, row.cases(STAGE))


@pytest.mark.parametrize("row", BODY_ROWS, ids=lambda row: f"{row.number} {row.name}")
def test_bodies_that_envoy_shows(town: Town, row: Row, tally: Tally) -> None:
    check(town, row, "envoy-body", tally, row.cases(STAGE))


@pytest.mark.parametrize("edge", ["envoy", "nginx"])
def test_a_token_of_each_row(town: Town, edge: str, tally: Tally) -> None:
    """One of each, as they arrive alike; at length all of them."""
    for row in TOKEN_ROWS:
        cases = [case for case in row.cases(STAGE) if sendable(case)]
        refused = [case for case in cases if ALLOW not in case.expected]
        check(town, row, edge, tally, cases if at_length() else refused[:1])


def check(town: Town, row: Row, edge: str, tally: Tally, cases: list[Case]) -> None:
    wrong = []
    for case in filter(sendable, cases):
        attempt = town.send(edge, case)
        expected = case.at.get(f"real {edge}", case.expected)
        fault = verdict(case, expected, attempt)
        tally(row.number, f"real {edge}", ALLOW in expected, [fault] if fault else [])
        if fault:
            wrong.append(f"{case.label}: {fault}, status {attempt.response.status}")
    assert not wrong, "\n".join(wrong[:20])


def sendable(case: Case) -> bool:
    """Whether a client could send it at all, in the world that is running."""
    sent = case.sent
    if case.config is not None or case.keys or sent.truncated or sent.mcp or sent.server:
        return False
    if "/audited" in sent.target:
        return False
    lines = [sent.target.encode(), sent.host.encode(), *(value for _, value in sent.lines())]
    return not any(byte in line for line in lines for byte in (b"\r", b"\n"))


def verdict(case: Case, expected: frozenset[str], attempt: Attempt) -> str | None:
    """What is wrong about an attempt, if anything is."""
    status, reached = attempt.response.status, attempt.reached
    # Envoy tells a gRPC client of a refusal in a header; nginx knows no answer of ours to a
    # question that it could not have asked in HTTP, and says 503.
    refused = 400 <= status < 500 or status == 503 or attempt.response.get("grpc-status")
    if len(reached) > 1:
        return "it arrives twice"
    for received in reached:
        fault = smuggled(received)
        if fault:
            return fault
    if ALLOW in expected:
        return None if reached or refused else "neither allowed nor refused"
    if not reached:
        answered = ANSWER in expected and status in (200, 204, 307, 404)
        return None if answered or refused else "an odd status"
    path = reached[0].request_line.split(" ")[1].partition("?")[0]
    if path != case.sent.target.partition("?")[0] and canonical_path(path) == path:
        # The edge made one path of it and asked about that one.
        public = path.startswith("/notes/public/") or path == "/notes/health"
        return None if public or case.sent.token else "a path without a token arrives"
    return "it arrives"


def smuggled(received: backend.Received) -> str | None:
    for name, value in received.headers:
        if folded(name).startswith("x-auth-") and SPOOF in value:
            return f"{name} arrives"
        if name.lower() == "authorization":
            return "the token arrives"
    return None

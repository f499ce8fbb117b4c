"""From a refusal to whoever was refused: by the request id to the proxy's line, and its address."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest

from tests.e2e.edges import Edge
from tests.e2e.rawhttp import HeaderLines
from tests.e2e.scene import Attempt, Scene, attempt
from tests.e2e.test_access_logs import DEADLINE, UNREAD, lines_about
from tests.generate.conftest import running
from tests.generate.edges import NEW_CADDY

pytestmark = pytest.mark.e2e

SHIPPED = ["envoy", "envoy-mcp", "envoy-http", "nginx"]
WRITTEN = ["caddy", NEW_CADDY, "haproxy", "traefik", "envoy-gateway"]
FORGED = "a-client-says-so"
# How a proxy's line tells the id and the client; by the name of its log, as two are called caddy.
ID = {NEW_CADDY: "uuid"}
ADDRESS = {"caddy": ("request", "remote_ip"), NEW_CADDY: ("request", "remote_ip")}
# In whose lines there is no id.
NAMELESS = (*UNREAD, "caddy")


@pytest.fixture(params=[*SHIPPED, *WRITTEN])
def edge(request: pytest.FixtureRequest, scene: Scene) -> Edge:
    name = request.param
    return scene.edge(name) if name in SHIPPED else running(name, scene)


def sent(scene: Scene, edge: Edge, mark: str, **asked: Any) -> Attempt:
    headers: HeaderLines = [("X-Request-Id", FORGED)]
    return attempt(scene, edge, target=f"/notes/{mark}", headers=headers, **asked)


def told(scene: Scene, mark: str) -> dict[str, Any]:
    """The decision line about that path."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        for line in scene.service.log.read_text().splitlines():
            if mark in line:
                found: dict[str, Any] = json.loads(line)
                return found
        time.sleep(0.05)
    raise AssertionError(f"no decision line about {mark} in {DEADLINE} s")


def test_the_id_of_a_decision_is_the_proxys_and_in_its_log(scene: Scene, edge: Edge) -> None:
    mark = uuid.uuid4().hex
    assert sent(scene, edge, mark).response.status == 401
    decided = told(scene, mark)
    if edge.name == "traefik":
        assert "request_id" not in decided
        return
    assert decided["request_id"] not in ("", FORGED)
    if edge.log.stem not in NAMELESS:
        (line,) = map(json.loads, lines_about(edge, mark, 1))
        assert line[ID.get(edge.log.stem, "request_id")] == decided["request_id"]


def test_the_server_gets_the_id_that_is_in_the_log(scene: Scene, edge: Edge) -> None:
    mark = uuid.uuid4().hex
    ((_, received),) = sent(scene, edge, mark, token=scene.token()).reached
    ids = [value for name, value in received.headers if name.lower() == "x-request-id"]
    assert FORGED not in ids
    if edge.log.stem not in NAMELESS:
        (line,) = map(json.loads, lines_about(edge, mark, 1))
        assert ids == [line[ID.get(edge.log.stem, "request_id")]]


@pytest.mark.parametrize(
    "edge", [one for one in (*SHIPPED, *WRITTEN) if one not in UNREAD], indirect=True
)
def test_the_proxys_line_has_the_clients_address(scene: Scene, edge: Edge) -> None:
    mark = uuid.uuid4().hex
    sent(scene, edge, mark)
    (line,) = map(json.loads, lines_about(edge, mark, 1))
    for key in ADDRESS.get(edge.log.stem, ("address",)):
        line = line[key]
    assert line == "127.0.0.1"

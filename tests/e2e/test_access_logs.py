"""The proxies' access logs tell who called what, and no secret."""

from __future__ import annotations

import json
import time

import pytest

from tests.e2e.edges import Edge
from tests.e2e.scene import Scene, attempt

pytestmark = pytest.mark.e2e

DEADLINE = 10.0


def lines_about(edge: Edge, path: str) -> list[str]:
    """The lines of the access log that name ``path``; Envoy writes them with a delay."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        text = edge.log.read_text(errors="replace")
        found = [line for line in text.splitlines() if line.startswith("{") and path in line]
        if len(found) >= 2:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{edge.name} did not log two requests for {path} in {DEADLINE} s")


@pytest.mark.requirement("M20", "R43")
def test_a_line_tells_server_and_subject_and_never_a_token(scene: Scene, edge: Edge) -> None:
    path = f"/notes/logged-{edge.name}"
    token = scene.token()
    attempt(scene, edge, target=f"{path}?access_token={token}")
    attempt(scene, edge, target=f"{path}?q=1", token=token)
    refused, allowed = (json.loads(line) for line in lines_about(edge, path))
    assert (refused["status"], allowed["status"]) == (401, 200)
    assert (allowed["server"], allowed["subject"]) == ("notes", "alice")
    assert allowed["client_id"] == "inspector"
    assert refused["path"] == allowed["path"] == path
    text = edge.log.read_text(errors="replace")
    assert token not in text
    assert token.rpartition(".")[2] not in text

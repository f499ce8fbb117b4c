"""The proxies' access logs tell who called what, and no secret."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.e2e.conftest import DOWN_ISSUER
from tests.e2e.edges import Edge
from tests.e2e.scene import Scene, attempt

pytestmark = pytest.mark.e2e

DEADLINE = 10.0
# Of a refusal these log no more than the status.
REASONLESS = ("envoy-http", "caddy")
# In whose lines requests are not found again: no paths, or a format that is not ours to choose.
UNREAD = ("traefik", "envoy-gateway")


def lines_about(edge: Edge, path: str, count: int = 2) -> list[str]:
    """The lines of the access log that name ``path``; Envoy writes them with a delay."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        text = edge.log.read_text(errors="replace")
        found = [line for line in text.splitlines() if line.startswith("{") and path in line]
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{edge.name} did not log {count} requests for {path} in {DEADLINE} s")


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


@pytest.mark.requirement("M20", "R43")
def test_a_line_tells_why_a_request_was_refused(scene: Scene, edge: Edge) -> None:
    """Whatever its status and the form of its body; and nothing of the kind where it passed."""
    if edge.name in UNREAD:
        pytest.skip("its log has no paths, or a format that is not ours to choose")
    mark = f"why-{edge.name}-"
    sent: dict[str, dict[str, Any]] = {
        "missing_token": {},
        "token_expired": {"token": scene.token(lifetime=-60)},
        "insufficient_scope": {"token": scene.token(scope="calculator")},
        "bad_origin": {"token": scene.token(), "headers": [("Origin", "https://evil.example")]},
        "keys_unavailable": {"token": scene.token(iss=DOWN_ISSUER)},
        "malformed_request": {"headers": [("Authorization", "Bearer a, Bearer b")]},
        "passed": {"token": scene.token()},
    }
    for name, request in sent.items():
        attempt(scene, edge, target=f"/notes/{mark}{name}", **request)
    lines = [json.loads(line) for line in lines_about(edge, mark, len(sent))]
    if edge.name in REASONLESS:
        assert not any("reason" in line for line in lines)
        return
    found = {str(line["path"]).partition(mark)[2]: line["reason"] for line in lines}
    assert found.pop("passed") in ("", "-", None)
    assert found == {name: name for name in sent if name != "passed"}

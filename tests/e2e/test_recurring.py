"""Questions that come again through real proxies: answered from memory, as long as they may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extauthz.authorizer import Authorizer
from extauthz.core.keyset import parse_key_set
from tests.adapters.doors import open_doors
from tests.e2e.backend import Backend
from tests.e2e.edges import Edge, Wiring
from tests.e2e.scene import MCP_HEADERS, PING, Scene, start
from tests.policies import policy_with
from tests.tokens import jwks, mint, signer

pytestmark = pytest.mark.e2e


def ask(edge: Edge, token: str, body: bytes = PING, **extra: str) -> int:
    lines = [*MCP_HEADERS, ("Authorization", f"Bearer {token}"), *extra.items()]
    return edge.send("POST", "/notes/mcp", lines, body).status


def last_reached(backend: Backend) -> dict[str, str]:
    return {name.lower(): value for name, value in backend.received[-1].headers}


@pytest.mark.parametrize("name", ["envoy", "envoy-http", "nginx"])
def test_a_proxy_that_asks_again_is_answered_from_memory(
    scene: Scene, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = 0
    check_now = Authorizer.check_now

    def counted(self: Authorizer, *given: Any) -> Any:
        nonlocal judged
        judged += 1
        return check_now(self, *given)

    monkeypatch.setattr(Authorizer, "check_now", counted)
    backend = scene.backends["notes"]
    with open_doors(policy_with("notes", forward={})) as doors:
        wiring = Wiring(scene.backends["calculator"].port, backend.port,
                        doors.grpc_port, doors.http_port)  # fmt: skip
        with start(name, wiring, tmp_path / name) as edge:
            tokens = {subject: mint({"sub": subject}) for subject in ("alice", "bob")}
            for token in tokens.values():
                # Envoy gives each request an id, and the lengths of their bodies differ.
                assert {ask(edge, token, PING + b" " * more) for more in range(6)} == {200}
            before = judged
            for subject, token in tokens.items():
                assert ask(edge, token) == 200
                assert last_reached(backend)["x-auth-subject"] == subject
            assert judged == before
            told = [request for request, _, _ in doors.observer.told[-2:]]
            if name == "envoy":
                assert len({request.headers["x-request-id"] for request in told if request}) == 2
            ask(edge, tokens["bob"], x_auth_subject="alice")
            assert "alice" not in last_reached(backend).values()
            assert ask(edge, "x") == 401
            doors.keys.sets = doors.keys.sets | {"corp": parse_key_set(jwks(signer("RS256")))}
            assert ask(edge, tokens["alice"]) == 401

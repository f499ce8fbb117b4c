"""Where TLS ends at the edge, a server hears from it, and not from the client, how it was asked."""

from __future__ import annotations

import ssl
import uuid
from pathlib import Path

import httpx
import pytest
import trustme

from tests.e2e.conftest import config
from tests.e2e.scene import MCP_HEADERS, PING, Scene
from tests.generate.edges import NEW_CADDY, generated

pytestmark = pytest.mark.e2e

HOST = "mcp.example.com"
SPOOFS = [
    ("X-Forwarded-For", "203.0.113.66"),
    ("X-Forwarded-Host", "spoof.example"),
    ("X-Forwarded-Proto", "http"),
]


@pytest.mark.parametrize("name", ["nginx", "caddy", NEW_CADDY, "haproxy"])
def test_how_a_request_came_is_not_the_clients_word(
    scene: Scene, name: str, tmp_path: Path
) -> None:
    """By these uvicorn knows the client's address, and its scheme when it redirects."""
    ca, pair = trustme.CA(), tmp_path / "pair.pem"
    ca.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(pair)
    tls = {"tls": {"cert_file": str(pair), "key_file": str(pair)}}
    trusting = ssl.create_default_context()
    ca.configure_trust(trusting)
    mark = uuid.uuid4().hex
    headers = [*MCP_HEADERS, *SPOOFS, ("Host", HOST), ("X-Mark", mark)]
    headers.append(("Authorization", f"Bearer {scene.token()}"))
    whole = {**config(scene.folder), "edge": tls}
    with (
        generated(name, whole, scene.wiring(), tmp_path / name) as edge,
        httpx.Client(verify=trusting) as client,
    ):
        answer = client.post(
            f"https://127.0.0.1:{edge.port}/notes/mcp",
            headers=headers,
            content=PING,
            extensions={"sni_hostname": HOST},
        )
    assert answer.status_code == 200
    ((_, received),) = scene.reached(mark)
    told = sorted((key.lower(), value) for key, value in received.headers)
    assert [pair for pair in told if pair[0].title() in dict(SPOOFS)] == [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", HOST),
        ("x-forwarded-proto", "https"),
    ]

"""A session of the MCP SDK is of use to nobody but the user who opened it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import MCPServer

from extauthz.backend import IdentityMiddleware, identity_headers
from extauthz.demo.serving import LoopbackServer, free_port

PROTOCOL = "2025-11-25"
MCP = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": PROTOCOL,
}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": PROTOCOL,
        "capabilities": {},
        "clientInfo": {"name": "c", "version": "1"},
    },
}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}

OTHERS: dict[str, dict[str, Any]] = {
    "another user of the same client": {"subject": "bob"},
    "the same subject of another issuer": {"issuer": "https://other.test"},
    "the same user by another client": {"client_id": "other"},
    "the client for itself": {"subject": None},
    "nobody, on a public path": {"issuer": None},
}


def _of(**who: Any) -> dict[str, str]:
    return identity_headers(server="notes", **{"subject": "alice", "client_id": "app", **who})


def _server() -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("notes", log_level="WARNING")

    @server.tool()
    def told() -> dict[str, Any]:
        token = get_access_token()
        return {} if token is None else token.model_dump()

    return server


@pytest.fixture(name="http", scope="module")
def _http() -> Iterator[httpx.Client]:
    app = _server().streamable_http_app(streamable_http_path="/notes/mcp", json_response=True)
    port = free_port()
    guarded = IdentityMiddleware(app, server="notes", public=True)
    running = LoopbackServer(guarded, port, lifespan="on")
    running.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=MCP, timeout=10) as http:
            yield http
    finally:
        running.stop()


def _opened(http: httpx.Client, who: dict[str, str]) -> dict[str, str]:
    """The header of a session that ``who`` has opened."""
    answer = http.post("/notes/mcp", json=INITIALIZE, headers=who)
    assert answer.status_code == 200
    return {"Mcp-Session-Id": answer.headers["mcp-session-id"]}


def _status(http: httpx.Client, method: str, headers: dict[str, str]) -> int:
    """The status of a request in a session; a GET's stream is left at once."""
    body = LIST if method == "POST" else None
    with http.stream(method, "/notes/mcp", json=body, headers=headers) as answer:
        return answer.status_code


@pytest.mark.requirement("M25")
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_session_is_nobodys_but_its_users(
    http: httpx.Client, other: dict[str, Any], method: str
) -> None:
    alice, stranger = _of(), _of(**other)
    session = _opened(http, alice)
    assert _status(http, method, session | stranger) == 404
    assert _status(http, "POST", session | alice) == 200
    assert _status(http, method, session | alice) == 200


def test_a_session_outlives_the_token_that_opened_it(http: httpx.Client) -> None:
    session = _opened(http, _of(issued_at=1, expires_at=2, token_id="one", scopes=["a"]))
    renewed = _of(issued_at=3, expires_at=4, token_id="two", scopes=["a", "b"])
    assert _status(http, "POST", session | renewed) == 200


def test_where_a_token_names_neither_user_nor_client_its_session_ends_with_it(
    http: httpx.Client,
) -> None:
    nameless = {"subject": None, "client_id": None}
    session = _opened(http, _of(**nameless, token_id="one"))
    assert _status(http, "POST", session | _of(**nameless, token_id="one")) == 200
    assert _status(http, "POST", session | _of(**nameless, token_id="two")) == 404


def test_a_session_opened_on_a_public_path_is_no_users(http: httpx.Client) -> None:
    session = _opened(http, _of(issuer=None))
    assert _status(http, "POST", session | _of(issuer=None)) == 200
    assert _status(http, "POST", session | _of()) == 404


async def _told(http: httpx.Client, who: dict[str, str]) -> dict[str, Any]:
    """The access token that a tool finds in the SDK, by the newest protocol, without a session."""
    async with (
        httpx2.AsyncClient(headers=who) as asking,
        Client(streamable_http_client(f"{http.base_url}/notes/mcp", http_client=asking)) as client,
    ):
        told = (await client.call_tool("told", {})).structured_content
    assert isinstance(told, dict)
    return told


@pytest.mark.requirement("M25")
async def test_the_sdk_tells_users_apart_where_it_binds_state_to_them(http: httpx.Client) -> None:
    alice = await _told(http, _of(scopes=["b", "a"], expires_at=4_000_000_000))
    assert (alice["client_id"], alice["subject"]) == ("app", "alice")
    assert alice["claims"] == {"iss": "https://issuer.test", "sub": "alice"}
    assert (alice["scopes"], alice["expires_at"]) == (["a", "b"], 4_000_000_000)
    assert await _told(http, _of(issuer=None)) == {}


async def test_what_stands_for_the_token_differs_wherever_the_identity_does(
    http: httpx.Client,
) -> None:
    callers = [_of(**who) for who in OTHERS.values() if who != {"issuer": None}]
    callers += [_of(), _of(scopes=["a"]), _of(token_id="1"), _of(expires_at=4_000_000_000)]
    texts = {(await _told(http, who))["token"] for who in callers}
    assert len(texts) == len(callers)
    assert (await _told(http, _of()))["token"] in texts

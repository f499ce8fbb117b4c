"""The demo's MCP servers, asked directly by the SDK's own client, in both eras."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from extauthz.demo.mcp_servers import SERVERS, application
from extauthz.demo.serving import LoopbackServer, free_port

IDENTITY = {"x-auth-subject": "alice", "x-auth-scopes": "a b", "Authorization": "Bearer x"}


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """The SDK sets up the root logger when a server is made."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def urls() -> Iterator[dict[str, str]]:
    ports = {name: free_port() for name in SERVERS}
    servers = [LoopbackServer(application(n), p, lifespan="on") for n, p in ports.items()]
    for server in servers:
        server.start()
    yield {name: f"http://127.0.0.1:{port}/{name}/mcp" for name, port in ports.items()}
    for server in servers:
        server.stop()


@asynccontextmanager
async def connected(url: str, mode: str = "auto", subject: str = "alice") -> AsyncIterator[Client]:
    headers = {**IDENTITY, "x-auth-subject": subject}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_calculator_calculates_and_reports_the_headers_that_arrived(
    urls: dict[str, str], mode: str
) -> None:
    async with connected(urls["calculator"], mode) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        total = await client.call_tool("add", {"a": 2, "b": 3})
        difference = await client.call_tool("subtract", {"a": 2, "b": 3})
        me = await client.call_tool("get_me", {})
    assert tools == ["add", "subtract", "get_me"]
    assert total.structured_content == {"result": 5}
    assert difference.structured_content == {"result": -1}
    assert me.structured_content == {
        "identity": {"x-auth-subject": "alice", "x-auth-scopes": "a b"},
        "authorization_arrived": True,
    }


async def test_notes_belong_to_the_subject_that_the_edge_named(urls: dict[str, str]) -> None:
    async with connected(urls["notes"]) as alice, connected(urls["notes"], subject="bob") as bob:
        added = await alice.call_tool("add_note", {"text": "milk"})
        hers, his = await alice.call_tool("list_notes", {}), await bob.call_tool("list_notes", {})
        await bob.call_tool("danger_delete_everything", {})
        left = await alice.call_tool("list_notes", {})
    assert added.structured_content == {"result": 1}
    assert hers.structured_content == {"result": ["milk"]}
    assert his.structured_content == left.structured_content == {"result": []}


def test_only_loopback_hosts_are_answered(urls: dict[str, str]) -> None:
    """DNS rebinding: a page of another site cannot talk to the server by its own name."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"Accept": "application/json, text/event-stream"}
    for host, status in [("127.0.0.1:10000", 200), ("localhost:1", 200), ("evil.example", 421)]:
        answer = httpx.post(urls["notes"], json=message, headers={**accept, "Host": host})
        assert answer.status_code == status

"""The guide's MCP server, with the SDK's own client."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from extauthz.backend import identity_headers
from extauthz.demo.serving import LoopbackServer, free_port

GUIDE = Path(__file__).parents[2] / "docs/guides/backend.md"
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)


@pytest.fixture(name="url", scope="module")
def _url() -> Iterator[str]:
    file = next(block for block in BLOCKS if "MCPServer(" in block)
    names: dict[str, Any] = {"__name__": "notes_server"}
    exec(compile(file, "notes_server.py", "exec"), names)  # noqa: S102 - our own page
    app = names["app"]
    port = free_port()
    running = LoopbackServer(app, port, lifespan="on")
    running.start()
    try:
        yield f"http://127.0.0.1:{port}/notes/mcp"
    finally:
        running.stop()


async def _whoami(url: str, headers: dict[str, str]) -> str:
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        (said,) = (await client.call_tool("whoami", {})).content
        assert isinstance(said, TextContent)
        return said.text


async def test_a_tool_knows_its_caller(url: str) -> None:
    headers = identity_headers(server="notes", subject="Zoë")
    assert await _whoami(url, headers) == "Zoë"
    assert await _whoami(url, identity_headers(server="notes", subject=None)) == "a program"


async def test_around_the_gateway_there_is_no_server(url: str) -> None:
    async with httpx2.AsyncClient() as http:
        answer = await http.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [("mcp.example.com", 200), ("mcp.example.com:443", 421), ("other.example.com", 421)],
)
async def test_the_sdk_answers_the_hosts_that_the_guide_allows(
    url: str, host: str, status: int
) -> None:
    headers = {
        **identity_headers(server="notes"),
        "host": host,
        "accept": "application/json, text/event-stream",
    }
    asked = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "c", "version": "1"},
        },
    }
    async with httpx2.AsyncClient() as http:
        answer = await http.post(url, json=asked, headers=headers)
    assert answer.status_code == status

"""The guide's MCP server, with the SDK's own client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import TextContent

from extauthz.backend import IdentityMiddleware, identity_headers
from extauthz.backend.starlette import tool_user
from extauthz.demo.serving import LoopbackServer, free_port


@pytest.fixture(name="url", scope="module")
def _url() -> Iterator[str]:
    server: MCPServer[Any] = MCPServer("notes", log_level="WARNING")

    @server.tool()
    def whoami(ctx: Context[Any, Any]) -> str:
        return tool_user(ctx).subject or "a program"

    app = IdentityMiddleware(server.streamable_http_app(), server="notes")
    port = free_port()
    running = LoopbackServer(app, port, lifespan="on")
    running.start()
    try:
        yield f"http://127.0.0.1:{port}/mcp"
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

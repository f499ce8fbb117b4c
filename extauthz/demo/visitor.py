"""One visit of an MCP client to an MCP server behind the edge, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

AUTO = "auto"
"""The newest revision of MCP that both sides know: what the SDK does unless told otherwise."""

LEGACY = "legacy"
"""The handshake of revision 2025-11-25 and before."""


class BearerAuth(httpx2.Auth):
    """Sends one token in the Authorization header of every request (RFC 6750 section 2.1)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer that is no success: its status, reason and challenge."""

    status: int
    reason: str
    challenge: str


@dataclass(frozen=True, slots=True)
class Failure:
    """No HTTP refusal, and no result either; ``text`` says what the SDK made of it."""

    text: str


async def visit(
    url: str,
    action: Callable[[Client], Awaitable[Any]],
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    mode: str = AUTO,
) -> Any:
    """Connect to ``url`` with the MCP SDK, run ``action`` and give its result.

    When a request was refused and that made it fail, the first `Refusal` instead; when it
    failed otherwise, a `Failure`.
    """
    refusals: list[Refusal] = []
    outcome: Any = None

    async def note(response: httpx2.Response) -> None:
        if response.status_code >= 400:
            body = await response.aread()
            challenge = ", ".join(response.headers.get_list("www-authenticate"))
            refusals.append(Refusal(response.status_code, _reason(body), challenge))

    client = httpx2.AsyncClient(
        auth=BearerAuth(token) if token else None,
        headers=dict(headers or {}),
        event_hooks={"response": [note]},
        trust_env=False,
        timeout=10,
    )
    try:
        async with (
            client,
            Client(streamable_http_client(url, http_client=client), mode=mode, cache=None) as mcp,
        ):
            outcome = await action(mcp)
    except* (MCPError, httpx2.HTTPError, TimeoutError) as group:
        outcome = refusals[0] if refusals else Failure(_first_of(group))
    return outcome


async def tool_names(mcp: Client) -> list[str]:
    """The names of the server's tools."""
    return [tool.name for tool in (await mcp.list_tools()).tools]


def calling(tool: str, **arguments: object) -> Callable[[Client], Awaitable[Any]]:
    """An action that calls ``tool`` and gives its structured result."""

    async def call(mcp: Client) -> Any:
        content = (await mcp.call_tool(tool, arguments)).structured_content
        return content["result"] if content and content.keys() == {"result"} else content

    return call


def _first_of(group: BaseExceptionGroup[Exception]) -> str:
    """The first single exception in ``group``, in words."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _reason(body: bytes) -> str:
    """The refusal's ``reason``, in a plain body or in the data of a JSON-RPC error."""
    try:
        content = json.loads(body)
        if isinstance(content.get("error"), dict):
            content = content["error"]["data"]
        return str(content["reason"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "?"

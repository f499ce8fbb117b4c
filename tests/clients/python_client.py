"""The Python SDK's OAuth client on the journey of ``journey.py``."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client, MCPError
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from pydantic import AnyUrl

from tests.clients.journey import Exchange, Journey

CALLBACK = "http://127.0.0.1:7/callback"  # nobody listens: the browser stops there


class InMemory:
    """The SDK's TokenStorage."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Browser:
    """A browser whose user logs in and agrees."""

    def __init__(self) -> None:
        self.authorizations = 0
        self._callback = ""

    async def open(self, url: str) -> None:
        self.authorizations += 1
        async with httpx2.AsyncClient(trust_env=False) as client:
            while not url.startswith(CALLBACK):
                page = await client.get(url, follow_redirects=False)
                assert page.next_request is not None, page.text
                url = str(page.next_request.url)
        self._callback = url

    async def callback(self) -> AuthorizationCodeResult:
        query = parse_qs(urlsplit(self._callback).query)
        return AuthorizationCodeResult(**{name: values[0] for name, values in query.items()})


async def travel(url: str, mode: str) -> Journey:
    """The journey to the MCP server at ``url``; ``mode`` is the SDK's: auto or legacy."""
    journey, browser, storage = Journey(), Browser(), InMemory()

    async def record(response: httpx2.Response) -> None:
        request, challenge = response.request, response.headers.get("www-authenticate")
        version = request.headers.get("mcp-protocol-version")
        url, status = str(request.url), response.status_code
        journey.traffic.append(Exchange(request.method, url, status, challenge, version))

    metadata = OAuthClientMetadata(
        client_name="extauthz tests",
        redirect_uris=[AnyUrl(CALLBACK)],
        grant_types=["authorization_code", "refresh_token"],
        token_endpoint_auth_method="none",
    )
    login = OAuthClientProvider(url, metadata, storage, browser.open, browser.callback)
    http = httpx2.AsyncClient(
        auth=login, event_hooks={"response": [record]}, trust_env=False, timeout=10
    )
    try:
        async with http, Client(streamable_http_client(url, http_client=http), mode=mode) as mcp:
            journey.tools = [tool.name for tool in (await mcp.list_tools()).tools]
            journey.me = (await mcp.call_tool("get_me", {})).structured_content or {}
            journey.logins = browser.authorizations
            journey.sum = (await mcp.call_tool("add", {"a": 2, "b": 3})).structured_content
    except* MCPError as errors:
        journey.error = _words(errors)
    journey.authorizations = browser.authorizations
    journey.token = storage.tokens.access_token if storage.tokens else None
    return journey


def _words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(_words, error.exceptions))
    return str(error)

"""Two MCP servers without a line of auth code, over streamable HTTP.

What they know about a caller is what extauthz put into the identity headers; what must
not happen never reaches them. As a program:

    python -m extauthz.demo.mcp_servers calculator --port 8001

Needs the extra ``demo``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette

from .serving import LOOPBACK

_IDENTITY = "x-auth-"


def calculator() -> MCPServer[Any]:
    """Adds and subtracts, and tells callers who they are."""
    server: MCPServer[Any] = MCPServer("calculator", log_level="WARNING")

    @server.tool()
    def add(a: float, b: float) -> float:
        """Give a + b."""
        return a + b

    @server.tool()
    def subtract(a: float, b: float) -> float:
        """Give a - b."""
        return a - b

    @server.tool()
    def get_me(ctx: Context[Any, Any]) -> dict[str, Any]:
        """Report the identity headers that arrived, and whether a token came with them."""
        headers = _headers(ctx)
        return {
            "identity": {k: v for k, v in headers.items() if k.startswith(_IDENTITY)},
            "authorization_arrived": "authorization" in headers,
        }

    return server


def notes() -> MCPServer[Any]:
    """Keeps notes, in memory, for whoever ``x-auth-subject`` names."""
    server: MCPServer[Any] = MCPServer("notes", log_level="WARNING")
    kept: dict[str, list[str]] = {}

    def mine(ctx: Context[Any, Any]) -> list[str]:
        return kept.setdefault(_headers(ctx).get("x-auth-subject", ""), [])

    @server.tool()
    def list_notes(ctx: Context[Any, Any]) -> list[str]:
        """Your notes."""
        return mine(ctx)

    @server.tool()
    def add_note(text: str, ctx: Context[Any, Any]) -> int:
        """Keep a note; the answer is how many you have now."""
        mine(ctx).append(text)
        return len(mine(ctx))

    @server.tool()
    def danger_delete_everything() -> str:
        """Delete the notes of everybody. The demo's rules let nobody call this."""
        kept.clear()
        return "everything is gone"

    return server


SERVERS: dict[str, Callable[[], MCPServer[Any]]] = {"calculator": calculator, "notes": notes}
"""Each server by its name, which is also the first segment of its path."""


def application(name: str) -> Starlette:
    """The ASGI application of the server ``name``, at ``/{name}/mcp``.

    Host and Origin are checked (DNS rebinding), and any port of the loopback host is
    accepted in them, since Envoy passes on the Host that its clients asked for.
    """
    security = TransportSecuritySettings(
        allowed_hosts=[f"{LOOPBACK}:*", "localhost:*"],
        allowed_origins=[f"http://{LOOPBACK}:*", "http://localhost:*"],
    )
    return SERVERS[name]().streamable_http_app(
        streamable_http_path=f"/{name}/mcp",
        json_response=True,
        stateless_http=True,
        transport_security=security,
    )


def _headers(ctx: Context[Any, Any]) -> dict[str, str]:
    request = ctx.request_context.request
    return {} if request is None else dict(request.headers)


def main() -> None:
    """Serve one of the two until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m extauthz.demo.mcp_servers", description="An MCP server for trying things."
    )
    parser.add_argument("name", choices=sorted(SERVERS))
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    app = application(arguments.name)
    uvicorn.run(app, host=LOOPBACK, port=arguments.port, log_level="info", ws="none")


if __name__ == "__main__":
    main()

"""An MCP server with a safe tool and a dangerous one, which writes down each call that ran.

There are a safe resource and a dangerous one, too.

    python two_tools_server.py PATH LOG PORT

It runs with mcp 2.3, which compares ``Mcp-*`` headers of revision 2026-07-28 with the message,
and with mcp 1.9.4, which knows no such headers.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import uvicorn


def add_tools(server: Any, log: Path) -> None:
    def ran(tool: str, mark: str) -> str:
        with log.open("a") as lines:
            lines.write(f"{tool} {mark}\n")
        return tool

    @server.tool()  # type: ignore[untyped-decorator]
    def safe(mark: str = "") -> str:
        return ran("safe", mark)

    @server.tool()  # type: ignore[untyped-decorator]
    def danger_zone(mark: str = "") -> str:
        return ran("danger_zone", mark)

    @server.resource("file:///safe/x")  # type: ignore[untyped-decorator]
    def safe_resource() -> str:
        return "read safe"

    @server.resource("file:///danger_zone/x")  # type: ignore[untyped-decorator]
    def dangerous_resource() -> str:
        return "read danger_zone"


def application(path: str, log: Path) -> Any:
    if importlib.util.find_spec("mcp.server.mcpserver") is None:
        old = importlib.import_module("mcp.server.fastmcp").FastMCP(
            "two tools", stateless_http=True, json_response=True
        )
        old.settings.streamable_http_path = path
        add_tools(old, log)
        return old.streamable_http_app()
    new = importlib.import_module("mcp.server.mcpserver").MCPServer("two tools")
    add_tools(new, log)
    return new.streamable_http_app(
        streamable_http_path=path, json_response=True, stateless_http=True
    )


if __name__ == "__main__":
    served_path, log_file, port = sys.argv[1:]
    app = application(served_path, Path(log_file))
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", ws="none")

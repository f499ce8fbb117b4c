"""The two configurations that an endurance run switches between."""

from __future__ import annotations

from typing import Any, Literal

Version = Literal["A", "B"]

HOST = "mcp.example.com"
NOTES = f"https://{HOST}/notes/mcp"
CALCULATOR = f"https://{HOST}/calculator/mcp"
STEADY = f"https://{HOST}/steady/mcp"
REVISION = "2026-07-28"

SCOPES = {"A": ["notes"], "B": ["notes", "notes.more"]}
TEAM = {"A": "team", "B": "department"}
WIPE: dict[str, Any] = {"A": "deny", "B": ["calculator.wipe"]}


def issuer(port: int, name: str) -> str:
    """The issuer of that name."""
    return f"http://127.0.0.1:{port}/issuer/{name}"


def inventory(version: Version, standins: int) -> dict[str, Any]:
    """One of the two. ``standins`` is the port of the MCP servers and the issuers."""
    upstream = f"http://127.0.0.1:{standins}"
    main, steady = issuer(standins, "main"), issuer(standins, "steady")
    return {
        "version": 1,
        "issuers": [
            {
                "name": "main",
                "issuer": main,
                "jwks_uri": f"{main}/jwks",
                "leeway": "0s",
                "keys": {"refresh": "2s", "cooldown": "500ms"},
            },
            {"name": "steady", "issuer": steady, "jwks_uri": f"{steady}/jwks"},
        ],
        "servers": [
            {
                "name": "notes",
                "resource": NOTES,
                "match": {"hosts": [HOST], "paths": ["/notes"]},
                "issuers": ["main"],
                "scopes": SCOPES[version],
                "forward": {"headers": {"x-team": TEAM[version]}},
                "upstream": upstream,
            },
            {
                "name": "calculator",
                "resource": CALCULATOR,
                "match": {"hosts": [HOST], "paths": ["/calculator"]},
                "issuers": ["main", "steady"],
                "scopes": ["calculator"],
                "tools": {"add": "allow", "wipe": WIPE[version]},
                "header_versions": [REVISION],
                "upstream": upstream,
            },
            {
                "name": "steady",
                "resource": STEADY,
                "match": {"hosts": [HOST], "paths": ["/steady"]},
                "issuers": ["steady"],
                "scopes": ["steady"],
                "upstream": upstream,
            },
        ],
        "log": {"level": "warning"},
    }

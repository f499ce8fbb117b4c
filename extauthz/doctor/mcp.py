"""What an MCP client writes, and what it reads out of an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from extauthz.core.identity import PREFIX, folded

from .replies import Reply

VERSION = "2025-11-25"
"""The protocol version that doctor itself speaks: every server of these days does."""

MODERN = "2026-07-28"
"""The first version whose headers repeat what the body says."""

_VERSION = re.compile(r"[0-9A-Za-z.-]{1,40}")

NOBODYS = "extauthz_doctor"
"""How every name ends that is tried and that no server has."""

HEADERS = {
    "Accept": "application/json, text/event-stream",
    "Content-Type": "application/json",
}
LINES = tuple(HEADERS.items())


def message(method: str, params: Mapping[str, object] | None = None, number: int = 1) -> bytes:
    """A JSON-RPC request."""
    document: dict[str, object] = {"jsonrpc": "2.0", "id": number, "method": method}
    if params is not None:
        document["params"] = params
    return json.dumps(document).encode()


META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "extauthz-doctor", "version": "1"},
}
"""What every request of ``MODERN`` carries in its ``params``; older servers pass it over."""

PING = message("ping")
INITIALIZE = message(
    "initialize",
    {
        "protocolVersion": VERSION,
        "capabilities": {},
        "clientInfo": {"name": "extauthz-doctor", "version": "1"},
    },
)
DISCOVER = message("server/discover", {"_meta": META})
INITIALIZED = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()


def call(tool: str) -> bytes:
    """A ``tools/call`` as every version takes it."""
    return message("tools/call", {"name": tool, "arguments": {}, "_meta": META})


def older_call(tool: str) -> bytes:
    """A ``tools/call`` as it was before ``MODERN``: it does not say its version."""
    return message("tools/call", {"name": tool, "arguments": {}})


@dataclass(frozen=True, slots=True)
class Session:
    """How further requests are written: by a version, and in a session if there is one.

    From ``MODERN`` on there are no sessions, and headers repeat what the body says.
    """

    version: str | None = None
    session_id: str | None = None

    @classmethod
    def of(cls, reply: Reply) -> Session:
        """The session that an answer to ``initialize`` opened."""
        version = VERSION
        for each in reply.messages():
            result = each.get("result")
            named = result.get("protocolVersion") if isinstance(result, dict) else None
            if isinstance(named, str) and _VERSION.fullmatch(named):
                version = named
        return cls(version, reply.get("mcp-session-id"))

    @property
    def is_modern(self) -> bool:
        """Whether headers repeat the body."""
        return self.version is not None and self.version >= MODERN

    def lines(self, body: bytes) -> list[tuple[str, str]]:
        """The header lines of a request with that body."""
        lines = [*LINES]
        if self.version is not None:
            lines.append(("MCP-Protocol-Version", self.version))
            if self.is_modern:
                lines += repeated(body)
        if self.session_id is not None:
            lines.append(("Mcp-Session-Id", self.session_id))
        return lines


def repeated(body: bytes) -> list[tuple[str, str]]:
    """``Mcp-Method`` and ``Mcp-Name`` as they repeat a body."""
    try:
        document = json.loads(body)
    except ValueError:
        return []
    if not isinstance(document, dict) or "method" not in document:
        return []
    lines = [("Mcp-Method", str(document["method"]))]
    params = document.get("params")
    name = params.get("name", params.get("uri")) if isinstance(params, dict) else None
    return [*lines, ("Mcp-Name", str(name))] if name is not None else lines


@dataclass(frozen=True, slots=True)
class Echo:
    """What the MCP server says it received: identity headers by folded name, and all the text."""

    identity: Mapping[str, tuple[str, ...]]
    text: str
    token_arrived: bool

    @property
    def subject(self) -> str | None:
        """The subject that the server was told."""
        values = self.identity.get("x-auth-subject")
        return unquote(values[0]) if values else None


def echo_of(reply: Reply) -> Echo | None:
    """Read the answer of the echo tool; None if it reports no headers at all."""
    identity: dict[str, list[str]] = {}
    arrived = reports = False
    results = [each["result"] for each in reply.messages() if isinstance(each.get("result"), dict)]
    for name, value in _members(results):
        bare = folded(name)
        reports = reports or bare in _REPORTING
        if bare.startswith(PREFIX):
            identity.setdefault(bare, []).append(value)
        arrived = arrived or bare == "authorization" or (bare, value) == _ARRIVED
    if not reply.ok or not (identity or reports):
        return None
    found = {name: tuple(dict.fromkeys(values)) for name, values in identity.items()}
    return Echo(found, reply.body.decode("utf-8", "replace"), arrived)


_REPORTING = frozenset({"identity", "headers", "authorization-arrived", "user-agent", "host"})
_ARRIVED = ("authorization-arrived", "True")
_DEEPEST = 12


def _members(node: object, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every name with its value, also in texts that are JSON, as tools return them."""
    if depth > _DEEPEST:
        return
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield str(name), str(value) if isinstance(value, str | int | float) else ""
            yield from _members(value, depth + 1)
    elif isinstance(node, list):
        if len(node) == 2 and isinstance(node[0], str) and isinstance(node[1], str):
            yield node[0], node[1]
        for value in node:
            yield from _members(value, depth + 1)
    elif isinstance(node, str) and node[:1] in ("{", "["):
        try:
            inner = json.loads(node)
        except (ValueError, RecursionError):
            return
        yield from _members(inner, depth + 1)

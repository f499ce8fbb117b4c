"""Which JSON-RPC call a request makes, from sources that can be believed (contract, section 6).

Envoy's MCP filter comes first, the body second, the client's ``Mcp-*`` headers last and only
where the backend is known to compare them with the body.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from . import strict_json
from .model import Call, Reason, Refusal, Request
from .policy import Server

KIND_OF: Final = {
    "tools/call": "tool",
    "prompts/get": "prompt",
    "resources/read": "resource",
    "resources/subscribe": "resource",
    "resources/unsubscribe": "resource",
}
"""The methods that name their target, and what that is. Each kind has rules of its own."""

KINDS: Final = tuple(dict.fromkeys(KIND_OF.values()))

NAMED_BY: Final = {
    method: "uri" if kind == "resource" else "name" for method, kind in KIND_OF.items()
}
"""The same methods, and the member of ``params`` that names the target."""

SOURCES: Final = ("body", "mcp", "headers", "none")
"""Where a call may be told, for the log: the body, Envoy's MCP filter, the client's headers."""

BODILESS: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
"""The HTTP methods whose requests make no call."""

KNOWN_METHODS: Final = frozenset(NAMED_BY) | {
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "completion/complete",
    "logging/setLevel",
    "subscriptions/listen",
    "tasks/get",
    "tasks/result",
    "tasks/list",
    "tasks/cancel",
    "tasks/update",
    "notifications/initialized",
    "notifications/cancelled",
    "notifications/progress",
    "notifications/roots/list_changed",
}

_HANDSHAKE = frozenset({"initialize", "server/discover", "ping"})
_RESPONSE = Call("")
_RESPONSE_METADATA = "__jsonrpc_response"
_UNUSABLE = Refusal(Reason.UNVERIFIED_CALL, "the proxy's MCP filter could not read the message")
_NOT_JSON = Refusal(Reason.MALFORMED_REQUEST, "body: Content-Type is not application/json")
_NOT_UTF8 = Refusal(Reason.MALFORMED_REQUEST, "body: Content-Type names another charset than UTF-8")
_PACKED = Refusal(Reason.MALFORMED_REQUEST, "body: it has a Content-Encoding")
_SENTINEL = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_MEMBERS = frozenset({"jsonrpc", "id", "method", "params", "name", "uri"})
_JSON = re.compile(r"[ \t]*application/json[ \t]*(?:;|\Z)")
_UTF8 = re.compile(r"""[;, \t]charset[ \t]*=[ \t]*("utf-?8"|utf-?8)[ \t]*(?=[;,]|$)""")


def needs_no_rule(method: str) -> bool:
    """Whether a method is free of rules, so that the server's scopes alone count."""
    return method in _HANDSHAKE or method.startswith("notifications/")


def find_call(request: Request, server: Server) -> Call | Refusal | None:
    """The call of a POST, a refusal, or None where no believable source is present."""
    claimed = _from_metadata(request)
    if isinstance(claimed, Refusal):
        return claimed
    if claimed is not None or request.body is not None:
        refusal = _reads_otherwise(request.headers)
        if refusal is not None:
            return refusal
    if request.body is not None:
        inspected = _from_body(request)
        if isinstance(inspected, Refusal):
            return inspected
        if claimed is not None and claimed != inspected:
            return Refusal(Reason.SOURCE_MISMATCH, "the MCP filter and the body differ")
        claimed = inspected
    elif claimed == _RESPONSE:
        # That a message is a response, and no call, is believed of the body alone.
        claimed = None
    if claimed is None:
        claimed = _from_headers(request, server.header_versions)
        if claimed is None or isinstance(claimed, Refusal):
            return claimed
    elif refusal := _contradicted(request, claimed):
        return refusal
    return _method_in_disguise(claimed, server) or claimed


def _from_metadata(request: Request) -> Call | Refusal | None:
    said = request.mcp_metadata
    if said is None:
        return None
    if not _usable(said):
        return _UNUSABLE
    method = said.get("method")
    if method == _RESPONSE_METADATA:
        return _RESPONSE
    if not isinstance(method, str) or not method:
        return _UNUSABLE
    return _named(method, said.get("params"))


def _usable(said: Mapping[str, object]) -> bool:
    return (
        said.get("is_mcp_request") is True
        and said.get("status", "mcp_ok") == "mcp_ok"
        and not said.get("passthrough_reason")
        and not said.get("is_exceeding_limit")
    )


def source_of(request: Request) -> str:
    """Which source tells the call of a POST, for the log: one of SOURCES.

    ``headers`` says that there is an ``Mcp-Method`` and nothing better, not that it counts. Where
    the filter could not read the message, nobody looked at the body.
    """
    said = request.mcp_metadata
    if request.body is not None:
        return "mcp" if _from_metadata(request) is _UNUSABLE else "body"
    # Of the filter's word that a message is a response nothing follows (see ``find_call``).
    if said is not None and not (said.get("method") == _RESPONSE_METADATA and _usable(said)):
        return "mcp"
    return "headers" if "mcp-method" in request.headers else "none"


def told_in_passing(request: Request) -> Call | None:
    """The call that the MCP filter tells where no rule asks for it; None where it is not sure.

    A body is not read for that, so it is the filter's word alone.
    """
    call = _from_metadata(request)
    if not isinstance(call, Call) or call == _RESPONSE or _contradicted(request, call):
        return None
    return None if _reads_otherwise(request.headers) else call


def _reads_otherwise(headers: Mapping[str, str]) -> Refusal | None:
    """Refuse what would have the server make another message of the body than we.

    A text in UTF-7 is one in UTF-8 as well, with other quotation marks in it, and servers heed
    ``charset``: Express does, with whatever begins with ``utf-``. A form can be JSON as well, and
    a packed body, if somebody made one that is both.
    """
    kind = headers.get("content-type", "").lower()
    if kind and not all(map(_JSON.match, kind.split(","))):
        return _NOT_JSON
    if kind.count("charset") != len(_UTF8.findall(kind)):
        return _NOT_UTF8
    if headers.get("content-encoding", "").lower() not in ("", "identity"):
        return _PACKED
    return None


def _from_body(request: Request) -> Call | Refusal:
    if request.body_truncated:
        return _malformed("the proxy sent only the beginning of the body")
    try:
        message = strict_json.parse(request.body or b"")
    except strict_json.NotStrictJson as fault:
        return _malformed(f"body: {fault}")
    if isinstance(message, list):
        return Refusal(Reason.BATCH_REFUSED, "the body is a JSON-RPC batch")
    if not isinstance(message, dict):
        return _malformed("body: not a JSON-RPC object")
    params = message.get("params")
    if params is not None and not isinstance(params, dict):
        return _malformed("body: params is not an object")
    if _has_disguise(message) or (params and _has_disguise(params)):
        return _malformed("body: a member name differs from a known one only in disguise")
    if "method" not in message:
        if ("result" in message) == ("error" in message):
            return _malformed("body: neither a request nor a response")
        return _RESPONSE
    method = message["method"]
    if not isinstance(method, str) or not method:
        return _malformed("body: method is not a string")
    return _named(method, params)


def _has_disguise(members: Mapping[str, object]) -> bool:
    return any(name not in _MEMBERS and _any_case(name) in _MEMBERS for name in members)


def _any_case(name: str) -> str:
    """The name as readers have it that fold case in one way or another.

    To those in Java an i without a dot, or a capital one with it, is an i.
    """
    return name.replace("\0", "").upper().casefold().replace("\u0307", "")


def _from_headers(request: Request, versions: frozenset[str]) -> Call | Refusal | None:
    headers = request.headers
    if (
        headers.get("mcp-protocol-version") not in versions
        or "mcp-protocol-version" in request.repeated
    ):
        return None
    method = headers.get("mcp-method")
    if method is None:
        return None
    if _several(request, "mcp-method", method):
        return _malformed("Mcp-Method must occur once")
    method = decode_sentinel(method)
    if not method:
        return _malformed("Mcp-Method is empty, or neither ASCII nor valid base64 of UTF-8")
    name = headers.get("mcp-name")
    if name is not None:
        if _several(request, "mcp-name", name):
            return _malformed("Mcp-Name must occur once")
        name = decode_sentinel(name)
        if name is None:
            return _malformed("Mcp-Name is neither ASCII nor valid base64 of UTF-8")
    if method not in NAMED_BY:
        return Call(method)
    return _malformed("this method needs Mcp-Name") if name is None else Call(method, name)


def _several(request: Request, name: str, value: str) -> bool:
    return name in request.repeated or (request.joined and "," in value)


def decode_sentinel(value: str) -> str | None:
    """Decode ``=?base64?…?=``; other ASCII text is itself.

    None when the base64 is not strict, when it looks like a sentinel and is none, and for other
    text: what its octets mean depends on who reads them.
    """
    if not value.isascii():
        return None
    if value[:2] != "=?" or value[-2:] != "?=":
        return value
    match = _SENTINEL.fullmatch(value)
    if match is None:
        return None
    try:
        data = base64.b64decode(match[1], validate=True)
        if base64.b64encode(data).decode("ascii") != match[1]:
            return None
        return data.decode("utf-8")
    except (ValueError, binascii.Error):
        return None


def _contradicted(request: Request, call: Call) -> Refusal | None:
    """Untrusted ``Mcp-*`` headers are never a source, but must not tell another story."""
    method = request.headers.get("mcp-method")
    # A known one that is told as it is, as nearly all are, needs no decoding.
    if method is not None and (
        "mcp-method" in request.repeated
        or (
            (method != call.method or method not in KNOWN_METHODS)
            and decode_sentinel(method) != call.method
        )
    ):
        return Refusal(Reason.SOURCE_MISMATCH, "Mcp-Method differs from the message")
    name = request.headers.get("mcp-name")
    if name is None or call.name is None:
        return None
    if "mcp-name" in request.repeated or decode_sentinel(name) != call.name:
        return Refusal(Reason.SOURCE_MISMATCH, "Mcp-Name differs from the message")
    return None


def _named(method: str, params: object) -> Call | Refusal:
    member = NAMED_BY.get(method)
    if member is None:
        return Call(method)
    name = params.get(member) if isinstance(params, Mapping) else None
    if not isinstance(name, str):
        return _malformed(f"params.{member} is not a string")
    return Call(method, name)


def _method_in_disguise(call: Call, server: Server) -> Refusal | None:
    method = call.method
    if not method or method in KNOWN_METHODS or method in server.methods.exact:
        return None
    bare = _bare(method)
    if (
        bare in _BARE_KNOWN
        or bare in map(_bare, server.methods.exact)
        or any(
            glob.folded().matches(bare) and not glob.matches(method)
            for glob, _ in server.methods.globs
        )
    ):
        return _malformed("the method differs from a known one only in case or blanks")
    return None


def _bare(method: str) -> str:
    return method.replace("\0", "").strip().casefold()


_BARE_KNOWN = frozenset(map(_bare, KNOWN_METHODS))


def _malformed(detail: str) -> Refusal:
    return Refusal(Reason.MALFORMED_REQUEST, detail)

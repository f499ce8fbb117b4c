"""The request of a recorded decision, as far as the line tells of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Final

from extauthz.core.calls import BODILESS, NAMED_BY
from extauthz.core.engine import LOOKALIKE
from extauthz.core.model import Call, Reason, Request
from extauthz.core.policy import Server

from .record import Record

OPEN_CALL: Final = Call("ping")
"""A call of which no server asks more than its own scopes."""

_ODD_METHOD: Final = "ODD"
# What the engine refuses for each of these reasons, whatever the call was.
_BATCH: Final = b"[]"
_BROKEN: Final = b"{"


def question(record: Record, token: str | None, call: Call | None = None) -> Request:
    """The request of a record that has host and path, with ``token`` as its credentials.

    ``call`` stands in for a call that the line does not tell.
    """
    headers: dict[str, str] = {}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if record.origin is not None:
        headers["origin"] = record.origin
    lookalike = record.reason is LOOKALIKE.reason and record.detail == LOOKALIKE.detail
    if lookalike:
        headers["x_auth_subject"] = ""
    body: bytes | None = None
    said: Mapping[str, object] | None = None
    known = call or record.call
    if known is not None and call is None and record.call_source == "headers":
        headers |= _headers(known, record.mcp_version)
    elif known is not None:
        body = _body(known)
    elif record.person is None or record.call_source is None:
        pass
    elif record.reason is Reason.BATCH_REFUSED:
        body = _BATCH
    elif record.reason is Reason.MALFORMED_REQUEST:
        body = _BROKEN
    elif record.reason is Reason.SOURCE_MISMATCH:
        body = _body(OPEN_CALL)
        headers["mcp-method"] = f"not {OPEN_CALL.method}"
    elif record.reason is Reason.UNVERIFIED_CALL and record.call_source == "mcp":
        said = {}
    return Request(
        method=record.http_method or _ODD_METHOD,
        host=record.host or "",
        target=record.path or "",
        headers=headers,
        server=record.named,
        body=body,
        mcp_metadata=said,
        refuse_lookalikes=lookalike,
    )


def call_is_told(record: Record, server: Server) -> bool:
    """Whether all is known of the call that ``server`` would judge by."""
    if not server.has_call_rules or record.http_method in BODILESS:
        return True
    call = record.call
    if call is not None:
        # Of a URI's query nothing is written but that there is one.
        cut = NAMED_BY.get(call.method) == "uri" and (call.name or "").endswith("?")
        return not (cut and server.resources)
    if record.call_source is None:
        return False
    # The client's headers did not count then, and were not written; now they would.
    unheeded = record.call_source == "headers" and record.mcp_version in server.header_versions
    return not unheeded or record.reason is Reason.MALFORMED_REQUEST


def _body(call: Call) -> bytes:
    message: dict[str, object] = {"jsonrpc": "2.0", "id": 1}
    if not call.method:
        return json.dumps(message | {"result": {}}).encode()
    message["method"] = call.method
    if call.name is not None:
        message["params"] = {NAMED_BY.get(call.method, "name"): call.name}
    return json.dumps(message).encode()


def _headers(call: Call, version: str | None) -> dict[str, str]:
    headers = {"mcp-method": encode_sentinel(call.method)}
    if version is not None:
        headers["mcp-protocol-version"] = version
    if call.name is not None:
        headers["mcp-name"] = encode_sentinel(call.name)
    return headers


def encode_sentinel(text: str) -> str:
    """A text as ``Mcp-Method`` and ``Mcp-Name`` carry any."""
    return f"=?base64?{base64.b64encode(text.encode()).decode('ascii')}?="

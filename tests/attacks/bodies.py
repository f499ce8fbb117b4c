"""Rows 117-124: bodies that we and the server might read differently (RFC 8259, JSON-RPC 2.0)."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from extauthz.core.model import Reason
from tests.attacks.table import ALLOW, FORWARD, GRPC, NGINX, Case, Sent, Stage, asked, row
from tests.policies import MODERN, SERVERS, document
from tests.tokens import CALCULATOR

REQUEST = Reason.MALFORMED_REQUEST
BATCH = Reason.BATCH_REFUSED
DENIED = Reason.DENIED_BY_RULE
LACKING = Reason.INSUFFICIENT_SCOPE
UNVERIFIED = Reason.UNVERIFIED_CALL
MISMATCH = Reason.SOURCE_MISMATCH


def call(name: object = "safe", method: object = "tools/call", **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": name}, **more}


def token(stage: Stage, scope: str = "calculator") -> str:
    return stage.mint({"aud": CALCULATOR, "scope": scope})


def posted(stage: Stage, body: object, label: object, *expected: str, **more: Any) -> Case:
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    sent = Sent(token=token(stage), target="/calculator/mcp", body=body, **more)
    return asked(str(label), sent, *expected)


@row(117, "batches")
def batches(stage: Stage) -> Iterator[Case]:
    several: list[object] = [
        [], [call()], [call("add"), call("danger_x")], [[call()]], [None], [[]],
    ]  # fmt: skip
    for body in several:
        yield posted(stage, body, body, BATCH)
    yield posted(stage, call(), "no batch", ALLOW)


@row(118, "duplicate members, plain and escaped, in both orders")
def duplicates(stage: Stage) -> Iterator[Case]:
    params = b'"params":{"name":"safe"}'
    for body in (
        b'{"method":"tools/list","method":"tools/call",%s}' % params,
        b'{"method":"tools/call","method":"tools/list",%s}' % params,
        b'{"method":"tools/list","\\u006dethod":"tools/call",%s}' % params,
        b'{"method":"tools/call","params":{"name":"safe","name":"danger_x"}}',
        b'{"method":"tools/call","params":{"name":"danger_x","name":"safe"}}',
        b'{"method":"tools/call","params":{"name":"safe","n\\u0061me":"danger_x"}}',
        b'{"method":"tools/call",%s,"params":{"name":"danger_x"}}' % params,
        b'{"method":"tools/call","params":{"name":"danger_x"},"p\\u0061rams":{"name":"safe"}}',
        b'{"method":"tools/call","params":{"name":"safe","arguments":{"a":1,"a":2}}}',
        b'{"id":1,"id":2,"method":"tools/call",%s}' % params,
    ):
        yield posted(stage, body, body, REQUEST)


@row(119, "members that differ from known ones only in case or by a NUL (CVE-2026-27896)")
def disguised(stage: Stage) -> Iterator[Case]:
    for name in ("Method", "METHOD", "method\0", "\0method", "Params", "ID", "JsonRpc", "paramſ"):
        yield posted(stage, call() | {name: "tools/call"}, repr(name), REQUEST)
        only = {key: value for key, value in call().items() if key != name.lower()}
        yield posted(stage, only | {name: "tools/call"}, f"only {name!r}", REQUEST)
    for name in ("Name", "NAME", "name\0", "na\0me", "Uri", "URI", "Id", "Method", "urı", "urİ"):
        body = call() | {"params": {"name": "safe", name: "danger_x"}}
        yield posted(stage, body, f"params {name!r}", REQUEST)
    for method in ("Tools/call", "TOOLS/CALL", " tools/call", "tools/call ", "tools/call\0",
                   "tools/call\n", "toolſ/call", "Initialize", "PING", "Admin/reset",
                   "ADMIN/x"):  # fmt: skip
        yield posted(stage, call(method=method), repr(method), REQUEST)
    yield posted(stage, call(method="admin/reset"), "ruled", DENIED)


@row(120, "names of tools: judged after decoding, and as they are")
def names(stage: Stage) -> Iterator[Case]:
    escaped = b'{"method":"tools/call","params":{"name":"%s"}}'
    for name in (b"danger_x", b"\\u0064anger_x", b"danger\\u005fx", b"a/b", b"a\\/b", b"a\\u002fb",
                 b"danger_\\u0000"):  # fmt: skip
        yield posted(stage, escaped % name, name, DENIED)
    yield posted(stage, escaped % b"\\u0061dd", "add without its scope", LACKING)
    for odd in (["danger_x"], None, 7, {}, True, {"name": "safe"}):
        yield posted(stage, call(odd), repr(odd), REQUEST)
    for params in ([], ["danger_x"], "danger_x", 7, True):
        yield posted(stage, call() | {"params": params}, f"params {params!r}", REQUEST)
    yield posted(stage, {"method": "tools/call"}, "no params", REQUEST)
    yield posted(stage, {"method": "tools/call", "params": None}, "null params", REQUEST)
    yield posted(stage, {"method": "tools/call", "params": {}}, "no name", REQUEST)
    listed = [one | {"tools": {"safe": "allow"}} for one in SERVERS if one["name"] == "calculator"]
    config = document(servers=listed)
    for other in ("Safe", "safe ", " safe", "safe\0", "sаfe", "safe/../x", "", "other"):
        case = posted(stage, call(other), f"not listed {other!r}", DENIED)
        yield asked(case.label, case.sent, DENIED, config=config)
    case = posted(stage, call("safe"), "listed")
    yield asked(case.label, case.sent, ALLOW, config=config)


@row(121, "a body of which the proxy sent only the beginning")
def partial(stage: Stage) -> Iterator[Case]:
    yield posted(stage, call(), "whole to the eye", REQUEST, truncated=True)
    cut = json.dumps(call("danger_x")).encode()[:-10]
    yield posted(stage, cut, "cut", REQUEST, truncated=True)
    whole = json.dumps(call()).encode()
    for more, verdict in ((0, ALLOW), (1, REQUEST)):
        length = (("Content-Length", str(len(whole) + more)),)
        told = replace(posted(stage, whole, f"{more} more told", verdict, headers=length))
        # Elsewhere HTTP itself sees to it, or nobody tells.
        yield replace(told, doors=(GRPC,))
    own = (("X-Envoy-Auth-Partial-Body", "true"),)
    case = posted(stage, call(), "the client says so", REQUEST, headers=own)
    # Envoy overwrites what the client says, and others do not speak of parts.
    yield replace(case, at=dict.fromkeys(("real envoy-body", NGINX, FORWARD), frozenset({ALLOW})))


@row(122, "two documents, other encodings, packed bodies")
def documents(stage: Stage) -> Iterator[Case]:
    body = json.dumps(call()).encode()
    danger = json.dumps(call("danger_x")).encode()
    padded = json.dumps(call() | {"fill": "x" * 100_000}).encode()
    for label, odd in {
        "two": body + danger, "lines": body + b"\n" + danger, "record": b"\x1e" + body,
        "BOM": b"\xef\xbb\xbf" + body, "UTF-16": body.decode().encode("utf-16"),
        "UTF-32": body.decode().encode("utf-32-le"), "gzip": gzip.compress(body),
        "trailing NUL": body + b"\0", "empty": b"", "blank": b" ", "form": b"method=tools/call",
        "chunked": b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), "event": b"data: " + body,
        "not UTF-8": body.replace(b"safe", b"\xff\xfe"), "latin-1": body.replace(b"safe", b"\xe9"),
    }.items():  # fmt: skip
        yield posted(stage, odd, label, REQUEST)
    yield posted(stage, padded, "long", ALLOW)
    # In UTF-7 it is a call of danger_x, which Express makes of it where the charset says so.
    quoted = '"}},"method":"tools/call","params":{"name":"danger_x","_meta":{"y":"'
    packed = base64.b64encode(quoted.encode("utf-16-be")).decode().rstrip("=")
    twofold = json.dumps(call() | {"params": {"name": "safe", "_meta": {"x": f"+{packed}-"}}})
    for name, value, verdict in (
        ("Content-Type", "application/json; charset=utf-7", REQUEST),
        ("Content-Type", 'application/json; charset="UTF-7"', REQUEST),
        ("Content-Type", "application/json; charset=utf-16le", REQUEST),
        ("Content-Encoding", "br", REQUEST),
        ("Content-Type", "application/x-www-form-urlencoded; a=application/json", REQUEST),
        ("Content-Type", "application/json; charset=utf-8", ALLOW),
        ("Content-Encoding", "identity", ALLOW),
    ):
        lines = ((name, value),)
        yield posted(stage, twofold.encode(), f"{name}: {value}", verdict, headers=lines)


@row(123, "what is no JSON, or JSON without end")
def no_json(stage: Stage) -> Iterator[Case]:
    deep = b'{"method":"tools/list","params":{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}}"
    bodies = [
        deep, b"[" * 20_000, b'{"a":' * 20_000, b'{"method":"tools/list","id":1e400}',
        b'{"method":"tools/list","id":NaN}', b'{"method":"tools/list","id":-Infinity}',
        b'{"method":"tools/list","id":' + b"9" * 5_000 + b"}", b"{method:'tools/list'}",
        b'{"method":"tools/list",}', b"not JSON", b'"tools/list"', b"null", b"1", b"true",
        b'{"method":"tools/list"}}', b'{"method":"tools/list"', b'{"method":"tools\nlist"}',
        b'{"method":null}', b'{"method":["tools/list"]}', b"{}", b'{"id":1}',
        b'{"result":1,"error":2}', b'{"method":"tools/list","x":"\\ud800"}',
        b"[" * 65 + b'"' + b'\\"' * 200_000,
    ]  # fmt: skip
    for number, body in enumerate(bodies):
        yield posted(stage, body, number, REQUEST, BATCH)
    for member in ("result", "error"):
        yield posted(stage, {"id": 1, member: {}}, f"a response: {member}", ALLOW)


@row(124, "rules for tools where the body is not seen")
def unseen(stage: Stage) -> Iterator[Case]:
    good = token(stage, "calculator calculator.add")
    sent = Sent(token=good, target="/calculator/mcp")
    yield asked("POST", sent, UNVERIFIED)
    # The client's own headers are no source, unless the operator says so.
    lines = (("MCP-Protocol-Version", MODERN), ("Mcp-Method", "tools/call"), ("Mcp-Name", "safe"))
    told = Sent(token=good, target="/calculator/mcp", headers=lines)
    yield asked("headers of the client", told, UNVERIFIED)
    trusting = [
        one | {"header_versions": [MODERN]} for one in SERVERS if one["name"] == "calculator"
    ]
    config = document(servers=trusting)
    yield asked("trusted headers", told, ALLOW, config=config)
    odd = {
        "two methods": (*lines, ("Mcp-Method", "tools/list")),
        "two names": (*lines, ("Mcp-Name", "danger_x")),
        "bad base64": (*lines[:2], ("Mcp-Name", "=?base64?!!!?=")),
        "unpadded base64": (*lines[:2], ("Mcp-Name", "=?base64?c2FmZQ?=")),
        "no name": lines[:2],
        "two names where none is needed": (
            lines[0], ("Mcp-Method", "tools/list"), lines[2], ("Mcp-Name", "danger_x"),
        ),
        "bad base64 where no name is needed": (
            lines[0], ("Mcp-Method", "tools/list"), ("Mcp-Name", "=?base64?!!!!?="),
        ),
        "a name in raw UTF-8": (*lines[:2], ("Mcp-Name", "sàfe")),
        "a method in raw UTF-8": (lines[0], ("Mcp-Method", "pîng"), lines[2]),
        "a method in bad base64": (
            lines[0], ("Mcp-Method", "=?base64?dG9vbHMvY2FsbA?="), lines[2],
        ),
        "a method in some base64": (
            lines[0], ("Mcp-Method", "=?BASE64?dG9vbHMvY2FsbA==?="), lines[2],
        ),
        "case": (lines[0], ("Mcp-Method", "TOOLS/CALL"), lines[2]),
    }  # fmt: skip
    for label, headers in odd.items():
        odd_lines = Sent(token=good, target="/calculator/mcp", headers=headers)
        yield asked(label, odd_lines, REQUEST, config=config)
    for label, headers in {
        "another version": (("MCP-Protocol-Version", "2025-06-18"), *lines[1:]),
        "two versions": (*lines, ("MCP-Protocol-Version", MODERN)),
        "no version": lines[1:],
        "no method": (lines[0], lines[2]),
    }.items():
        unknown = Sent(token=good, target="/calculator/mcp", headers=headers)
        yield asked(label, unknown, UNVERIFIED, config=config)
    for method in ("tools/call", "=?base64?dG9vbHMvY2FsbA==?="):
        for name in ("danger_x", "=?base64?ZGFuZ2VyX3g=?="):
            named = (lines[0], ("Mcp-Method", method), ("Mcp-Name", name))
            denied = Sent(token=good, target="/calculator/mcp", headers=named)
            yield asked(f"{method} {name}", denied, DENIED, config=config)
    exact = [one | {"tools": {"é": "deny", "*": "allow"}} for one in trusting]
    for name, reason in (("é", REQUEST), ("=?base64?w6k=?=", DENIED)):
        named = (*lines[:2], ("Mcp-Name", name))
        sent = Sent(token=good, target="/calculator/mcp", headers=named)
        yield asked(f"ruled {name}", sent, reason, config=document(servers=exact))
    body = json.dumps(call("é")).encode()
    for name, verdict in (("é", MISMATCH), ("=?base64?w6k=?=", ALLOW)):
        sent = Sent(
            token=good, target="/calculator/mcp", body=body,
            headers=(*lines[:2], ("Mcp-Name", name)),
        )  # fmt: skip
        yield asked(f"body and {name}", sent, verdict)
    body = json.dumps(call("safe")).encode()
    for name in ("danger_x", "add", "Safe"):
        differing = Sent(
            token=good, target="/calculator/mcp", body=body,
            headers=(*lines[:2], ("Mcp-Name", name)),
        )  # fmt: skip
        yield asked(f"body and {name}", differing, MISMATCH)
        yield asked(f"body and trusted {name}", differing, MISMATCH, config=config)

"""Rules for calls hold, whatever headers say and however the body is written.

Only names that no server has are tried: what a rule protects must not be set off.
"""

from __future__ import annotations

import json

from extauthz.core.model import Reason

from .catalogue import Code
from .examination import Examination
from .mcp import META, MODERN, NOBODYS, Session, call, message, older_call
from .replies import Reply
from .upgrades import websockets

_OLD = "2024-11-05"
_HEADER_MISMATCH = -32020
"""What a server of MCP 2026-07-28 answers where headers and body differ."""


def rules(exam: Examination) -> None:
    """What the rules deny does not run, and what they do not deny can be asked."""
    with exam.report.step("rules for calls hold") as step:
        server = exam.expected.server
        if server is None:
            # A name that nobody has is denied where rules list what is allowed.
            is_denied = exam.with_token(call(NOBODYS)).reason == Reason.DENIED_BY_RULE
            denied = NOBODYS if is_denied else None
            step.skipped = "" if is_denied else "no rules for calls are known (--config)"
        elif server.has_call_rules:
            _listed(exam)
            denied = exam.expected.denied_tool()
            if denied is None:
                exam.found(Code.RULES_NOT_PROBED, f"{len(server.tools.rules())} rules for tools")
        else:
            denied, step.skipped = None, "there are no rules for calls"
        if denied is None:
            return
        _plain(exam, denied)
        _lying_headers(exam, denied)
        _odd_bodies(exam, denied)
        if _as_version(exam, [], [], call(denied)).reason == Reason.DENIED_BY_RULE:
            # Only there it is the message that is judged.
            _odd_charset(exam)
            _odd_case(exam, denied)
        websockets(exam)


def _listed(exam: Examination) -> None:
    reply = exam.with_token(message("tools/list", {"_meta": META}))
    if reply.reason == Reason.UNVERIFIED_CALL:
        exam.found(Code.CALLS_NOT_SHOWN, f"tools/list: {reply}")


def _plain(exam: Examination, denied: str) -> None:
    reply = exam.with_token(call(denied))
    if reply.ok:
        exam.found(Code.RULES_NOT_ENFORCED, f"tools/call {denied}: {reply}")


def _lying_headers(exam: Examination, denied: str) -> None:
    """The body calls what is denied, the headers name something else."""
    server = exam.expected.server
    allowed = exam.expected.allowed_tool(exam.echo_tool)
    versions = (MODERN, _OLD, "2025-11-25", *(server.header_versions if server else ()))
    stories: list[tuple[str, str]] = [("ping", "")]
    if allowed is not None:
        stories.insert(0, ("tools/call", allowed))
    for method, name in stories:
        named = [("Mcp-Method", method), *([("Mcp-Name", name)] if name else [])]
        told = f"Mcp-Method {method}" + (f", Mcp-Name {name}" if name else "")
        # Some servers go by the header, some by the body, which names its version or none.
        for what, body in (("a call", call(denied)), ("an older call", older_call(denied))):
            for version in dict.fromkeys(versions):
                reply = _as_version(exam, [version], named, body)
                _judge(exam, reply, f"{told} over {what} of {denied}, version {version}")
            reply = _as_version(exam, [_OLD, MODERN], named, body)
            both = f"versions {_OLD} and {MODERN}"
            _judge(exam, reply, f"{told} over {what} of {denied}, {both}")


def _as_version(
    exam: Examination, versions: list[str], named: list[tuple[str, str]], body: bytes
) -> Reply:
    lines = [*Session(None, exam.session.session_id).lines(b""), *exam.authorization, *named]
    lines += [("MCP-Protocol-Version", version) for version in versions]
    return exam.wire.send("POST", exam.edge.path, lines, body)


def _judge(exam: Examination, reply: Reply, what: str) -> None:
    if reply.ok and not _compared_by_the_server(reply):
        exam.found(Code.HEADERS_BELIEVED, f"{what}: {reply}")
    elif reply.broken:
        exam.found(Code.EDGE_BREAKS, f"{what}: {reply}")


def _compared_by_the_server(reply: Reply) -> bool:
    errors = [each.get("error") for each in reply.messages()]
    return any(isinstance(e, dict) and e.get("code") == _HEADER_MISMATCH for e in errors)


def _odd_bodies(exam: Examination, denied: str) -> None:
    batch = b"[" + call(denied) + b"]"
    reply = exam.with_token(batch)
    if reply.ok:
        exam.found(Code.BATCH_TAKEN, f"a batch of one call of {denied}: {reply}")
    allowed = json.dumps(exam.expected.allowed_tool(exam.echo_tool) or "ping")
    name = json.dumps(denied)
    for what, text in (
        ("two names", f'{{"name":{allowed},"name":{name}}}'),
        ("two names, the other way round", f'{{"name":{name},"name":{allowed}}}'),
        ("an escaped member", f'{{"n\\u0061me":{name}}}'),
    ):
        body = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{text}}}'.encode()
        reply = exam.with_token(body)
        if reply.ok and "other way" not in what:
            exam.found(Code.RULES_NOT_ENFORCED, f"{what} in a call of {denied}: {reply}")
        elif reply.broken:
            exam.found(Code.EDGE_BREAKS, f"{what} in a call of {denied}: {reply}")


def _odd_case(exam: Examination, denied: str) -> None:
    """``Name`` is ``name`` to some servers, and the last one counts."""
    allowed = exam.expected.allowed_tool(exam.echo_tool)
    if allowed is None:
        return
    params = {"name": allowed, "Name": denied}
    reply = _as_version(exam, [], [], message("tools/call", params))
    if reply.ok:
        exam.found(Code.CASE_TAKEN, f"Name {denied} after name {allowed}: {reply}")
    elif reply.broken:
        exam.found(Code.EDGE_BREAKS, f"Name {denied} after name {allowed}: {reply}")


def _odd_charset(exam: Examination) -> None:
    """In UTF-7, which some servers read, a call that is allowed may be one that is denied."""
    kind = "application/json; charset=utf-7"
    lines = [line for line in exam.session.lines(exam.harmless) if line[0] != "Content-Type"]
    lines += [("Content-Type", kind), *exam.authorization]
    reply = exam.wire.send("POST", exam.edge.path, lines, exam.harmless)
    if reply.ok:
        exam.found(Code.CHARSET_TAKEN, f"Content-Type {kind}: {reply}")
    elif reply.broken:
        exam.found(Code.EDGE_BREAKS, f"Content-Type {kind}: {reply}")

"""Why a request is answered as it is: the engine's own checks, with the near misses."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final, Literal

from .bearer import bearer_token
from .calls import source_of
from .engine import Engine, KeySets
from .model import Allow, Answer, Decision, Deny, NeedKeys, Reason, Request, Step, Trace
from .near_misses import near_misses
from .near_requests import near_requests
from .policy import Server
from .token import UnverifiedToken, parse_token

Calls = Literal["mcp", "none"]
"""Whether the proxy tells which call is made, as Envoy with its MCP filter does, or does not."""

_HTTP_METHOD = re.compile(r"[A-Z]+")
_TOLD_BY: Final = {
    "mcp": ", as Envoy's MCP filter tells it",
    "body": ", as the body tells it",
    "headers": ", as the client's Mcp-* headers tell it",
}
_OTHER_PROXIES = (
    "nginx, Caddy and HAProxy tell no call, nor do Traefik and Envoy's http_service unless they "
    "send the body: for those ask with --calls none"
)
_NO_CALLS = "as behind a proxy that tells no call; see unverified_calls and header_versions"
_NOT_ASKED = (
    "the question names no call: give --method with a JSON-RPC method such as tools/list, or "
    "--tool with a name"
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every check in order, the decision they led to, and what might mend a refusal."""

    steps: tuple[Step, ...]
    decision: Decision
    hints: tuple[str, ...]

    @property
    def allowed(self) -> bool:
        """Whether the request reaches the server, or is answered by a document."""
        return isinstance(self.decision, Allow) or (
            isinstance(self.decision, Answer) and self.decision.status < 400
        )

    @property
    def reason(self) -> Reason | None:
        """Why it was, or under ``mode: enforce`` would be, refused."""
        if isinstance(self.decision, Deny):
            return self.decision.reason
        return self.decision.audited if isinstance(self.decision, Allow) else None

    @property
    def detail(self) -> str:
        """What the decision line says besides the reason; clients do not see it."""
        if isinstance(self.decision, Deny):
            return self.decision.detail
        return self.decision.audited_detail if isinstance(self.decision, Allow) else ""


def question(
    *,
    host: str,
    path: str,
    method: str | None = None,
    tool: str | None = None,
    token: str | None = None,
    origin: str | None = None,
    server: str | None = None,
    calls: Calls = "mcp",
) -> Request:
    """The request that a person asks about, as a proxy would present it.

    ``method`` is an HTTP method or, for a POST, a JSON-RPC method; by default it is a
    ``tools/call`` where a ``tool`` is named, else a GET. ``calls`` says what the proxy tells of
    the call: ``mcp`` is Envoy with its MCP filter, ``none`` any that sees no more than headers.
    """
    call = "tools/call" if tool is not None else None
    if method is not None and _HTTP_METHOD.fullmatch(method) is None:
        method, call = None, method
    headers = {"accept": "application/json, text/event-stream"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if origin is not None:
        headers["origin"] = origin
    said = {"is_mcp_request": True, "method": call, "params": {"name": tool, "uri": tool}}
    return Request(
        method=method or ("POST" if call else "GET"),
        host=host,
        target=path,
        headers=headers,
        server=server,
        mcp_metadata=said if call and calls == "mcp" else None,
    )


def explain(
    engine: Engine,
    request: Request,
    keys: KeySets,
    *,
    now: float,
    failing: Collection[str] = (),
    calls: Calls = "none",
) -> Explanation:
    """Decide as ``serve`` does and keep every step.

    ``failing`` names the issuers of which the last attempt to get keys failed. Of those an absent
    key may be a new one; others do not have it. ``calls`` is that of the ``question``.
    """
    trace = Trace()
    decision = engine.decide(request, keys, now=now, trace=trace)
    if isinstance(decision, NeedKeys):
        missing = _missing(decision, keys, failing)
        decision = engine.without_key(request, missing, decision.issuer)
    reason = Explanation((), decision, ()).reason
    server = _server_of(engine, decision)
    token = bearer_token(request)
    hints: tuple[str, ...] = ()
    if reason is not None:
        hints = near_requests(reason, request, engine.policy.servers)
    if reason is not None and server is not None and isinstance(token, str):
        parsed = parse_token(token, engine.policy.token_max_bytes)
        if isinstance(parsed, UnverifiedToken):
            wanted = _wanted(decision, server)
            hints += near_misses(reason, server, parsed, wanted, now, servers=engine.policy.servers)
    steps = tuple(_with_source(step, request, calls) for step in trace.steps)
    return Explanation(steps, decision, hints)


def _missing(need: NeedKeys, keys: KeySets, failing: Collection[str]) -> Reason:
    """What ``serve`` says of a key that is not there, having asked the token's own issuer."""
    key_set = keys.get(need.issuer)
    if key_set is None:
        return Reason.KEYS_UNAVAILABLE
    # One that is there is of another algorithm: then nobody is asked.
    known = need.kid is None or key_set.has(need.kid)
    return Reason.UNKNOWN_KEY if known or need.issuer not in failing else Reason.KEYS_UNAVAILABLE


def _with_source(step: Step, request: Request, calls: Calls) -> Step:
    """Say of the call who told it, and what another proxy would have told."""
    if step.check != "call":
        return step
    source = source_of(request)
    if source == "none":
        return replace(step, hint=_NOT_ASKED if calls == "mcp" else _NO_CALLS)
    if not step.passed:
        return step
    hint = _OTHER_PROXIES if source == "mcp" else ""
    return replace(step, found=step.found + _TOLD_BY[source], hint=hint)


def _server_of(engine: Engine, decision: Decision) -> Server | None:
    return next((s for s in engine.policy.servers if s.name == decision.server), None)


def _wanted(decision: Decision, server: Server) -> tuple[str, ...]:
    """The scopes of the operation, as the challenge lists them."""
    if isinstance(decision, Deny):
        challenge = dict(decision.headers).get("www-authenticate", "")
        _, found, rest = challenge.partition('scope="')
        if found:
            return tuple(rest.partition('"')[0].split(" "))
    return server.scopes

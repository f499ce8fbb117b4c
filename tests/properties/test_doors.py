"""One request gets one answer, whichever door it comes through."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.adapters.envoy import to_request, to_response
from extauthz.adapters.forward_auth import from_envoy, from_forwarder, from_nginx
from extauthz.adapters.http_message import HttpRequest
from extauthz.adapters.http_reply import to_envoy, to_forwarder, to_nginx
from extauthz.core.model import Allow, Decision, Deny, Reason, Refusal, Request
from tests.attacks.doors import check_request, joined
from tests.attacks.table import Sent
from tests.policies import engine_for_tests, key_sets
from tests.properties.requests import GOOD, TOKENS
from tests.tokens import NOW

ENGINE = engine_for_tests()
KEYS = key_sets()

_HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["Origin", "Accept", "Mcp-Method", "X-Auth-Subject", "X-Request-Id"]),
        st.sampled_from(["https://app.example.com", "https://evil.example", "tools/call", "x"]),
    ),
    max_size=2,
)
_PLAIN_TOKENS = TOKENS.filter(lambda text: text.isascii() and text.isprintable())
_SENT = st.builds(
    lambda token, method, target, host, headers, body: Sent(
        token=token, method=method, target=target, host=host, headers=tuple(headers), body=body
    ),
    st.one_of(st.none(), GOOD, GOOD, _PLAIN_TOKENS),
    st.sampled_from(["POST", "GET", "DELETE", "OPTIONS"]),
    st.sampled_from(
        ["/notes/mcp", "/calculator/mcp", "/audited/mcp", "/notes/public/x", "/notes//mcp",
         "/notes/mcp?x=1", "/x", "/.well-known/oauth-protected-resource/notes/mcp"]
    ),
    st.sampled_from(["mcp.example.com", "MCP.example.com:443", "other.example", "a,b", ""]),
    _HEADERS,
    st.one_of(
        st.none(),
        st.sampled_from(
            [{"method": "tools/list"}, {"method": "tools/call", "params": {"name": "danger_x"}}, []]
        ).map(lambda message: json.dumps(message).encode()),
    ),
)  # fmt: skip


def decided(request: Request | Refusal) -> Decision:
    assert isinstance(request, Request), request
    found = ENGINE.decide(
        replace(request, in_band=False), KEYS, now=NOW, missing_key=Reason.UNKNOWN_KEY
    )
    assert isinstance(found, Allow | Deny)
    return found


def told(sent: Sent, prefix: str, uri: str) -> HttpRequest:
    headers, repeated = joined(sent.lines())
    own = {uri: sent.target, "method": sent.method, "host": sent.host, "proto": "https"}
    headers |= {f"{prefix}{name}": value for name, value in own.items()}
    return HttpRequest("GET", "/auth/x", headers, repeated, "127.0.0.1", sent.body or b"")


def essence(decision: Decision) -> Any:
    if isinstance(decision, Allow):
        public = decision.token is None and decision.audited is None
        return ("allow", decision.server, decision.headers, decision.client_headers, public)
    assert isinstance(decision, Deny)
    return (decision.reason, decision.status, decision.headers, decision.body)


@settings(max_examples=int(os.environ.get("EXTAUTHZ_EXAMPLES", "150")))
@given(_SENT)
def test_every_door_understands_a_request_alike(sent: Sent) -> None:
    over_grpc = decided(to_request(check_request(sent, raw=True)))
    over_nginx = decided(from_nginx(told(sent, "x-original-", "uri")))
    forwarded = decided(from_forwarder(told(sent, "x-forwarded-", "uri")))
    assert essence(over_nginx) == essence(over_grpc) == essence(forwarded)
    headers, repeated = joined(sent.lines())
    merged = HttpRequest(
        sent.method, sent.target, headers | {"host": sent.host}, frozenset(repeated), None,
        sent.body or b"",
    )  # fmt: skip
    assert essence(decided(from_envoy(merged, sent.target))) == essence(over_grpc)


@settings(max_examples=int(os.environ.get("EXTAUTHZ_EXAMPLES", "150")))
@given(_SENT)
def test_every_door_tells_the_client_the_same(sent: Sent) -> None:
    decision = decided(to_request(check_request(sent, raw=True)))
    grpc, forward, nginx = to_response(decision), to_forwarder(decision), to_nginx(decision)
    envoy = to_envoy(decision)
    if isinstance(decision, Allow):
        assert grpc.status.code == 0
        assert forward.status == nginx.status == envoy.status == 200
        sent_on = [(one.header.key, one.header.value) for one in grpc.ok_response.headers]
        assert tuple(sent_on) == decision.headers
        for reply in (forward, nginx, envoy):
            assert set(decision.headers) <= set(reply.headers)
        return
    denied = grpc.denied_response
    assert grpc.status.code != 0
    assert denied.status.code == forward.status == envoy.status
    assert nginx.status in (401, 403)
    assert dict(nginx.headers)["x-extauthz-status"] == str(denied.status.code)
    assert denied.body.encode() == forward.body == nginx.body == envoy.body
    challenge = [one.header.value for one in denied.headers if one.header.key == "www-authenticate"]
    for reply in (forward, nginx, envoy):
        assert [value for name, value in reply.headers if name == "www-authenticate"] == challenge

"""One table of requests; the engine, the gRPC door and the HTTP door must agree on each.

The gRPC door is asked with raw header lines and with joined ones, the HTTP door as nginx, as
a forward-auth proxy and as Envoy ask it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from extauthz.adapters.envoy import to_request
from extauthz.core.challenge import status_of
from extauthz.core.model import Allow, Answer, Deny, Reason, Request
from extauthz.core.policy import IDENTITY_HEADERS
from tests.adapters.doors import (
    Asked,
    Doors,
    Keys,
    authorizer,
    check_request,
    header_options,
    open_doors,
    reason_in,
)
from tests.e2e.rawhttp import Response
from tests.policies import MODERN, ORIGIN, OTHER_ISSUER, SERVERS, compiled, document, other_signer
from tests.tokens import ABSENT, CALCULATOR, NOTES, NOW, mint, renamed, signer

R = Reason
EXTRA: list[dict[str, Any]] = [
    {
        "name": "headers",
        "resource": "https://mcp.example.com/headers/mcp",
        "match": {"hosts": ["mcp.example.com"], "paths": ["/headers"]},
        "issuers": ["corp"],
        "tools": {"add": "allow"},
        "header_versions": [MODERN],
    },
    {
        "name": "stream",
        "resource": "https://mcp.example.com/stream/mcp",
        "match": {"hosts": ["mcp.example.com"], "paths": ["/stream"]},
        "issuers": ["corp"],
        "forward": {"token": "keep", "stream_lease": "token"},
    },
    {
        "name": "alone",
        "resource": "https://alone.example.com",
        "issuers": ["corp"],
        "origins": ["*"],
    },
]
POLICY = compiled(document(servers=[*SERVERS, *EXTRA]))
GRPC_CODES = {200: 7, 204: 7, 307: 7, 404: 5, 400: 3, 401: 16, 403: 7, 503: 14}


def bearer(text: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {text}")


def good(**changes: Any) -> tuple[str, str]:
    return bearer(mint(changes))


def headed(**header: Any) -> tuple[str, str]:
    return bearer(mint(header=header))


def calc(call: str = "add", scope: str = "calculator calculator.add") -> Asked:
    """A call of a calculator's tool, with the body."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": call}}
    return Asked(
        (good(aud=CALCULATOR, scope=scope), ("Accept", "application/json, text/event-stream")),
        target="/calculator/mcp",
        body=json.dumps(message).encode(),
    )


def told(method: str = "tools/call", **more: Any) -> dict[str, Any]:
    """What Envoy's MCP filter says of a good call of ``add``."""
    return {"is_mcp_request": True, "method": method, "params": {"name": "add"}, **more}


def filtered(said: dict[str, Any], *lines: tuple[str, str]) -> Asked:
    one = good(aud=CALCULATOR, scope="calculator calculator.add")
    return Asked((one, *lines), target="/calculator/mcp", mcp=said)


def modern(*lines: tuple[str, str]) -> Asked:
    """A call of the server that believes Mcp headers of MODERN."""
    one = good(aud="https://mcp.example.com/headers/mcp")
    return Asked((one, ("MCP-Protocol-Version", MODERN), *lines), target="/headers/mcp")


GOOD = Asked((good(),))
OPEN = Asked(target="/notes/health", method="GET")
TOKEN = GOOD.lines[0][1].removeprefix("Bearer ")
CALL = ("Mcp-Method", "tools/call")

PREFLIGHT = (("Origin", ORIGIN), ("Access-Control-Request-Method", "POST"))
METADATA = "/.well-known/oauth-protected-resource"

Want = Reason | int | str
"""A reason of refusal, the status of an answer in the server's place, or a server that allows."""

CASES: dict[str, tuple[Asked, Want]] = {
    # ---- allowed
    "a good token": (GOOD, "notes"),
    "GET": (Asked(GOOD.lines, method="GET"), "notes"),
    "an unknown method": (Asked(GOOD.lines, method="DELETE"), "notes"),
    "a query": (Asked(GOOD.lines, target="/notes/mcp?x=1&y=/../z"), "notes"),
    "an escape of a letter": (Asked(GOOD.lines, target="/n%6ftes/mcp"), "notes"),
    "host in capitals with a port": (Asked(GOOD.lines, host="MCP.Example.com:8443"), "notes"),
    "host with a final dot": (Asked(GOOD.lines, host="mcp.example.com."), "notes"),
    "blanks around the token": (Asked((("Authorization", f" \t Bearer  {TOKEN}\t "),)), "notes"),
    "scheme in capitals": (Asked((("AUTHORIZATION", f"BEARER {TOKEN}"),)), "notes"),
    "RS256": (Asked((bearer(mint(key=signer("RS256"))),)), "notes"),
    "EdDSA": (Asked((bearer(mint(key=signer("EdDSA"))),)), "notes"),
    "another issuer": (
        Asked((bearer(mint({"iss": OTHER_ISSUER}, key=other_signer())),)),
        "notes",
    ),
    "an odd subject": (Asked((good(sub="zoë, 100%"),)), "notes"),
    "the server named": (Asked(GOOD.lines, server="notes"), "notes"),
    "a public path": (OPEN, "notes"),
    "below a public prefix": (Asked(target="/notes/public/a/b", method="GET"), "notes"),
    "a public path with a bad token": (Asked((bearer("x"),), target="/notes/health"), "notes"),
    "an allowed origin": (GOOD.plus(("Origin", ORIGIN)), "notes"),
    "the resource's own origin": (GOOD.plus(("Origin", "https://mcp.example.com")), "notes"),
    "OPTIONS that is no preflight": (Asked(GOOD.lines, method="OPTIONS"), "notes"),
    "audited, no token": (Asked(target="/audited/mcp"), "audited"),
    "audited, expired": (Asked((good(exp=1, scope="audited"),), target="/audited/mcp"), "audited"),
    "a stream": (
        Asked((good(aud="https://mcp.example.com/stream/mcp"),), target="/stream/mcp"),
        "stream",
    ),
    "any origin": (
        Asked(
            (good(aud="https://alone.example.com/"), ("Origin", "null")),
            host="alone.example.com",
            target="/x",
        ),
        "alone",
    ),
    "a tool by its body": (calc(), "calculator"),
    "a tool by the MCP filter": (filtered(told()), "calculator"),
    "a notification": (filtered(told("notifications/initialized")), "calculator"),
    "Mcp headers that are believed": (modern(CALL, ("Mcp-Name", "add")), "headers"),
    "Mcp-Name in base64": (modern(CALL, ("Mcp-Name", "=?base64?YWRk?=")), "headers"),
    # ---- credentials
    "no token": (Asked(), R.MISSING_TOKEN),
    "no token, MCP client": (Asked((("Accept", "text/event-stream"),)), R.MISSING_TOKEN),
    "Basic": (Asked((("Authorization", "Basic YTpi"),)), R.MISSING_TOKEN),
    "empty Bearer": (Asked((("Authorization", "Bearer "),)), R.MISSING_TOKEN),
    "a token in the query": (Asked(target=f"/notes/mcp?access_token={TOKEN}"), R.MISSING_TOKEN),
    "a cookie": (Asked((("Cookie", f"authorization=Bearer {TOKEN}"),)), R.MISSING_TOKEN),
    "two tokens": (Asked((GOOD.lines[0], GOOD.lines[0])), R.MALFORMED_REQUEST),
    "Basic and Bearer": (Asked((("Authorization", "Basic x"), good())), R.MALFORMED_REQUEST),
    "joined tokens": (Asked((bearer(f"{TOKEN},Bearer {TOKEN}"),)), R.MALFORMED_REQUEST),
    "an opaque token": (Asked((bearer("abc"),)), R.MALFORMED_TOKEN),
    "é in the token": (Asked((bearer(TOKEN + "é"),)), R.MALFORMED_TOKEN),
    "a token too large": (Asked((good(pad="x" * 13000),)), R.TOKEN_TOO_LARGE),
    "alg none": (Asked((headed(alg="none"),)), R.UNSUPPORTED_ALGORITHM),
    "HS256": (Asked((headed(alg="HS256"),)), R.UNSUPPORTED_ALGORITHM),
    "a stranger's token": (Asked((good(iss="https://evil.example"),)), R.UNKNOWN_ISSUER),
    "an unknown kid": (Asked((headed(kid="nobody"),)), R.UNKNOWN_KEY),
    "keys unavailable": (
        Asked((bearer(mint({"iss": OTHER_ISSUER}, header={"kid": "new"})),)),
        R.KEYS_UNAVAILABLE,
    ),
    "the wrong signature": (
        Asked((bearer(mint(key=renamed(signer("ES256", "x"), "es256"))),)),
        R.BAD_SIGNATURE,
    ),
    "an ID token": (Asked((headed(typ="id+jwt"),)), R.WRONG_TOKEN_TYPE),
    "for another server": (Asked((good(aud=CALCULATOR),)), R.WRONG_AUDIENCE),
    "audience with a slash": (Asked((good(aud=NOTES + "/"),)), R.WRONG_AUDIENCE),
    "expired": (Asked((good(exp=NOW - 30),)), R.TOKEN_EXPIRED),
    "just not expired": (Asked((good(exp=NOW - 29),)), "notes"),
    "not yet valid": (Asked((good(nbf=NOW + 31),)), R.TOKEN_NOT_YET_VALID),
    "no exp": (Asked((good(exp=ABSENT),)), R.MISSING_CLAIM),
    "no aud": (Asked((good(aud=ABSENT),)), R.MISSING_CLAIM),
    "bound": (Asked((good(cnf={"jkt": "x"}),)), R.BINDING_MISMATCH),
    "a control character in sub": (Asked((good(sub="a\nb"),)), R.MALFORMED_TOKEN),
    # ---- rules and calls
    "a scope is missing": (Asked((good(scope="other"),)), R.INSUFFICIENT_SCOPE),
    "a tool's scope is missing": (calc(scope="calculator"), R.INSUFFICIENT_SCOPE),
    "a denied tool": (calc("danger_wipe"), R.DENIED_BY_RULE),
    "a POST that nobody verified": (
        Asked((good(aud=CALCULATOR, scope="calculator"),), target="/calculator/mcp"),
        R.UNVERIFIED_CALL,
    ),
    "Mcp headers nobody believes": (
        Asked(
            (good(aud=CALCULATOR, scope="calculator"), CALL, ("Mcp-Name", "add")),
            target="/calculator/mcp",
        ),
        R.UNVERIFIED_CALL,
    ),
    "two names": (modern(CALL, ("Mcp-Name", "add"), ("Mcp-Name", "rm")), R.MALFORMED_REQUEST),
    "a name that is no base64": (
        modern(CALL, ("Mcp-Name", "=?base64?YWR?=")),
        R.MALFORMED_REQUEST,
    ),
    "a tool of no rule by header": (modern(CALL, ("Mcp-Name", "rm")), R.DENIED_BY_RULE),
    "header and body differ": (calc().plus(("Mcp-Name", "subtract")), R.SOURCE_MISMATCH),
    "filter and header differ": (filtered(told(), ("Mcp-Method", "ping")), R.SOURCE_MISMATCH),
    "filter passed it through": (
        filtered(told(passthrough_reason="mcp_not_jsonrpc")),
        R.UNVERIFIED_CALL,
    ),
    "filter met its limit": (filtered(told(is_exceeding_limit=True)), R.UNVERIFIED_CALL),
    "a batch": (Asked(calc().lines, target="/calculator/mcp", body=b"[]"), R.BATCH_REFUSED),
    "a body cut short": (
        Asked(calc().lines, target="/calculator/mcp", body=calc().body, truncated=True),
        R.MALFORMED_REQUEST,
    ),
    "an empty body": (
        Asked(calc().lines, target="/calculator/mcp", body=b""),
        R.MALFORMED_REQUEST,
    ),
    # ---- where
    "a double slash": (Asked(GOOD.lines, target="//notes/mcp"), R.AMBIGUOUS_PATH),
    "a dot segment": (Asked(GOOD.lines, target="/notes/../notes/mcp"), R.AMBIGUOUS_PATH),
    "an escaped dot segment": (Asked(GOOD.lines, target="/notes/%2e%2e/x"), R.AMBIGUOUS_PATH),
    "an escaped slash": (Asked(GOOD.lines, target="/notes%2fmcp"), R.AMBIGUOUS_PATH),
    "a path parameter": (Asked(GOOD.lines, target="/notes/..;/mcp"), R.AMBIGUOUS_PATH),
    "a fragment": (Asked(GOOD.lines, target="/notes/mcp#/notes/health"), R.AMBIGUOUS_PATH),
    "no server there": (Asked(GOOD.lines, target="/other/mcp"), R.NO_MATCHING_SERVER),
    "a longer segment": (Asked(GOOD.lines, target="/notesx"), R.NO_MATCHING_SERVER),
    "another host": (Asked(GOOD.lines, host="evil.example.com"), R.NO_MATCHING_SERVER),
    "two hosts in one": (Asked(GOOD.lines, host="a.example,b"), R.MALFORMED_REQUEST),
    "the wrong server named": (Asked(GOOD.lines, server="calculator"), R.NO_MATCHING_SERVER),
    "an unknown server named": (Asked(GOOD.lines, server="nobody"), R.NO_MATCHING_SERVER),
    "a server named by nothing": (Asked(GOOD.lines, server=""), R.NO_MATCHING_SERVER),
    # ---- browsers
    "another origin": (GOOD.plus(("Origin", "https://evil.example")), R.BAD_ORIGIN),
    "origin null": (GOOD.plus(("Origin", "null")), R.BAD_ORIGIN),
    "a refusal to an allowed origin": (Asked((("Origin", ORIGIN),)), R.MISSING_TOKEN),
    "a preflight": (Asked(PREFLIGHT, method="OPTIONS"), 204),
    "a preflight of a stranger": (
        Asked((("Origin", "https://evil.example"), PREFLIGHT[1]), method="OPTIONS"),
        204,
    ),
    # ---- documents
    "metadata": (Asked(method="GET", target=f"{METADATA}/notes/mcp"), 200),
    "metadata, HEAD": (Asked(method="HEAD", target=f"{METADATA}/notes/mcp"), 200),
    "metadata at the root": (
        Asked(method="GET", target=METADATA, host="alone.example.com"),
        200,
    ),
    "metadata at a shared root": (Asked(method="GET", target=METADATA), 404),
    "metadata of nobody": (Asked(method="GET", target=f"{METADATA}/nobody"), 404),
    "the issuer's document": (
        Asked(
            method="GET",
            target="/.well-known/oauth-authorization-server",
            host="alone.example.com",
        ),
        307,
    ),
    "the issuers' documents": (
        Asked(method="GET", target="/.well-known/openid-configuration"),
        404,
    ),
    "/register": (Asked(method="POST", target="/register"), 404),
    "/token": (Asked(method="POST", target="/token"), 404),
}


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    with open_doors(POLICY) as opened:
        opened.keys.answers["other"] = R.KEYS_UNAVAILABLE
        yield opened


def cases(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [CASES[name] for name in names], ids=names)


every_case = cases(*CASES)
# Proxies other than Envoy over gRPC send no body and no metadata; only nginx names a server.
of_headers = cases(*(name for name, (asked, _) in CASES.items() if asked.by_headers))
of_headers_alone = cases(
    *(
        name
        for name, (asked, _) in CASES.items()
        if asked.by_headers and asked.server is None and asked.method != "HEAD"
    )
)


def test_the_table_has_every_reason_but_those_of_other_tests():
    met = {want for _, want in CASES.values() if isinstance(want, Reason)}
    # An untrusted peer and a revoked token have no place in this table.
    assert set(Reason) - met == {R.UNTRUSTED_PROXY, R.REVOKED}
    assert len(CASES) >= 60


@every_case
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "joined"])
async def test_the_engine(case: tuple[Asked, Want], raw: bool):
    asked, want = case
    request = to_request(check_request(asked, raw=raw))
    assert isinstance(request, Request)
    keys = Keys()
    keys.answers["other"] = R.KEYS_UNAVAILABLE
    door = authorizer(POLICY, keys)
    decision = await door.check(request, "none")
    match decision:
        case Allow():
            assert want == decision.server
            set_ = {name for name, _ in decision.headers}
            assert set_.isdisjoint(decision.remove)
            assert set_.union(decision.remove) >= set(IDENTITY_HEADERS)
        case Deny():
            assert want == decision.reason
        case Answer():
            assert want == decision.status


@every_case
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "joined"])
def test_the_grpc_door(doors: Doors, case: tuple[Asked, Want], raw: bool):
    asked, want = case
    reply = doors.check(check_request(asked, raw=raw))
    about = {name: value.string_value for name, value in reply.dynamic_metadata.fields.items()}
    assert reply.HasField("status")
    if isinstance(want, str) and not isinstance(want, Reason):
        assert reply.status.code == 0
        set_ = header_options(reply.ok_response.headers)
        removed = set(reply.ok_response.headers_to_remove)
        assert set_.keys().isdisjoint(removed)
        assert set_.keys() | removed >= set(IDENTITY_HEADERS)
        assert about["server"] == want
        return
    denied = reply.denied_response
    headers = header_options(denied.headers)
    assert reply.WhichOneof("http_response") == "denied_response"
    if isinstance(want, Reason):
        assert (about["reason"], reason_in(denied.body)) == (want.value, want.value)
        assert denied.status.code == status_of(want)
        _is_a_refusal(want, denied.status.code, headers)
    else:
        assert denied.status.code == want
        assert reply.status.code != 0
        assert bool(denied.body) == (want in (200, 404) and asked.method != "HEAD")
    assert reply.status.code == GRPC_CODES[denied.status.code]


@of_headers
def test_nginx(doors: Doors, case: tuple[Asked, Want]):
    """200, 401 and 403 only; what else was wanted stands in two headers."""
    asked, want = case
    answer = doors.nginx(asked)
    assert answer.status in (200, 401, 403)
    if isinstance(want, int):
        want = R.NO_MATCHING_SERVER
    if _allowed(want, answer):
        return
    assert isinstance(want, Reason)
    status = int(answer.get("x-extauthz-status") or 0)
    body = answer.get("x-extauthz-body") or ""
    assert (status, reason_in(body)) == (status_of(want), want.value)
    assert body.isascii()
    assert len(body) <= 1024
    assert body.encode() == answer.body
    assert answer.status == (401 if status == 401 else 403)
    _is_a_refusal(want, status, dict(answer.headers))


@of_headers_alone
def test_forward_auth(doors: Doors, case: tuple[Asked, Want]):
    asked, want = case
    _is_a_plain_verdict(doors.forward(asked), want)


@of_headers_alone
def test_envoys_http_flavour(doors: Doors, case: tuple[Asked, Want]):
    asked, want = case
    answer = doors.envoy(asked)
    _is_a_plain_verdict(answer, want)
    if answer.status == 200:
        set_ = {name for name, _ in answer.headers}
        removed = set((answer.get("x-envoy-auth-headers-to-remove") or "").split(","))
        assert set_.isdisjoint(removed)
        assert set_ | removed >= set(IDENTITY_HEADERS)


@of_headers
def test_the_http_listener_itself_answers_documents_and_preflights_only(
    doors: Doors, case: tuple[Asked, Want]
):
    asked, want = case
    answer = doors.direct(Asked(asked.lines, asked.method, asked.target, asked.host))
    if not isinstance(want, int):
        assert answer.status == 404
        assert not any(name.startswith("x-auth-") for name, _ in answer.headers)
        return
    assert answer.status == want
    by_grpc = doors.check(check_request(asked)).denied_response
    assert answer.body.decode() == by_grpc.body
    assert header_options(by_grpc.headers).items() <= dict(answer.headers).items()


def _is_a_plain_verdict(answer: Response, want: Want) -> None:
    if isinstance(want, int):
        want = R.NO_MATCHING_SERVER
    if _allowed(want, answer):
        return
    assert isinstance(want, Reason)
    assert (answer.status, reason_in(answer.body)) == (status_of(want), want.value)
    assert answer.get("x-extauthz-body") is None
    _is_a_refusal(want, answer.status, dict(answer.headers))


def _allowed(want: Want, answer: Response) -> bool:
    if isinstance(want, Reason):
        return False
    assert answer.status == 200
    assert answer.body == b""
    if want != "audited":
        assert answer.get("x-auth-server") == want
    return True


def _is_a_refusal(reason: Reason, status: int, headers: dict[str, str]) -> None:
    """Contract, section 8: which refusals carry a challenge, and of which kind."""
    challenge = headers.get("www-authenticate", "")
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert ("retry-after" in headers) == (status == 503)
    if reason is R.MALFORMED_REQUEST:
        assert challenge == "" or 'error="invalid_request"' in challenge
    elif status == 401:
        assert challenge.startswith("Bearer ")
        assert ("error=" in challenge) == (reason is not R.MISSING_TOKEN)
        assert METADATA in challenge
    else:
        assert ("insufficient_scope" in challenge) == (reason is R.INSUFFICIENT_SCOPE)
        assert (challenge == "") == (reason is not R.INSUFFICIENT_SCOPE)

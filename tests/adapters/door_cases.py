"""The table of requests that every door must judge alike."""

from __future__ import annotations

import json
from typing import Any

from extauthz.core.model import Reason
from tests.adapters.doors import Asked
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
        "name": "inner",
        "resource": "https://mcp.example.com/stream/inner/mcp",
        "match": {"hosts": ["mcp.example.com"], "paths": ["/stream/inner"]},
        "issuers": ["corp"],
        "scopes": ["inner"],
    },
    {
        "name": "alone",
        "resource": "https://alone.example.com",
        "issuers": ["corp"],
        "origins": ["*"],
    },
]
POLICY = compiled(document(servers=[*SERVERS, *EXTRA]))


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


def within(server: str | None, *, audience: str = "stream/inner", scope: str = "inner") -> Asked:
    """A request to the server whose match lies within another server's."""
    one = good(aud=f"https://mcp.example.com/{audience}/mcp", scope=scope)
    return Asked((one,), target="/stream/inner/mcp", server=server)


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
    "a server within another": (within(None), "inner"),
    "the inner server named": (within("inner"), "inner"),
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
    "just not expired": (Asked((good(exp=NOW - 29, iat=ABSENT),)), "notes"),
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
    "the outer server named": (within("stream"), R.NO_MATCHING_SERVER),
    "the outer server named, with its token": (
        within("stream", audience="stream"),
        R.NO_MATCHING_SERVER,
    ),
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

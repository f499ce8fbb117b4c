"""Rows 103-109: identity headers of the client's own, paths and hosts with two meanings."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.core.model import Reason
from tests.attacks.table import (
    ALLOW,
    ANSWER,
    ENGINE,
    FORWARD,
    GRPC,
    NGINX,
    SUBREQUESTS,
    Case,
    Sent,
    Stage,
    answered_no,
    asked,
    row,
)  # fmt: skip
from tests.tokens import ABSENT, with_member

MISSING = Reason.MISSING_TOKEN
REQUEST = Reason.MALFORMED_REQUEST
AMBIGUOUS = Reason.AMBIGUOUS_PATH
NOWHERE = Reason.NO_MATCHING_SERVER

SPOOF = "spoofed-by-the-client"

EXACT = ("X-Auth-Subject", "x-auth-subject", "X-AUTH-SUBJECT", "X-Auth-Scopes", "X-User-Email")
ALIKE = (
    "X_Auth_Subject", "x_auth_subject", "X-Auth_Subject", "x_auth-subject", "X.Auth.Subject",
    "X~Auth~Subject", "X-Auth-Anything", "X_AUTH_ANYTHING", "X_User_Email", "x_groups",
    "X-Auth-", "X+Auth+Subject", "X'auth'subject",
)  # fmt: skip


@row(103, "identity headers of the client's own, in every spelling")
def spoofed(stage: Stage) -> Iterator[Case]:
    with_claim = stage.mint({"email": "a@example.com", "groups": ["a"]})
    without = stage.mint({"sub": ABSENT, "jti": ABSENT, "iat": ABSENT, "client_id": ABSENT})
    alike_refused = answered_no((NGINX, FORWARD), REQUEST)
    for name in (*EXACT, *ALIKE):
        at = alike_refused if name in ALIKE else {}
        for label, lines in (
            ("once", ((name, SPOOF),)),
            ("twice", ((name, SPOOF), (name, SPOOF))),
            ("and in another case", ((name, SPOOF), (name.swapcase(), SPOOF))),
        ):
            for token in (with_claim, without):
                sent = Sent(token=token, headers=lines)
                yield asked(f"{name} {label} {token == without}", sent, ALLOW, at=at)
        public = Sent(headers=((name, SPOOF),), target="/notes/public/x", method="GET")
        yield asked(f"{name} on a public path", public, ALLOW, at=at)
        audited = Sent(headers=((name, SPOOF),), target="/audited/mcp")
        yield asked(f"{name} where refusals are only audited", audited, ALLOW, at=at)


@row(104, "Connection names an identity header, so that the proxy might drop ours")
def hop_by_hop(stage: Stage) -> Iterator[Case]:
    for name in ("Connection", "Keep-Alive", "TE", "Trailer", "Proxy-Connection"):
        lines = ((name, "x-auth-subject, x-auth-scopes, authorization"),)
        yield asked(name, Sent(token=stage.mint(), headers=lines), ALLOW)


@row(105, "claims that are to be forwarded and could not be")
def forwarded(stage: Stage) -> Iterator[Case]:
    for odd in ("a\rb", "a\nb", "a\r\nX-Auth-Subject: root", "\0", "\x01", "\x7f", "\x85", "\x9f"):
        for claim in ({"email": odd}, {"email": [odd]}, {"groups": [odd]}, {"groups": {odd: 1}}):
            token = stage.mint(claim)
            yield asked(f"{claim}", Sent(token=token), Reason.MALFORMED_TOKEN)
    values: list[object] = [
        "\u010d\u010a", "\u560a\u560d", True, None, 7, 1.5, ["a,b", "c"], [["a"]], {"a": 1}, "",
        "x" * 8_000,
    ]  # fmt: skip
    for value in values:
        token = stage.mint({"email": value, "groups": value if value != "x" * 8_000 else []})
        yield asked(repr(value)[:30], Sent(token=token), ALLOW)
    token = stage.raw(with_member(stage.claims(), "email", '"' + "ü" * 3_000 + '"'))
    yield asked("too much once encoded", Sent(token=token), Reason.DENIED_BY_RULE)


AMBIGUOUS_PATHS = (
    "//notes/mcp", "/notes//mcp", "///", "/notes/mcp//", "/notes/./mcp", "/notes/.", "/notes/..",
    "/public/../notes/mcp", "/notes/public/../mcp", "/notes/public/%2e%2e/mcp",
    "/notes/public/.%2E/mcp", "/notes/public/..%2fmcp", "/notes%2Fmcp", "/notes/public%5c..%5cmcp",
    "/notes/public/%252e%252e/mcp", "/notes/mcp;x=1", "/notes/public/..;/mcp", "/notes;/mcp",
    "/notes\\mcp", "/notes/public/..\\mcp", "/notes/mcp%00", "/notes/mcp%0d%0a", "/notes/mcp%7f",
    "/notes/mcp#/notes/public/x", "/notes/public/x%23", "/notes/mcp%3f/notes/public",
    "/notes/public/%c0%ae%c0%ae/mcp", "/notes/public/%c0%af", "/notes/public/%e0%80%ae/x",
    "/notes/public/%f0%80%80%af", "/notes/public/%C2%85", "/notes/public/%80", "/notes/mcp%c2%9f",
    "/notes/%zz", "/notes/%", "/notes/%4", "/notes/m%", "/notes/mcp/%2e", "/%2e/notes/mcp",
    "/notes/caf\u00e9", "/notes/\uff0e\uff0e/mcp", "/notes/" + "a" * 70_000,
    "/notes/public/" + "a/" * 5_000,
)  # fmt: skip


@row(107, "paths with two meanings")
def paths(stage: Stage) -> Iterator[Case]:
    token = stage.mint()
    for path in AMBIGUOUS_PATHS:
        for given in (None, token):
            sent = Sent(token=given, target=path)
            yield asked(f"{path[:40]} {given is None}", sent, AMBIGUOUS)
    for path in ("http://mcp.example.com/notes/public/x", "https://x/notes/mcp", "*",
                 "mcp.example.com:443", "notes/public/x", ""):  # fmt: skip
        doors = (ENGINE, GRPC, NGINX, FORWARD)
        yield asked(repr(path), Sent(token=token, target=path), AMBIGUOUS, doors=doors)
    for path in ("/notes/public/x\0", "/notes/mcp\x01", "/notes/public/ x", "/notes/mcp\x7f"):
        sent = Sent(target=path)
        yield asked(repr(path), sent, AMBIGUOUS, REQUEST, doors=(ENGINE, GRPC, NGINX, FORWARD))
    for path in ("/notes/mcp?x=/notes/public/x", "/notes/mcp?/../notes/public/x",
                 "/notes/mcp?#/notes/public/x", "/notes/public", "/notes/publicx",
                 "/notes/Public/x", "/notes/health/x", "/notes/healthx", "/notes/%70ublicx",
                 "/notes/public%20/x"):  # fmt: skip
        yield asked(path, Sent(target=path), MISSING)
    for path in ("/Notes/mcp", "/NOTES/mcp", "/"):
        yield asked(path, Sent(token=token, target=path), NOWHERE)
    for path in ("/notes/public/x", "/notes/public/%78", "/notes/%70ublic/x", "/notes/health",
                 "/notes/public/x?y=/../z", "/notes/public/"):  # fmt: skip
        yield asked(path, Sent(target=path), ALLOW)


@row(108, "prefixes that end within a segment; metadata paths are no tunnel")
def borders(stage: Stage) -> Iterator[Case]:
    token = stage.mint()
    for path in ("/notesx/mcp", "/notes.mcp", "/notes-public/x", "/note", "/xnotes/mcp",
                 "/x/notes/mcp", "/.well-known/oauth-protected-resourcex",
                 "/.well-known/x/oauth-protected-resource/notes/mcp"):  # fmt: skip
        yield asked(path, Sent(token=token, target=path), NOWHERE)
    tunnel = "/.well-known/oauth-protected-resource/../../notes/mcp"
    yield asked(tunnel, Sent(target=tunnel), AMBIGUOUS)
    refused = answered_no(SUBREQUESTS, NOWHERE)
    for path in ("/.well-known/oauth-protected-resource/notes/mcp",
                 "/.well-known/oauth-protected-resource/notes/mcp/more",
                 "/.well-known/oauth-protected-resource",
                 "/.well-known/openid-configuration/notes/mcp", "/register", "/token"):  # fmt: skip
        for method in ("GET", "POST"):
            sent = Sent(token=token, target=path, method=method)
            yield asked(f"{method} {path}", sent, ANSWER, at=refused)


@row(109, "hosts in other spellings, two hosts, no host")
def hosts(stage: Stage) -> Iterator[Case]:
    token = stage.mint()
    same = ("MCP.EXAMPLE.COM", "mcp.example.com.", "mcp.example.com:443", "Mcp.Example.Com.:8443",
            "mcp.example.com:1")  # fmt: skip
    for host in same:
        yield asked(host, Sent(token=token, host=host), ALLOW)
    none = ("", "a,b", "mcp.example.com,mcp.example.com", "user@mcp.example.com",
            "mcp.example.com:x", "mcp.example.com:", "mcp.example.com:0", "mcp.example.com:99999",
            "mcp.example.com/notes", "mcp example.com", "mcp..example.com", ".mcp.example.com",
            "mcp.example.com..", "[::1", "::1", "mcp.example.com#x", "mcp%2eexample.com",
            "m\u212ap.example.com", "mcp.example.com\u3002", "x" * 300)  # fmt: skip
    for host in none:
        sent = Sent(token=token, host=host)
        yield asked(repr(host)[:40], sent, REQUEST, NOWHERE)
    for host in ("[::1]", "[::1]:8080", "127.0.0.1", "other.example.com", "example.com",
                 "x.mcp.example.com", "localhost"):  # fmt: skip
        yield asked(host, Sent(token=token, host=host), NOWHERE)

"""Rows 97-102, 110-113: where a token is looked for, and what is no way around it."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.core.model import Reason
from tests.attacks.table import (
    ALLOW,
    ANSWER,
    SUBREQUESTS,
    Case,
    Lines,
    Sent,
    Stage,
    answered_no,
    asked,
    row,
)  # fmt: skip
from tests.policies import ORIGIN, SERVERS, document
from tests.tokens import CALCULATOR

MISSING = Reason.MISSING_TOKEN
MALFORMED = Reason.MALFORMED_TOKEN
REQUEST = Reason.MALFORMED_REQUEST


def with_value(value: str | bytes, *more: str | bytes) -> Sent:
    return Sent(headers=tuple(("Authorization", one) for one in (value, *more)))


@row(97, "several credentials, in lines or joined by the proxy")
def several(stage: Stage) -> Iterator[Case]:
    good, basic = f"Bearer {stage.mint()}", "Basic dXNlcjpwYXNz"
    other = "Bearer x.y.z"
    for first, second in ((good, other), (other, good), (good, good), (basic, good), (good, basic)):
        label = f"{first[:6]} {second[:6]} {first == second}"
        yield asked(f"lines {label}", with_value(first, second), REQUEST)
        for comma in (",", ", ", ",\t"):
            joined = with_value(f"{first}{comma}{second}")
            yield asked(f"joined {label} {comma!r}", joined, REQUEST)
    yield asked("lower case", with_value(f"{basic}, {good.lower()}"), REQUEST)
    # Without raw headers Envoy leaves an empty line out, and there is nothing in it.
    left_out = {"real envoy-bare": frozenset({ALLOW})}
    yield asked("an empty second", with_value(good, ""), REQUEST, at=left_out)


@row(98, "the scheme in any case, several spaces")
def schemes(stage: Stage) -> Iterator[Case]:
    for scheme in ("Bearer", "bearer", "BEARER", "bEaReR"):
        for blanks in (" ", "    "):
            sent = with_value(f"{scheme}{blanks}{stage.mint()}")
            yield asked(f"{scheme}{len(blanks)}", sent, ALLOW)


@row(99, "other separators than a space")
def separators(stage: Stage) -> Iterator[Case]:
    token = stage.mint()
    for separator in ("\t", "\xa0", "\u3000", "\x85", "\x1f", "\x0b", "\x0c", "\x1c", "\u2003"):
        for value in (f"Bearer{separator}{token}", f"Bearer {separator}{token}"):
            yield asked(repr(value[:9]), with_value(value), MALFORMED, REQUEST)


@row(100, "credentials that are none")
def no_credentials(stage: Stage) -> Iterator[Case]:
    token = stage.mint()
    for value in ("Bearer", "Bearer ", "", "bearer   ", token, f"Token {token}", f"JWT {token}",
                  "Basic dXNlcjpwYXNz", f"DPoP {token}", "Negotiate x",
                  f"Bearerx {token}"):  # fmt: skip
        yield asked(repr(value[:9]), with_value(value), MISSING)
    for value in (f'Bearer "{token}"', f"Bearer <{token}>", f"Bearer token={token}",
                  f"Bearer Bearer {token}", f"Bearer={token}", f"Bearer:{token}",
                  f"Bearer: {token}", f"Bearer ={token}"):  # fmt: skip
        yield asked(repr(value[:14]), with_value(value), MALFORMED)
    yield asked("no header", Sent(), MISSING)


@row(101, "bytes that no header may hold, and letters that look like others")
def odd_bytes(stage: Stage) -> Iterator[Case]:
    token = stage.mint().encode()
    values = [
        b"Bearer " + token + b"\0", b"Bearer\0 " + token, b"Bearer " + token + b"\r\nx: y",
        b"Bearer " + token[:20] + b"!" + token[20:], b"Bearer \xe9" + token,
        b"Bearer " + token + b"\xff", "Βearer ".encode() + token, "Bearеr ".encode() + token,
        "ＢＥＡＲＥＲ ".encode() + token, b"Bearer " + token + b"\x7f",
    ]  # fmt: skip
    for value in values:
        yield asked(f"{value[:10]!r}{value[-3:]!r}", with_value(value), MALFORMED, REQUEST)


@row(102, "a token anywhere but in Authorization")
def elsewhere(stage: Stage) -> Iterator[Case]:
    token = stage.mint()
    lines: list[Lines] = [
        (("Cookie", f"access_token={token}"),),
        (("Cookie", f"Authorization=Bearer {token}"),),
        (("X-Forwarded-Access-Token", token),),
        (("Proxy-Authorization", f"Bearer {token}"),),
        (("X-Auth-Request-Access-Token", token),),
        (("X-Authorization", f"Bearer {token}"),),
    ]
    for line in lines:
        # These doors refuse what looks like an identity header before they look for a token.
        at = {door: frozenset({MISSING, REQUEST}) for door in ("nginx", "forward")}
        yield asked(line[0][0], Sent(headers=line), MISSING, at=at)
    for query in (f"access_token={token}", f"x=1&access_token={token}", f"token={token}"):
        yield asked(f"query {query[:9]}", Sent(target=f"/notes/mcp?{query}"), MISSING)
    body = f"access_token={token}".encode()
    form = Sent(headers=(("Content-Type", "application/x-www-form-urlencoded"),), body=body)
    yield asked("body", form, MISSING)
    for query in (f"access_token={token}", "access_token=", f"a=b&access_token={token}",
                  f"access%5Ftoken={token}", f"a=b&%61ccess%5ftoken={token}"):  # fmt: skip
        both = Sent(token=token, target=f"/notes/mcp?{query}")
        yield asked(f"header and query {query[:14]}", both, REQUEST)


@row(110, "headers that name another request than the one that was made")
def renamed_requests(stage: Stage) -> Iterator[Case]:
    for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path", "X-Forwarded-Prefix",
                 "X-Override-URL", "X-Envoy-Original-Path"):  # fmt: skip
        sent = Sent(headers=((name, "/notes/public/x"),))
        yield asked(name, sent, MISSING)
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        yield asked(name, Sent(headers=((name, "OPTIONS"),)), MISSING)
    # The names that one proxy's door reads, sent by the client of another or beside our own.
    doubled = answered_no(("nginx",), REQUEST)
    for name, value in (
        ("X-Original-URI", "/notes/public/x"),
        ("X-Original-Method", "OPTIONS"),
        ("X-Original-Host", "other.example"),
    ):
        yield asked(name, Sent(headers=((name, value),)), MISSING, at=doubled)
    doubled = answered_no(("forward",), REQUEST)
    for name, value in (
        ("X-Forwarded-Uri", "/notes/public/x"),
        ("X-Forwarded-Method", "OPTIONS"),
        ("X-Forwarded-Host", "other.example"),
    ):
        yield asked(name, Sent(headers=((name, value),)), MISSING, at=doubled)
    named = Sent(headers=(("X-Mcp-Server", "notes"),), target="/calculator/mcp")
    outside = answered_no(("nginx",), Reason.NO_MATCHING_SERVER)
    yield asked("X-Mcp-Server", named, MISSING, at=outside)


@row(111, "headers of those who are never asked elsewhere")
def privileged(stage: Stage) -> Iterator[Case]:
    for name, value in (
        ("User-Agent", "kube-probe/1.31"), ("User-Agent", "ELB-HealthChecker/2.0"),
        ("User-Agent", "GoogleHC/1.0"), ("X-Forwarded-For", "127.0.0.1"),
        ("X-Real-IP", "127.0.0.1"), ("Forwarded", "for=127.0.0.1;host=localhost"),
        ("X-Envoy-Internal", "true"), ("X-Envoy-External-Address", "127.0.0.1"),
        ("X-Forwarded-Client-Cert", 'By=spiffe://a;Hash=x;Subject="CN=root"'),
        ("X-Forwarded-User", "root"), ("X-Remote-User", "root"), ("Sec-Fetch-Site", "none"),
    ):  # fmt: skip
        yield asked(f"{name} {value[:10]}", Sent(headers=((name, value),)), MISSING)


@row(112, "methods: only a preflight is answered without a token", policy=True)
def methods(stage: Stage) -> Iterator[Case]:
    for method in ("OPTIONS", "HEAD", "TRACE", "CONNECT", "PUT", "PATCH", "FOO", "get", "options",
                   "PROPFIND", "M-SEARCH"):  # fmt: skip
        yield asked(method, Sent(method=method), MISSING)
    refused = answered_no(SUBREQUESTS, Reason.NO_MATCHING_SERVER)
    asking = (("Origin", ORIGIN), ("Access-Control-Request-Method", "POST"))
    yield asked("preflight", Sent(method="OPTIONS", headers=asking), ANSWER, at=refused)
    stranger = (("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST"))
    yield asked("a stranger's", Sent(method="OPTIONS", headers=stranger), ANSWER, at=refused)
    for odd in (asking[:1], asking[1:]):
        yield asked(f"half {odd[0][0]}", Sent(method="OPTIONS", headers=odd), MISSING)
    yield asked("POST", Sent(method="POST", headers=asking), MISSING)
    for origin in ("https://evil.example", "null", "", f"{ORIGIN}.evil.example", "https://APP.example.com",
                   f"{ORIGIN}, https://evil.example", "http://app.example.com"):  # fmt: skip
        sent = Sent(token=stage.mint(), headers=(("Origin", origin),))
        yield asked(f"origin {origin}", sent, Reason.BAD_ORIGIN)
    anywhere = document(servers=[SERVERS[0] | {"origins": ["*"]}, *SERVERS[1:]])
    for origin in ("https://any.example", "null", "chrome-extension://x", "!", "~"):
        sent = Sent(token=stage.mint(), headers=(("Origin", origin),))
        yield asked(f"any origin: {origin}", sent, ALLOW, config=anywhere)
    for origin in ("", "https://a.example\r\nX: y", "a\n", "a\0", "a b", "a\tb", "\x7f", "é"):
        sent = Sent(token=stage.mint(), headers=(("Origin", origin),))
        yield asked(f"no origin: {origin!r}", sent, Reason.BAD_ORIGIN, config=anywhere)
    # Rules for tools hold whatever the method is called.
    token = stage.mint({"aud": CALCULATOR, "scope": "calculator"})
    for method in ("post", "Post", "PUT", "PATCH", "TRACE", "FOO", "QUERY"):
        sent = Sent(token=token, method=method, target="/calculator/mcp")
        yield asked(f"{method} with rules", sent, Reason.UNVERIFIED_CALL)
    for method in ("GET", "HEAD", "DELETE", "OPTIONS"):
        sent = Sent(token=token, method=method, target="/calculator/mcp")
        yield asked(f"{method} with rules", sent, ALLOW)


@row(113, "upgrades and streams are requests like any other")
def upgrades(stage: Stage) -> Iterator[Case]:
    shapes: dict[str, Sent] = {
        "websocket": Sent(
            method="GET",
            headers=(
                ("Upgrade", "websocket"), ("Connection", "Upgrade"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("Sec-WebSocket-Protocol", "bearer, x"),
            ),
        ),
        "gRPC": Sent(headers=(("Content-Type", "application/grpc"), ("TE", "trailers"))),
        "events": Sent(method="GET", headers=(("Accept", "text/event-stream"),)),
        "resumed": Sent(method="GET", headers=(("Last-Event-ID", "1"), ("Mcp-Session-Id", "x"))),
        "end of session": Sent(method="DELETE", headers=(("Mcp-Session-Id", "x"),)),
    }  # fmt: skip
    for name, sent in shapes.items():
        yield asked(name, sent, MISSING)

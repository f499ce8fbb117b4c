"""What an intruder without a token tries: nothing of it may get through, and nothing break."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator

from extauthz.core.documents import RESOURCE_METADATA
from extauthz.core.model import Reason

from .catalogue import Code
from .examination import SPOOF, Examination
from .mcp import NOBODYS

_LONG = 15 * 1024
_TOO_LONG = 20 * 1024
_METHODS = ("GET", "HEAD", "DELETE", "PUT", "PATCH", "OPTIONS", "PROPFIND", "post", "Get")
_RENAMED = (
    "X-Original-URL",
    "X-Original-URI",
    "X-Original-Path",
    "X-Rewrite-URL",
    "X-Forwarded-Uri",
    "X-Forwarded-Path",
    "X-Forwarded-Prefix",
    "X-Envoy-Original-Path",
    "X-Envoy-Decorator-Operation",
)
_OWN_PATHS = ("/metrics", "/status", "/readyz", "/healthz")


def paths(exam: Examination) -> None:
    """No way of writing a path leads around the question."""
    with exam.report.step("no spelling of the path passes without a token"):
        for target in spellings(exam.edge.path, exam.edge.authority):
            for method in ("POST", "GET"):
                shown = target.decode("latin-1") if isinstance(target, bytes) else target
                what = f"{method} {shown}"
                exam.try_out(what, method=method, target=target, code=Code.OPEN_WITHOUT_TOKEN)


def spellings(path: str, authority: str) -> Iterator[str | bytes]:
    """Request targets that some server might read as ``path``."""
    first, slash, rest = path[1:].partition("/")
    escaped = f"/%{ord(first[:1] or '/'):02x}{first[1:]}{slash}{rest}"
    documents = RESOURCE_METADATA
    yield from (
        f"/{NOBODYS}/..{path}",
        f"/{NOBODYS}/%2e%2e{path}",
        f"/{NOBODYS}/..%2f{path[1:]}",
        f"/{NOBODYS}/..;{path}",
        f"/%2e%2e;{path}",
        f"{documents}/../..{path}",
        f"{documents}/%2e%2e/%2e%2e{path}",
        f"{documents}/..%2f..{path}",
        f"/register/..{path}",
        f"/token/..;{path}",
        f"/{path}",
        f"//{NOBODYS}{path}",
        path.replace("/", "//"),
        f"/.{path}",
        f"{path}/",
        f"{path}/.",
        f"{path}/../{rest.rpartition('/')[2] or first}",
        f"{path}%2f",
        f"{path}%00",
        f"{path}%20",
        f"{path};x=1",
        f"{path};/../public",
        f"{path}#/public",
        f"{path}%23",
        f"{path}%3f",
        f"{path}?access=/public/..",
        path.replace("/", "\\"),
        path.replace("/", "/%252e%252e/", 1),
        escaped,
        path.upper(),
        f"{path}%0d%0aX-Auth-Subject:%20{SPOOF}",
        path.encode() + b"\xe9",
        f"{path}%",
        f"{path}%zz",
        f"http://{authority}{path}",
        f"https://extauthz-doctor.invalid{path}",
        path.removeprefix("/") or "*",
        f"/_extauthz{path}",
        f"/_extauthz_preflight{path}",
        f"/auth/envoy{path}",
    )


def methods_and_hosts(exam: Examination) -> None:
    """Other methods, other hosts, and headers that some proxies take for the request line."""
    with exam.report.step("no method, host or forwarding header passes without a token"):
        for method in _METHODS:
            exam.try_out(f"method {method}", method=method, code=Code.OPEN_WITHOUT_TOKEN)
        for host in ("extauthz-doctor.invalid", f"{exam.edge.authority}, localhost", ""):
            exam.try_out(f"Host {host or 'missing'}", host=host, code=Code.OPEN_WITHOUT_TOKEN)
        lines = [("Host", "extauthz-doctor.invalid")]
        exam.try_out("two Host lines", lines, code=Code.OPEN_WITHOUT_TOKEN)
        open_path = f"{RESOURCE_METADATA}{exam.edge.path}"
        for name in _RENAMED:
            exam.try_out(f"{name}: {open_path}", [(name, open_path)], code=Code.OPEN_WITHOUT_TOKEN)
        for name, value in (
            ("X-Forwarded-Method", "OPTIONS"),
            ("X-Original-Method", "OPTIONS"),
            ("X-HTTP-Method-Override", "OPTIONS"),
            ("X-Forwarded-Host", "extauthz-doctor.invalid"),
            ("X-Original-Host", "extauthz-doctor.invalid"),
            ("X-Mcp-Server", NOBODYS),
            ("X-Forwarded-For", "127.0.0.1"),
            ("X-Envoy-Internal", "true"),
        ):
            exam.try_out(f"{name}: {value}", [(name, value)], code=Code.OPEN_WITHOUT_TOKEN)
        everything = [(name, SPOOF) for name in exam.expected.identity_names]
        exam.try_out("identity headers and no token", everything, code=Code.OPEN_WITHOUT_TOKEN)


def doors(exam: Examination) -> None:
    """Extauthz itself is not to be reached: neither its doors nor its admin listener."""
    with exam.report.step("extauthz itself cannot be reached through the edge"):
        for path in _OWN_PATHS:
            reply = exam.wire.send("GET", path)
            if reply.ok and not exam.is_elsewhere(reply) and b"extauthz" in reply.body:
                exam.found(Code.DOOR_EXPOSED, f"GET {path}: {reply}")
        asked = [
            (f"X-{word}-{name}", value)
            for word in ("Original", "Forwarded")
            for name, value in (
                ("Uri", f"/{NOBODYS}/../{NOBODYS}"),
                ("Method", "GET"),
                ("Host", exam.edge.authority),
                ("Proto", "https"),
            )
        ]
        for path in ("/auth/nginx", "/auth/forward"):
            for method in ("GET", "OPTIONS"):
                preflight = [("Origin", exam.edge.origin), ("Access-Control-Request-Method", "GET")]
                lines = asked if method == "GET" else [*asked, *preflight]
                reply = exam.wire.send(method, path, lines)
                # A door judges the path that it is told; the edge judges /auth/…, which is plain.
                if reply.reason == Reason.AMBIGUOUS_PATH or reply.get("x-extauthz-status"):
                    exam.found(Code.DOOR_EXPOSED, f"{method} {path}: {reply}")


def bad_tokens(exam: Examination) -> None:
    """Tokens that nobody issued, in every place and number."""
    with exam.report.step("no made-up token passes, in whatever place"):
        unsigned = made_up(exam, algorithm="none", signature=b"")
        for what, lines in (
            ("an empty token", [("Authorization", "Bearer ")]),
            ("nonsense", [("Authorization", "Bearer x")]),
            ("three parts of nonsense", [("Authorization", "Bearer a.b.c")]),
            ("an unsigned token", [("Authorization", f"Bearer {unsigned}")]),
            ("another scheme", [("Authorization", "Basic YTpi")]),
            ("Proxy-Authorization", [("Proxy-Authorization", f"Bearer {unsigned}")]),
            ("a cookie", [("Cookie", f"access_token={unsigned}; token={unsigned}")]),
        ):
            exam.try_out(what, lines, code=Code.BAD_TOKEN_TAKEN)
        exam.try_out(
            "a made-up token in the query",
            target=f"{exam.edge.path}?access_token={unsigned}",
            code=Code.BAD_TOKEN_TAKEN,
        )
        two = [("Authorization", "Bearer a.b.c"), ("Authorization", f"Bearer {unsigned}")]
        exam.try_out("two made-up tokens", two, code=Code.TWO_TOKENS_TAKEN)
        joined = [("Authorization", f"Bearer a.b.c, Bearer {unsigned}")]
        exam.try_out("two made-up tokens in a line", joined, code=Code.TWO_TOKENS_TAKEN)


def long_tokens(exam: Examination) -> None:
    """A long token is extauthz's to judge; one that is too long is refused by anybody."""
    with exam.report.step("a long token is judged by extauthz, not by the proxy"):
        long = [("Authorization", f"Bearer {'a' * _LONG}.b.c")]
        reply = exam.try_out("a token of 15 KiB", long, code=Code.BAD_TOKEN_TAKEN)
        # A refusal with a reason of extauthz's own got there, whatever its status.
        if reply.status != 401 and not reply.ok and reply.reason not in tuple(Reason):
            exam.found(Code.LONG_TOKEN_LOST, f"a token of 15 KiB: {reply}")
        longer = [("Authorization", f"Bearer {'a' * _TOO_LONG}.b.c")]
        exam.try_out("a token of 20 KiB", longer, code=Code.BAD_TOKEN_TAKEN)


def made_up(exam: Examination, algorithm: str = "ES256", signature: bytes | None = None) -> str:
    """A token in which all is right but the key: only its signature gives it away."""
    servers = exam.metadata.get("authorization_servers")
    issuer = servers[0] if isinstance(servers, list) and servers else "https://idp.invalid"
    scopes = exam.metadata.get("scopes_supported")
    claims = {
        "iss": issuer,
        "aud": exam.metadata.get("resource", exam.edge.url),
        "sub": SPOOF,
        "client_id": SPOOF,
        "iat": int(exam.now),
        "exp": int(exam.now) + 300,
        "scope": " ".join(map(str, scopes)) if isinstance(scopes, list) else "",
    }
    header = {"alg": algorithm, "typ": "at+jwt", "kid": f"{NOBODYS}-{os.urandom(6).hex()}"}
    parts = [json.dumps(header).encode(), json.dumps(claims).encode()]
    parts.append(os.urandom(64) if signature is None else signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)

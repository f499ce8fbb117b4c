"""Which URLs may stand where, and which headers a claim may be forwarded in."""

from __future__ import annotations

import pytest

from tests.config.desk import HEAD, TAIL, Desk, at_server


@pytest.mark.requirement("R1", "R12")
@pytest.mark.parametrize(
    ("resource", "problem"),
    [
        ("http://m.example/x", "is plain http; expected https; http is for loopback only"),
        ("/x", "is not an http(s) URL; expected an absolute URL such as https://host/path"),
        (
            "https://u:p@m.example/x",
            ("is not an http(s) URL; expected an absolute URL such as https://host/path"),
        ),
        (
            "https://m.example/x#y",
            ("has a query or a fragment; expected an absolute URL such as https://host/path"),
        ),
        (
            "https://m.example/x?y",
            ("has a query or a fragment; expected an absolute URL such as https://host/path"),
        ),
        ("https://m.example/%78", "escapes characters without need; expected https://m.example/x"),
        (
            "https://m.example//x",
            (
                "has more than one meaning; expected a path without //, dot "
                "segments, ; or escapes of such"
            ),
        ),
        (
            "https://m.example/../x",
            (
                "has more than one meaning; expected a path without //, dot "
                "segments, ; or escapes of such"
            ),
        ),
        (
            "ftp://m.example/x",
            ("is not an http(s) URL; expected an absolute URL such as https://host/path"),
        ),
        (
            "https://[::x]/x",
            ("is not an http(s) URL; expected an absolute URL such as https://host/path"),
        ),
        (
            "https://m.exämple/x",
            ("is not an http(s) URL; expected an absolute URL such as https://host/path"),
        ),
    ],
)
def test_resources(desk: Desk, resource: str, problem: str) -> None:
    (found,) = desk.problems(f"{HEAD}servers:\n  - resource: {resource}\n")
    assert found.startswith("5:15: servers[0].resource: ")
    assert found.endswith(problem)


@pytest.mark.requirement("R1")
@pytest.mark.parametrize("resource", ["http://localhost/x", "http://127.1.2.3:80", "http://[::1]/"])
def test_a_resource_may_be_plain_http_on_loopback(desk: Desk, resource: str) -> None:
    desk.load(f'{HEAD}servers:\n  - resource: "{resource}"\n')


@pytest.mark.requirement("M19", "R2")
@pytest.mark.parametrize(
    ("issuer", "problem"),
    [
        (
            "http://a.example",
            (
                '"http://a.example" is plain http, whose answers anyone on the way '
                "can forge; expected https, or its host in the file's allow_http_hosts"
            ),
        ),
        (
            "https://a.example/?x",
            (
                '"https://a.example/?x" has a query or a fragment; expected an '
                "absolute URL such as https://host/path"
            ),
        ),
        ("'a b'", '"a b" is not an issuer; expected the exact iss of its tokens'),
        (
            "https://a/{tenantid}",
            (
                '"https://a/{tenantid}" is a template; expected one issuer; '
                "accepted_issuers takes templates"
            ),
        ),
    ],
)
def test_issuer_urls(desk: Desk, issuer: str, problem: str) -> None:
    text = f"version: 1\nissuers:\n  - issuer: {issuer}\n{TAIL}"
    assert desk.problems(text) == [f"3:13: issuers[0].issuer: {problem}"]


def test_an_issuer_that_is_no_url_needs_keys_and_a_place_to_log_in(desk: Desk) -> None:
    text = f"version: 1\nissuers:\n  - issuer: stytch.com/p\n{TAIL}"
    assert desk.problems(text) == [
        (
            "3:5: issuers[0].advertised_issuer: missing; the issuer is no URL, so expected the URL "
            "that clients log in at"
        ),
        (
            '3:13: issuers[0].issuer: "stytch.com/p" is no URL, so there is no discovery; expected '
            "jwks_uri or jwks_file beside it"
        ),
    ]
    good = text.replace(
        "servers", "    jwks_file: k\n    advertised_issuer: https://login.example\nservers"
    )
    assert desk.load(good).settings.issuers[0].name == "stytch.com/p"


HEADERS = [
    "host",
    "authorization",
    "cookie",
    "connection",
    "content-type",
    "content-length",
    "transfer-encoding",
    "te",
    "upgrade",
    "forwarded",
    "x-forwarded-for",
    "x-envoy-x",
    "x-original-uri",
    "mcp-name",
    "x_forwarded_for",
    "x-mcp-server",
    "proxy-authorization",
    "x-auth-subject",
    "x-auth-issuer",
    "x-auth-client-id",
    "x-auth-scopes",
    "x-auth-audience",
    "x-auth-token-id",
    "x-auth-issued-at",
    "x-auth-expires-at",
    "x-auth-server",
    "x_auth.subject",
]


@pytest.mark.parametrize("name", [*HEADERS, ":path", "X-Up", "a b", ""])
def test_headers_that_claims_must_not_reach(desk: Desk, name: str) -> None:
    (problem,) = desk.problems(at_server(f"forward: {{headers: {{'{name}': sub}}}}"))
    assert problem.startswith("6:25: servers[0].forward.headers")


@pytest.mark.parametrize("name", ["x-user-email", "x-auth-email", "contents", "x_groups"])
def test_headers_that_claims_may_reach(desk: Desk, name: str) -> None:
    desk.load(at_server(f"forward: {{headers: {{{name}: sub}}}}"))

"""Which URLs may stand where, and which headers a claim may be forwarded in."""

from __future__ import annotations

import pytest

from extauthz.service.sources import issuer_sources
from tests.config.desk import HEAD, TAIL, Desk, at_issuer, at_server


@pytest.mark.requirement("R1", "R12")
@pytest.mark.parametrize(
    ("resource", "problem"),
    [
        (
            "http://m.example/x",
            (
                "is plain http; expected the https URL that clients use, even where TLS ends "
                "before the proxy; http is for loopback only"
            ),
        ),
        ("/x", "is not an http(s) URL; expected an absolute URL such as https://host/path"),
        (
            "https://u:p@m.example/x",
            '"https://m.example/x" holds a user name or password; expected a URL without them',
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
                "can forge; expected https, or issuers[0].allow_http_hosts: [a.example]"
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
            '3:13: issuers[0].issuer: "stytch.com/p" is no URL, so there is no discovery; expected '
            "https://stytch.com/p; or, if it is the iss of tokens, jwks_uri or jwks_file, and "
            "advertised_issuer, beside it"
        )
    ]
    missing = (
        "3:5: issuers[0].advertised_issuer: missing; the issuer is no URL, so expected the URL "
        "that clients log in at"
    )
    assert desk.problems(text.replace("servers", "    jwks_file: k\nservers")) == [missing]
    assert desk.problems(text.replace("stytch.com/p", "stytch")) == [
        missing,
        (
            '3:13: issuers[0].issuer: "stytch" is no URL, so there is no discovery; expected '
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


SECRETS = {
    "https://user:hunter2@idp.example/k": "https://idp.example/k",
    "https://hunter2@idp.example/k": "https://idp.example/k",
    "https://user:hunter2@[::1]:80/k": "https://[::1]:80/k",
    "https://user:1234@idp.example": "https://idp.example",
    "https://user:hun/ter2@idp.example/k": "https://idp.example/k",
    "https://user:hun@ter2@idp.example/k#x": "https://idp.example/k#x",
}


@pytest.mark.parametrize(("url", "shown"), SECRETS.items())
def test_a_password_in_a_url_is_refused_and_never_repeated(
    desk: Desk, url: str, shown: str
) -> None:
    said = f'"{shown}" holds a user name or password; expected a URL without them'
    for line in ("jwks_uri", "advertised_issuer", "egress_proxy"):
        (problem,) = desk.problems(at_issuer(f'{line}: "{url}"'))
        assert problem.endswith(said)
    (problem,) = desk.problems(HEAD.replace("https://a.example", f'"{url}"') + TAIL)
    assert problem.endswith(said)
    for line in (f'upstream: "{url}"', f'origins: ["{url}"]'):
        (problem,) = desk.problems(at_server(line))
        assert problem.endswith(said)
    (problem,) = desk.problems(at_server(f'issuers: ["{url}"]'))
    assert f'"{shown}" is no issuer' in problem
    environ = {"OAUTH_ISSUER": "https://a.example", "OAUTH_AUDIENCE": "x"}
    for name in ("OAUTH_JWKS_URL", "OAUTH_WELL_KNOWN_URL", "EXTAUTHZ_RESOURCE"):
        desk.files.clear()
        assert desk.problems(environ={**environ, name: url}) == [f"environment: {name}: {said}"]


@pytest.mark.parametrize("url", ["http://proxy.example:3128", "http://[::1]:3128/"])
def test_an_egress_proxy_is_how_keys_are_fetched(desk: Desk, url: str) -> None:
    (source,) = issuer_sources(desk.load(at_issuer(f'egress_proxy: "{url}"')))
    assert source.limits.egress_proxy == url
    (source,) = issuer_sources(desk.load(at_issuer("leeway: 1s")))
    assert source.limits.egress_proxy is None


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("https://proxy.example", "is not an http URL"),
        ("proxy.example:3128", "is not an http URL"),
        ("socks5://proxy.example", "is not an http URL"),
        ("http://proxy.example/x", "is more than a host and a port"),
        ("http://proxy.example?x", "is more than a host and a port"),
    ],
)
def test_an_egress_proxy_is_a_host_and_a_port(desk: Desk, url: str, what: str) -> None:
    assert desk.problems(at_issuer(f'egress_proxy: "{url}"')) == [
        f'4:19: issuers[0].egress_proxy: "{url}" {what}; expected http://host:port of the proxy'
    ]


@pytest.mark.parametrize(
    "url", ["https://a.example/x@y", "https://a.example:80/x:y@z", "https://[::1]:80/x@y"]
)
def test_a_path_may_hold_what_a_password_ends_with(desk: Desk, url: str) -> None:
    desk.load(at_issuer(f'jwks_uri: "{url}"'))

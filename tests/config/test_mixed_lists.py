"""One bad entry of a list hides nothing beside it, and nothing is concluded from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.config.desk import SERVERS, Desk, at_issuer, at_server


def places(problems: list[str]) -> list[str]:
    """Line, column and path of each problem."""
    return [" ".join(problem.split(": ")[0:2]) for problem in problems]


HIDDEN = {
    "issuers: [nope, 5, zip]": [
        "6:15 servers[0].issuers[0]",
        "6:21 servers[0].issuers[1]",
        "6:24 servers[0].issuers[2]",
    ],
    "issuers: ['*', 5, a.example]": ["6:14 servers[0].issuers", "6:20 servers[0].issuers[1]"],
    "public_paths: [/other, calculator]": [
        "6:20 servers[0].public_paths[0]",
        "6:28 servers[0].public_paths[1]",
    ],
    "public_paths: [calculator, /other]": [
        "6:20 servers[0].public_paths[0]",
        "6:32 servers[0].public_paths[1]",
    ],
    "tools: {a*: 3, '*a': deny}": [
        '6:17 servers[0].tools["a*"]',
        '6:20 servers[0].tools["*a"]',
    ],
    "forward: {headers: {x-e: 1, x_e: e}}": [
        "6:30 servers[0].forward.headers.x-e",
        "6:33 servers[0].forward.headers.x_e",
    ],
    "tools: {a: {claims: {c: [d, null, {}]}}}": [
        "6:33 servers[0].tools.a.claims.c[1]",
        "6:39 servers[0].tools.a.claims.c[2]",
    ],
}


@pytest.mark.parametrize(("lines", "expected"), HIDDEN.items(), ids=list(HIDDEN))
def test_a_bad_entry_hides_no_other(desk: Desk, lines: str, expected: list[str]) -> None:
    assert places(desk.problems(at_server(lines))) == expected


def test_a_bad_issuer_hides_no_other(desk: Desk) -> None:
    found = desk.problems(at_issuer('accepted_issuers: ["http://y.example", "a b"]'))
    assert places(found) == [
        "4:24 issuers[0].accepted_issuers[0]",
        "4:44 issuers[0].accepted_issuers[1]",
    ]
    claims = "required_claims: {tid: [null, mine]}\naccepted_issuers: ['https://x/{tenantid}/']"
    assert places(desk.problems(at_issuer(claims))) == [
        "4:29 issuers[0].required_claims.tid[0]",
        "4:35 issuers[0].required_claims.tid[1]",
    ]


def test_a_bad_path_hides_no_collision_of_another(desk: Desk) -> None:
    text = at_server("match: {paths: [/a]}") + (
        "  - {resource: https://m.example/y, match: {paths: [/a, b]}}\n"
    )
    assert places(desk.problems(text)) == [
        "7:44 servers[1].match",
        "7:57 servers[1].match.paths[1]",
    ]


def test_a_server_without_a_good_resource_is_read_all_the_same(desk: Desk) -> None:
    text = SERVERS.replace("https://m.example/x", "ftp://m.example/x") + (
        "    issuers: [nobody]\n    tools: {a*: deny, '*a': deny}\n    name: twice\n"
        "  - {resource: https://m.example/x, name: twice}\n"
    )
    assert places(desk.problems(text)) == [
        "5:15 servers[0].resource",
        "6:15 servers[0].issuers[0]",
        '7:23 servers[0].tools["*a"]',
        "9:43 servers[1].name",
    ]


FOLLOW_UPS = {
    "match: {paths: [/a, b]}\npublic_paths: [/a/pub]": 1,
    "match: {paths: [b]}\npublic_paths: [/a/pub]": 1,
    "match: {paths: 5}\npublic_paths: [/a/pub]": 1,
    "match: {hosts: [a b]}": 1,
    "issuers: [5]": 1,
    "name: [5]": 1,
}


@pytest.mark.parametrize(("lines", "count"), FOLLOW_UPS.items(), ids=list(FOLLOW_UPS))
def test_nothing_follows_from_what_could_not_be_read(desk: Desk, lines: str, count: int) -> None:
    other = "  - {resource: https://m.example/q, match: {paths: [/x]}}\n"
    for text in (at_server(lines), at_server(lines) + (other if "match" in lines else "")):
        assert len(desk.problems(text)) == count


ISSUER_FOLLOW_UPS = [
    'discovery: off\njwks_uri: "https://a.example/j#x"',
    "discovery: off\njwks_file: 5",
    "jwks_uri: http://k.internal/k\nallow_http_hosts: [a.internal, 5]",
    "jwks_uri: http://a.internal/k\nallow_http_hosts: 5",
    "accepted_issuers: ['https://x/{tenantid}/']\nrequired_claims: 5",
    "accepted_issuers: ['https://x/{tenantid}/']\nrequired_claims: {/tid: {}}",
]


@pytest.mark.parametrize("lines", ISSUER_FOLLOW_UPS)
def test_nothing_follows_from_what_an_issuer_lacks(desk: Desk, lines: str) -> None:
    assert len(desk.problems(at_issuer(lines))) == 1


def test_a_host_that_is_named_allows_plain_http_whatever_stands_beside_it(desk: Desk) -> None:
    http = '"http://a.internal"\n    allow_http_hosts: [a.internal, 5]'
    assert places(desk.problems(SERVERS.replace("https://a.example", http))) == [
        "4:36 issuers[0].allow_http_hosts[1]"
    ]


def test_a_bad_name_is_a_name_all_the_same(desk: Desk) -> None:
    issuers = "issuers: [{issuer: https://a.example, name: x y}, {issuer: https://b, name: b}]"
    server = 'servers: [{resource: https://m.example/x, issuers: ["x y", b, c]}]'
    assert places(desk.problems(f"version: 1\n{issuers}\n{server}\n")) == [
        "2:45 issuers[0].name",
        "3:63 servers[0].issuers[2]",
    ]
    first = "  - {resource: https://m.example/y, name: x y}\n"
    second = "  - {resource: https://n.example/z, name: m.example/y}\n"
    assert places(desk.problems(SERVERS + first + second)) == ["6:43 servers[1].name"]


def test_an_issuer_that_could_not_be_read_may_be_the_one_that_is_named(desk: Desk) -> None:
    text = at_server("issuers: [a, 'https://b.example']")
    for issuer in ("ftp://b.example/", "https://b.example/#x", "[]"):
        second = f"https://c.example\n    name: a\n  - issuer: {issuer}"
        assert len(desk.problems(text.replace("https://a.example", second))) == 1


def test_client_certificates_need_tls_that_may_be_there(desk: Desk) -> None:
    for given in ("cert_file: 5, key_file: k", "cert_file: c, key_file: 5"):
        text = f"{SERVERS}listen: {{http_tls: {{{given}, client_ca_file: c}}}}\n"
        assert len(desk.problems(text)) == 1


GOOD: dict[str, Any] = {
    "version": 1,
    "listen": {"trusted_proxies": ["10.0.0.0/8"]},
    "issuers": [
        {
            "name": "a",
            "issuer": "http://a.internal",
            "accepted_issuers": ["https://x/{tenantid}/"],
            "algorithms": ["RS256"],
            "token_types": ["JWT"],
            "scope_claims": ["scp"],
            "required_claims": {"tid": ["11111111-1111-1111-1111-111111111111"]},
            "allow_http_hosts": ["a.internal"],
        },
        {"name": "b", "issuer": "https://b.example"},
    ],
    "servers": [
        {
            "resource": "https://m.example/x",
            "match": {"hosts": ["m.example"], "paths": ["/x"]},
            "issuers": ["a", "https://b.example"],
            "audiences": ["api"],
            "scopes": ["s"],
            "tools": {"a": ["t"], "b": {"any_scopes": ["t"], "claims": {"c": ["d"]}}},
            "scope_implies": {"s": ["t"]},
            "header_versions": ["2026-07-28"],
            "public_paths": ["/x/p"],
            "origins": ["https://app.example"],
        },
        {"resource": "https://m.example/y", "issuers": ["b"]},
    ],
}


def lists_in(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, list):
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, dict | list):
            yield from lists_in(inner, (*path, key))


@pytest.mark.parametrize("path", list(lists_in(GOOD)), ids=str)
@pytest.mark.parametrize("first", [True, False])
def test_one_bad_entry_in_any_list_is_one_problem(
    desk: Desk, path: tuple[str | int, ...], first: bool
) -> None:
    whole = json.loads(json.dumps(GOOD))
    desk.load(json.dumps(whole))
    holder = whole
    for part in path:
        holder = holder[part]
    holder.insert(0 if first else len(holder), None)
    assert len(desk.problems(json.dumps(whole))) == 1

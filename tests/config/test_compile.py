"""Settings become the policy that the contract describes."""

from __future__ import annotations

import pytest

from extauthz.config.compile import compile_policy
from extauthz.core.claims import ClaimCondition
from extauthz.core.policy import Encoding, ForwardedClaim, HostPattern, Issuer, Policy, Server
from extauthz.core.rules import Rule
from tests.config.desk import HEAD, Desk, at_issuer, at_server


def policy(desk: Desk, text: str) -> Policy:
    return compile_policy(desk.load(text))


def server(desk: Desk, lines: str) -> Server:
    return policy(desk, at_server(lines)).servers[0]


def issuer(desk: Desk, lines: str) -> Issuer:
    return policy(desk, at_issuer(lines)).issuers[0]


def at_resource(desk: Desk, resource: str, lines: str = "") -> Server:
    return policy(desk, f'{HEAD}servers:\n  - resource: "{resource}"\n{lines}').servers[0]


@pytest.mark.parametrize(
    ("resource", "host", "path", "name"),
    [
        ("https://M.Example/a/b", HostPattern("m.example"), "/a/b", "m.example/a/b"),
        ("https://m.example/a/", HostPattern("m.example"), "/a", "m.example/a"),
        ("https://m.example", HostPattern("m.example"), "", "m.example"),
        ("https://m.example/", HostPattern("m.example"), "", "m.example"),
        ("https://m.example:8443/a", HostPattern("m.example"), "/a", "m.example/a"),
        ("http://127.0.0.1:81/a", HostPattern("127.0.0.1", 81), "/a", "127.0.0.1:81/a"),
        ("http://localhost/a", HostPattern("localhost"), "/a", "localhost/a"),
        ("https://[::1]:81/a", HostPattern("[::1]", 81), "/a", "[::1]:81/a"),
    ],
)
def test_match_and_name_come_from_the_resource(
    desk: Desk, resource: str, host: HostPattern, path: str, name: str
) -> None:
    found = at_resource(desk, resource)
    assert (found.hosts, found.paths, found.name) == ((host,), (path,), name)


def test_either_half_of_match_may_be_given(desk: Desk) -> None:
    hosts = server(desk, "match: {hosts: ['*.Example.', 'h:81', '*']}")
    assert hosts.hosts == (HostPattern("*.example"), HostPattern("h", 81), HostPattern("*"))
    assert hosts.paths == ("/x",)
    paths = server(desk, "match: {paths: [/, /a/, /a]}")
    assert paths.hosts == (HostPattern("m.example"),)
    assert paths.paths == ("", "/a")


@pytest.mark.parametrize(
    ("resource", "audiences"),
    [
        ("https://m.example", {"https://m.example", "https://m.example/"}),
        ("https://m.example/", {"https://m.example", "https://m.example/"}),
        ("https://m.example/x", {"https://m.example/x"}),
        ("https://m.example/x/", {"https://m.example/x/"}),
        ("https://M.example/x", {"https://M.example/x"}),
    ],
)
def test_only_a_resource_without_path_is_two_audiences(
    desk: Desk, resource: str, audiences: set[str]
) -> None:
    assert at_resource(desk, resource).audiences == frozenset(audiences)


def test_given_audiences_replace_the_resource(desk: Desk) -> None:
    found = at_resource(desk, "https://m.example", "    audiences: [api, 'https://m.example/']\n")
    assert found.audiences == frozenset({"api", "https://m.example/", "https://m.example"})
    assert server(desk, "audiences: [api]").audiences == frozenset({"api"})
    assert server(desk, "audiences: []").audiences == frozenset({"https://m.example/x"})


RULES = """\
tools:
  add: [calc.add, calc.add]
  danger_*: deny
  "*": allow
  da*: {any_scopes: [a, b], claims: {groups: [x, 1, true], /realm_access/roles: admin}}"""


def test_rules(desk: Desk) -> None:
    tools = server(desk, RULES).tools
    assert tools.find("add") == Rule(key="add", scopes=("calc.add",))
    assert tools.find("danger_1") == Rule(key="danger_*", deny=True)
    assert tools.find("other") == Rule(key="*")
    assert tools.find("dare") == Rule(
        key="da*",
        any_scopes=("a", "b"),
        claims=(
            ClaimCondition("groups", ("groups",), ("x", 1, True)),
            ClaimCondition("/realm_access/roles", ("realm_access", "roles"), ("admin",)),
        ),
    )
    assert [rule.key for rule in tools.rules()] == ["add", "danger_*", "da*", "*"]


@pytest.mark.parametrize("kind", ["tools", "prompts", "resources"])
def test_what_no_key_matches_is_denied_in_a_map_that_is_not_empty(desk: Desk, kind: str) -> None:
    rules = getattr(server(desk, f"{kind}: {{a: allow}}"), kind)
    assert rules.find("b").deny
    assert not getattr(server(desk, f"{kind}: {{}}"), kind)


def test_a_method_that_no_key_matches_needs_server_scopes_only(desk: Desk) -> None:
    assert server(desk, "methods: {tools/list: deny}").methods.find("prompts/list") is None


def test_globs_that_tie_in_length_but_never_meet_are_fine(desk: Desk) -> None:
    server(desk, "tools: {a*: allow, b*: deny, '*c': allow, 'd*d': deny}".replace("'*c'", "'*cc'"))


@pytest.mark.requirement("M15")
def test_implied_scopes_are_transitive_and_cycles_end(desk: Desk) -> None:
    found = server(desk, "scope_implies: {a: [b], b: [c], c: [a], d: []}").implies
    every = frozenset({"a", "b", "c"})
    assert found == {"a": every, "b": every, "c": every, "d": frozenset()}


def test_public_paths(desk: Desk) -> None:
    found = server(desk, "public_paths: [/x/health, /x/docs/*, /x/]")
    assert found.public_exact == frozenset({"/x/health", "/x/"})
    assert found.public_prefixes == ("/x/docs/",)


def test_origins_hold_that_of_the_resource(desk: Desk) -> None:
    found = server(desk, "origins: ['https://a.example:81', 'vscode-webview://id']")
    assert found.origins == frozenset(
        {"https://m.example", "https://a.example:81", "vscode-webview://id"}
    )
    for anyone in ('"*"', '["*"]'):
        assert server(desk, f"origins: {anyone}").origins is None


def test_the_origin_of_a_resource_is_as_a_browser_writes_it(desk: Desk) -> None:
    assert at_resource(desk, "https://M.example:443/x").origins == frozenset({"https://m.example"})
    assert at_resource(desk, "http://[::1]:81/x").origins == frozenset({"http://[::1]:81"})


def test_forwarding(desk: Desk) -> None:
    found = server(
        desk,
        "forward: {headers: {x-email: email, x-roles: {claim: /r/a, encode: json}}, token: keep, "
        "stream_lease: token}",
    )
    assert found.forwarded == (
        ForwardedClaim("x-email", ("email",)),
        ForwardedClaim("x-roles", ("r", "a"), Encoding.JSON),
    )
    assert (found.keep_token, found.stream_lease) == (True, True)


def test_a_title_is_for_people_and_no_name(desk: Desk) -> None:
    usual, titled = server(desk, "mode: enforce"), server(desk, "title: Notes, for all of us")
    assert (usual.title, titled.title) == (None, "Notes, for all of us")
    assert usual.name == titled.name


def test_switches(desk: Desk) -> None:
    usual = server(desk, "mode: enforce")
    other = server(
        desk,
        "mode: audit\nunverified_calls: allow_without_rules\nheader_versions: [2026-07-28]",
    )
    assert (usual.audit, usual.allow_unverified_calls, usual.header_versions) == (
        False,
        False,
        frozenset(),
    )
    assert (other.audit, other.allow_unverified_calls, other.header_versions) == (
        True,
        True,
        frozenset({"2026-07-28"}),
    )


GUID = "9188040d-6c67-4c5b-b112-36a304b66dad"


def test_issuer_templates(desk: Desk) -> None:
    found = issuer(
        desk,
        f"accepted_issuers: [accounts.example, 'https://x/{{tenantid}}/v2']\n"
        f"required_claims: {{tid: [{GUID}], ver: '2.0'}}\n"
        "advertised_issuer: https://login.example",
    )
    assert found.accepted == frozenset({"https://a.example", "accounts.example"})
    assert found.templates == ("https://x/{tenantid}/v2",)
    assert found.tenants == frozenset({GUID})
    assert found.advertised == "https://login.example"
    assert found.required_claims == (
        ClaimCondition("tid", ("tid",), (GUID,)),
        ClaimCondition("ver", ("ver",), ("2.0",)),
    )


def test_issuer_settings(desk: Desk) -> None:
    found = issuer(
        desk,
        "name: corp\ntoken_types: [AT+JWT]\naudience_claim: client_id\n"
        "scope_claims: [/realm/roles]\nalgorithms: [ES256]\nleeway: 1500ms",
    )
    assert found.name == "corp"
    assert found.token_types == frozenset({"at+jwt"})
    assert found.audience_claim == ("client_id",)
    assert found.scope_claims == (("realm", "roles"),)
    assert found.algorithms == frozenset({"ES256"})
    assert found.leeway == 1.5


def test_plain_http_is_taken_where_it_is_allowed(desk: Desk) -> None:
    found = issuer(desk, "jwks_uri: http://Keys.example/x\nallow_http_hosts: [KEYS.example.]")
    assert found.name == "a.example"
    issuer(desk, "jwks_uri: 'http://[fd00::1]/x'\nallow_http_hosts: ['[fd00::1]']")
    for url in ("http://localhost:1/x", "http://127.9.9.9/x", "http://[::1]/x"):
        issuer(desk, f"jwks_uri: '{url}'")


TWO = """\
version: 1
issuers:
  - {name: a, issuer: https://a.example}
  - {name: b, issuer: https://b.example}
servers:
  - {resource: https://m.example/1, issuers: CHOICE}
"""


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("[a]", ["a"]),
        ("[b, a]", ["b", "a"]),
        ("[https://b.example]", ["b"]),
        ("[a, https://a.example]", ["a"]),
        ('"*"', ["a", "b"]),
    ],
)
def test_issuers_by_name_or_url(desk: Desk, choice: str, names: list[str]) -> None:
    found = policy(desk, TWO.replace("CHOICE", choice)).servers[0]
    assert [one.name for one in found.issuers] == names


def test_the_files_that_settings_name(desk: Desk) -> None:
    text = at_issuer("jwks_file: k\nca_file: c") + "listen: {grpc_tls: {cert_file: a, key_file: b}}"
    assert desk.load(text).settings.files == ("a", "b", "k", "c")
    assert desk.load(at_server("mode: enforce")).settings.files == ()

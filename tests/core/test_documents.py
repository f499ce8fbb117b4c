"""What is answered in a server's place (contract, section 7, Documents and Browsers)."""

import json
from dataclasses import replace

import pytest

from extauthz.core.documents import (
    Documents,
    advertised_issuers,
    cors_headers,
    metadata_path,
    metadata_url,
    resource_metadata,
)
from extauthz.core.engine import Engine
from extauthz.core.hosts import parse_host_pattern
from extauthz.core.model import Answer, Deny, Reason, Request
from extauthz.core.policy import Issuer, Policy, Server
from extauthz.core.rules import Rule, RuleMap

PRM = "/.well-known/oauth-protected-resource"


def _issuer(url):
    return Issuer(name=url, issuer=url, accepted=frozenset({url}), advertised=url)


CORP, OTHER = _issuer("https://idp.example/realms/corp"), _issuer("https://other.example/")


def _server(name, host, path, issuers=(CORP,), **more):
    return Server(
        name=name,
        resource=f"https://{host}{path}",
        hosts=(parse_host_pattern(host),),
        paths=(path.rstrip("/"),),
        issuers=tuple(issuers),
        audiences=frozenset({f"https://{host}{path}"}),
        origins=frozenset({f"https://{host}", "https://app.example"}),
        **more,
    )


NAMELESS = replace(_server("nameless", "nameless.example", ""), resource=None)
POLICY = Policy(
    issuers=(CORP, OTHER),
    servers=(
        _server(
            "a", "two.example", "/a/mcp", scopes=("s1",),
            tools=RuleMap(
                {"t": Rule(key="t", scopes=("s2", "offline_access"), any_scopes=("s3",))}
            ),
        ),
        _server("b", "two.example", "/b/mcp", [OTHER]),
        _server("x", "two.example", "/X"),
        _server("c", "one.example", "/c/mcp"),
        _server("d", "bare.example", ""),
        replace(
            _server("e", "outside.example", "/mcp"),
            hosts=(parse_host_pattern("inside.example"),),
        ),
        replace(_server("f", "127.0.0.1:8001", "/mcp"), hosts=(), paths=()),
        replace(
            _server("g", "outer.example", "/mcp"),
            hosts=(parse_host_pattern("inner.example:9000"),),
        ),
        NAMELESS,
    ),
)  # fmt: skip


def _ask(host, target, method="GET", server=None, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request(method=method, host=host, target=target, headers=names, server=server)
    return Engine(POLICY).decide(request, {}, now=0)


def _status(*args, **kwargs):
    answer = _ask(*args, **kwargs)
    assert isinstance(answer, Answer), answer
    return answer.status


@pytest.mark.requirement("M1", "M2", "M5", "R1", "R2", "R3", "R4", "R5", "R6", "R7")
def test_each_server_has_its_own_document():
    answer = _ask("two.example", f"{PRM}/a/mcp")
    assert answer.status == 200
    assert json.loads(answer.body) == {
        "resource": "https://two.example/a/mcp",
        "authorization_servers": ["https://idp.example/realms/corp"],
        "scopes_supported": ["s1", "s2", "s3"],
        "bearer_methods_supported": ["header"],
    }
    assert dict(answer.headers)["access-control-allow-origin"] == "*"
    other = json.loads(_ask("two.example", f"{PRM}/b/mcp").body)
    assert other["resource"] == "https://two.example/b/mcp"
    assert "scopes_supported" not in other


@pytest.mark.requirement("R6")
def test_a_final_slash_and_a_query_change_nothing():
    assert _status("two.example", f"{PRM}/a/mcp/") == 200
    assert _status("TWO.example.:443", f"{PRM}/a/mcp?x=1") == 200


@pytest.mark.requirement("M3", "R6")
def test_the_root_form_answers_for_a_host_of_one_server():
    assert json.loads(_ask("one.example", PRM).body)["resource"] == "https://one.example/c/mcp"
    assert _status("one.example", f"{PRM}/") == 200
    assert _status("two.example", PRM) == 404
    assert json.loads(_ask("bare.example", PRM).body)["resource"] == "https://bare.example"


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(
    "target", [f"{PRM}/x", f"{PRM}/a", f"{PRM}/a/mcp/x", f"{PRM}/A/mcp", "/register", "/authorize",
               "/token", "/.well-known/oauth-authorization-server/a/mcp",
               "/.well-known/openid-configuration/x"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_unknown_paths_are_not_found_and_never_challenged(target, method):
    answer = _ask("two.example", target, method)
    assert answer.status == 404
    assert "www-authenticate" not in dict(answer.headers)


def test_an_unknown_host_has_no_documents():
    assert _status("nobody.example", f"{PRM}/a/mcp") == 404
    assert _ask("nobody.example", "/register").reason is Reason.NO_MATCHING_SERVER


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(
    "target",
    [
        f"{PRM}/x",
        "/.well-known/oauth-authorization-server/c/mcp",
        "/.well-known/openid-configuration/c/mcp",
    ],
)
def test_paths_below_a_root_form_are_not_found_on_a_host_of_one_server(target):
    assert _status("one.example", target) == 404


def test_the_case_of_a_path_and_its_last_letter_count():
    assert _ask("two.example", f"{PRM}/X").server == "x"
    assert _ask("two.example", f"{PRM}/X/").server == "x"
    assert _status("two.example", f"{PRM}/x") == 404


def test_a_longer_word_is_not_a_document():
    answer = _ask("two.example", f"{PRM}x")
    assert isinstance(answer, Deny)


def test_old_clients_are_sent_to_the_one_issuer_of_the_host():
    answer = _ask("one.example", "/.well-known/oauth-authorization-server")
    assert answer.status == 307
    assert dict(answer.headers)["location"] == (
        "https://idp.example/.well-known/oauth-authorization-server/realms/corp"
    )
    answer = _ask("one.example", "/.well-known/openid-configuration")
    assert dict(answer.headers)["location"] == (
        "https://idp.example/realms/corp/.well-known/openid-configuration"
    )
    assert _status("two.example", "/.well-known/openid-configuration") == 404


@pytest.mark.parametrize(
    ("issuer", "rfc_8414", "openid"),
    [
        ("https://i.example", "https://i.example/{oauth}", "https://i.example/{openid}"),
        ("https://i.example/", "https://i.example/{oauth}", "https://i.example/{openid}"),
        (
            "https://i.example:81/a",
            "https://i.example:81/{oauth}/a",
            "https://i.example:81/a/{openid}",
        ),
        ("https://i.example/a/", "https://i.example/{oauth}/a", "https://i.example/a/{openid}"),
        ("https://i.example/X", "https://i.example/{oauth}/X", "https://i.example/X/{openid}"),
    ],
)
def test_old_clients_find_the_issuers_document_where_its_standard_has_it(issuer, rfc_8414, openid):
    one = _server("s", "h.example", "/mcp", [_issuer(issuer)])
    engine = Engine(Policy(issuers=one.issuers, servers=(one,)))
    words = {
        "oauth": ".well-known/oauth-authorization-server",
        "openid": ".well-known/openid-configuration",
    }
    for word, location in (("oauth", rfc_8414), ("openid", openid)):
        request = Request(method="GET", host="h.example", target="/" + words[word], headers={})
        headers = dict(engine.decide(request, {}, now=0).headers)
        assert headers["location"] == location.format(**words)


def test_other_methods_than_reading_are_not_found():
    assert _status("two.example", f"{PRM}/a/mcp", "POST") == 404
    head = _ask("two.example", f"{PRM}/a/mcp", "HEAD")
    assert (head.status, head.body) == (200, b"")


def test_a_named_server_gives_out_its_own_document_only():
    assert _status("two.example", f"{PRM}/a/mcp", server="a") == 200
    assert isinstance(_ask("two.example", f"{PRM}/a/mcp", server="b"), Deny)
    assert isinstance(_ask("two.example", f"{PRM}/a/mcp", server="nobody"), Deny)


def test_what_belongs_to_no_server_is_answered_whichever_is_named():
    assert _status("one.example", "/.well-known/openid-configuration", server="c") == 307
    assert _status("two.example", f"{PRM}/x", server="a") == 404


def test_a_document_may_be_kept_for_a_while_and_other_answers_may_not():
    json_type, open_to_all = ("content-type", "application/json"), (
        "access-control-allow-origin", "*",
    )  # fmt: skip
    kept, fresh = ("cache-control", "public, max-age=300"), ("cache-control", "no-store")
    document = _ask("two.example", f"{PRM}/a/mcp")
    assert document.headers == (json_type, kept, open_to_all)
    assert document.server == "a"
    nothing = _ask("two.example", f"{PRM}/x")
    assert nothing.headers == (json_type, fresh, open_to_all)
    assert json.loads(nothing.body) == {"error": "not_found"}
    elsewhere = _ask("one.example", "/.well-known/openid-configuration")
    assert elsewhere.headers[1:] == (fresh, open_to_all)
    assert elsewhere.body == b""


def test_head_is_get_without_a_body():
    for host, target in [
        ("two.example", f"{PRM}/a/mcp"),
        ("two.example", f"{PRM}/x"),
        ("one.example", "/.well-known/openid-configuration"),
    ]:
        got, head = _ask(host, target), _ask(host, target, "HEAD")
        assert (head.status, head.headers, head.server) == (got.status, got.headers, got.server)
        assert head.body == b""


def test_a_server_is_found_by_the_host_of_its_resource_and_by_those_it_matches():
    document = _ask("inside.example", f"{PRM}/mcp")
    assert json.loads(document.body)["resource"] == "https://outside.example/mcp"
    assert _ask("outside.example", f"{PRM}/mcp") == document
    assert _ask("outside.example:8443", f"{PRM}/mcp") == document
    assert _ask("outside.example", PRM) == document
    assert _status("outside.example", "/.well-known/openid-configuration") == 307
    assert _status("outside.example", "/register") == 404


def test_the_port_of_a_resource_counts_on_loopback():
    assert _status("127.0.0.1:8001", f"{PRM}/mcp") == 200
    assert _status("127.0.0.1:8001", PRM) == 200
    assert _status("127.0.0.1:8002", f"{PRM}/mcp") == 404
    assert _status("127.0.0.1", f"{PRM}/mcp") == 404


def test_a_server_is_found_by_the_port_that_it_matches():
    assert _status("inner.example:9000", f"{PRM}/mcp") == 200
    assert _status("inner.example:9001", f"{PRM}/mcp") == 404
    assert _status("inner.example", f"{PRM}/mcp") == 404


def test_a_server_without_a_resource_has_no_document():
    assert _status("nameless.example", PRM) == 404
    assert _status("nameless.example", "/.well-known/openid-configuration") == 307
    assert metadata_path(NAMELESS) is None
    assert metadata_url(NAMELESS) is None


@pytest.mark.requirement("R6")
@pytest.mark.parametrize(
    ("resource", "path", "url"),
    [
        ("https://h.example", PRM, f"https://h.example{PRM}"),
        ("https://h.example/", PRM, f"https://h.example{PRM}"),
        ("https://h.example/a/mcp", f"{PRM}/a/mcp", f"https://h.example{PRM}/a/mcp"),
        ("http://localhost:81/a/", f"{PRM}/a", f"http://localhost:81{PRM}/a"),
        ("https://h.example/X", f"{PRM}/X", f"https://h.example{PRM}/X"),
    ],
)
def test_the_well_known_part_stands_between_host_and_path(resource, path, url):
    server = replace(NAMELESS, resource=resource)
    assert metadata_path(server) == path
    assert metadata_url(server) == url


@pytest.mark.requirement("R1", "R2", "R3", "R4")
def test_a_document_holds_what_there_is_to_tell_and_no_empty_member():
    told = replace(
        NAMELESS,
        resource="https://h.example/mcp",
        title="Köln's notes",
        issuers=(OTHER, CORP),
        scopes=("b", "a"),
    )
    assert json.loads(resource_metadata(told)) == {
        "resource": "https://h.example/mcp",
        "resource_name": "Köln's notes",
        "authorization_servers": [OTHER.issuer, CORP.issuer],
        "scopes_supported": ["b", "a"],
        "bearer_methods_supported": ["header"],
    }
    assert json.loads(resource_metadata(replace(told, title=None, issuers=(), scopes=()))) == {
        "resource": "https://h.example/mcp",
        "bearer_methods_supported": ["header"],
    }


def test_issuers_are_advertised_once_each_in_order():
    servers = [replace(NAMELESS, issuers=issuers) for issuers in ((CORP,), (OTHER, CORP), ())]
    assert advertised_issuers(servers) == (CORP.issuer, OTHER.issuer)
    assert advertised_issuers(()) == ()


@pytest.mark.parametrize(
    "path",
    ["/mcp", "/.well-known/other", "/registers", "/token/", "/a/.well-known/openid-configuration"],
)
def test_other_paths_concern_no_document(path):
    assert not Documents.concerns(path)
    assert not isinstance(_ask("two.example", path), Answer)


def test_a_word_longer_than_a_well_known_one_is_left_to_the_servers():
    for root in (
        PRM,
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ):
        assert isinstance(_ask("one.example", f"{root}s"), Deny)


def _preflight(host, target, origin, asked="authorization, mcp-param-x"):
    return _ask(host, target, "OPTIONS", origin=origin, access_control_request_method="POST",
                access_control_request_headers=asked)  # fmt: skip


USUAL = (
    "Authorization, Content-Type, Accept, Mcp-Protocol-Version, Mcp-Session-Id, "
    "Mcp-Method, Mcp-Name, Last-Event-ID"
)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("x-one", "x-one"),
        ("X-One,x_two, x.3|~^`!#$%&'*+-", "X-One,x_two, x.3|~^`!#$%&'*+-"),
        ("x" * 1024, "x" * 1024),
        ("x" * 1025, USUAL),
        ("x-one\r\nset-cookie: a", USUAL),
        ("x-one\n", USUAL),
        ("x-one; y", USUAL),
        ("x-öne", USUAL),
        ("", USUAL),
    ],
)
def test_leave_is_given_for_the_headers_asked_for_if_they_can_be_names(asked, told):
    for target in ("/a/mcp", f"{PRM}/a/mcp"):
        answer = _preflight("two.example", target, "https://app.example", asked)
        assert dict(answer.headers)["access-control-allow-headers"] == told


def test_a_preflight_that_asks_for_no_headers_is_told_the_usual_ones():
    answer = _ask(
        "two.example", "/a/mcp", "OPTIONS",
        origin="https://app.example", access_control_request_method="POST",
    )  # fmt: skip
    assert dict(answer.headers)["access-control-allow-headers"] == USUAL


def test_a_preflight_says_what_may_be_sent_and_for_how_long():
    asked = ("access-control-allow-headers", "authorization, mcp-param-x")
    assert _preflight("two.example", f"{PRM}/a/mcp", "https://app.example").headers == (
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
        asked,
        ("access-control-max-age", "600"),
    )
    answer = _preflight("two.example", "/a/mcp", "https://app.example")
    assert answer.server == "a"
    assert answer.headers == (
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-allow-methods", "GET, POST, DELETE, OPTIONS"),
        asked,
        ("access-control-max-age", "600"),
        ("vary", "Origin, Access-Control-Request-Headers"),
    )
    refused = _preflight("two.example", "/a/mcp", "https://evil.example")
    assert refused.headers == (("vary", "Origin"),)


def test_an_allowed_origin_may_read_the_challenge_and_the_session():
    assert cors_headers("https://app.example") == (
        ("access-control-allow-origin", "https://app.example"),
        ("vary", "Origin"),
        ("access-control-expose-headers", "WWW-Authenticate, Mcp-Session-Id"),
    )


def test_a_preflight_of_a_document_that_is_not_there_is_not_found():
    assert _preflight("two.example", f"{PRM}/x", "https://app.example").status == 404


@pytest.mark.parametrize(
    "asked", [{}, {"origin": "https://app.example"}, {"access_control_request_method": "GET"}]
)
def test_other_options_of_a_document_are_answered_as_get(asked):
    target = f"{PRM}/a/mcp"
    assert _ask("two.example", target, "OPTIONS", **asked) == _ask("two.example", target)
    assert isinstance(_ask("two.example", "/a/mcp", "OPTIONS", **asked), Deny)


def test_documents_are_open_to_all_origins():
    answer = _preflight("two.example", f"{PRM}/a/mcp", "https://anywhere.example")
    assert answer.status == 204
    assert dict(answer.headers)["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [("https://two.example", True), ("https://app.example", True), ("https://evil.example", False),
     ("null", False), ("https://two.example.evil", False), ("http://two.example", False)],
)  # fmt: skip
def test_a_preflight_is_always_204_and_gives_leave_to_allowed_origins_only(origin, allowed):
    answer = _preflight("two.example", "/a/mcp", origin)
    headers = dict(answer.headers)
    assert (answer.status, answer.body) == (204, b"")
    assert headers.get("access-control-allow-origin") == (origin if allowed else None)
    if allowed:
        assert headers["access-control-allow-headers"] == "authorization, mcp-param-x"


def test_options_without_the_preflight_headers_is_judged_as_get():
    assert isinstance(_ask("two.example", "/a/mcp", "OPTIONS"), Deny)
    assert isinstance(_ask("two.example", "/a/mcp", "OPTIONS", origin="https://two.example"), Deny)


def test_a_preflight_for_no_server_is_refused():
    assert isinstance(_preflight("two.example", "/nobody", "https://two.example"), Deny)

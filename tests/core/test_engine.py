"""The whole decision: its order, its answers, and what it remembers of tokens."""

from __future__ import annotations

import gc
import json
from dataclasses import replace
from typing import Any

import pytest

from extauthz.core.engine import Engine
from extauthz.core.gate import Gate
from extauthz.core.identity import Lookalikes
from extauthz.core.keyset import Key, KeySet, parse_key_set
from extauthz.core.model import (
    Allow,
    Answer,
    Call,
    Decision,
    Deny,
    NeedKeys,
    Reason,
    Trace,
    Unproven,
)
from extauthz.core.policy import IDENTITY_HEADERS, HostPattern, Policy, Server
from extauthz.core.token_cache import token_digest
from tests.policies import (
    ISSUERS,
    MODERN,
    ORIGIN,
    asking,
    engine_for_tests,
    key_sets,
    policy_for_tests,
    policy_with,
)  # fmt: skip
from tests.tokens import ABSENT, CALCULATOR, ISSUER, NOTES, NOW, jwks, mint, signer

KEYS = key_sets()
PREFLIGHT = {"origin": ORIGIN, "access-control-request-method": "POST"}


@pytest.fixture
def engine() -> Engine:
    return engine_for_tests()


def decided(
    engine: Engine, request: Any, *, keys: Any = KEYS, now: float = NOW, **more: Any
) -> Any:
    return engine.decide(request, keys, now=now, **more)


def why(decision: Decision | NeedKeys) -> Reason | None:
    """The reason of a refusal, None for an allow."""
    if isinstance(decision, Deny):
        return decision.reason
    assert isinstance(decision, Allow), decision
    return None


def call(name: str = "safe", method: str = "tools/call") -> bytes:
    return json.dumps({"id": 1, "method": method, "params": {"name": name}}).encode()


def at_calculator(scope: str = "calculator", **more: Any) -> Any:
    token = mint({"aud": CALCULATOR, "scope": scope})
    return asking(token, target="/calculator/mcp", **more)


class TestOrder:
    """Each request is wrong in everything that follows; what comes first decides."""

    def test_path_before_documents_and_servers(self, engine):
        target = "/.well-known/oauth-protected-resource/../x"
        found = decided(engine, asking(target=target, host="nowhere", headers={"origin": "x"}))
        assert why(found) is Reason.AMBIGUOUS_PATH

    def test_method_and_host_before_documents(self, engine):
        target = "/.well-known/oauth-protected-resource"
        assert why(decided(engine, asking(target=target, method=""))) is Reason.MALFORMED_REQUEST
        assert why(decided(engine, asking(target=target, host=""))) is Reason.MALFORMED_REQUEST

    def test_an_answer_is_for_one_request_and_not_for_the_next_one_there(self, engine):
        target = "/.well-known/oauth-protected-resource/notes/mcp"
        for method, status in [("GET", 200), ("POST", 404), ("HEAD", 200)]:
            found = engine.answer(asking(target=target, method=method, in_band=True))
            assert isinstance(found, Answer)
            assert found.status == status

    def test_documents_before_servers(self, engine):
        found = decided(engine, asking(target="/register", headers={"origin": "x"}))
        assert isinstance(found, Answer)
        assert found.status == 404

    def test_server_before_origin(self, engine):
        found = decided(engine, asking(target="/x", headers={"origin": "https://evil.example"}))
        assert why(found) is Reason.NO_MATCHING_SERVER
        assert found.server is None

    def test_preflight_before_origin(self, engine):
        headers = PREFLIGHT | {"origin": "https://evil.example"}
        found = decided(engine, asking(method="OPTIONS", headers=headers))
        assert isinstance(found, Answer)
        assert (found.status, found.server) == (204, "notes")

    def test_origin_before_public_paths(self, engine):
        headers = {"origin": "https://evil.example"}
        found = decided(engine, asking(target="/notes/public/x", headers=headers))
        assert why(found) is Reason.BAD_ORIGIN

    def test_public_paths_before_credentials(self, engine):
        found = decided(engine, asking("junk", target="/notes/public/x"))
        assert isinstance(found, Allow)
        assert found.public
        assert found.headers == (("x-auth-server", "notes"),)
        assert set(found.remove) >= {"authorization", *IDENTITY_HEADERS} - {"x-auth-server"}

    def test_credentials_before_token(self, engine):
        request = asking("a.b.c", target="/calculator/mcp", repeated=frozenset({"authorization"}))
        assert why(decided(engine, request)) is Reason.MALFORMED_REQUEST

    def test_token_before_call(self, engine):
        request = asking("a.b.c", target="/calculator/mcp", body=b"[]")
        assert why(decided(engine, request)) is Reason.MALFORMED_TOKEN

    def test_call_before_rules(self, engine):
        assert why(decided(engine, at_calculator("x", body=b"[]"))) is Reason.BATCH_REFUSED
        assert why(decided(engine, at_calculator("x"))) is Reason.UNVERIFIED_CALL

    @pytest.mark.requirement("M26")
    def test_denials_before_scopes(self, engine):
        found = decided(engine, at_calculator("x", body=call("danger_1")))
        assert why(found) is Reason.DENIED_BY_RULE
        found = decided(engine, at_calculator("x", body=call("add")))
        assert why(found) is Reason.INSUFFICIENT_SCOPE
        challenge = dict(found.headers)["www-authenticate"]
        assert 'scope="calculator calculator.add"' in challenge


class TestAnswers:
    def test_an_allow_names_server_issuer_and_unexpired_token(self, engine):
        found = decided(engine, asking(mint()))
        assert isinstance(found, Allow)
        headers = dict(found.headers)
        assert headers["x-auth-subject"] == "alice"
        assert headers["x-auth-issuer"] == "https://idp.example.com/realms/acme"
        assert float(headers["x-auth-expires-at"]) > NOW
        assert headers["x-auth-server"] == found.server == "notes"
        assert "authorization" in found.remove
        assert not found.public

    def test_headers_and_removals_cover_every_name_and_share_none(self, engine):
        found = decided(engine, asking(mint({"sub": ABSENT, "jti": ABSENT})))
        sent, removed = {name for name, _ in found.headers}, set(found.remove)
        assert sent | removed == {*IDENTITY_HEADERS, "x-user-email", "x-groups", "authorization"}
        assert not sent & removed

    @pytest.mark.requirement("M9", "M10")
    def test_the_token_is_kept_only_where_that_was_asked_for(self):
        keeping = Engine(policy_with("notes", forward={"token": "keep"}))
        assert "authorization" not in decided(keeping, asking(mint())).remove
        public = decided(keeping, asking("x", target="/notes/health"))
        assert "authorization" not in public.remove

    def test_lookalikes_are_removed_or_where_that_cannot_be_refused(self, engine):
        request = asking(mint(), headers={"x_auth_subject": "root", "x-auth-subject": "root"})
        found = decided(engine, request)
        assert "x_auth_subject" in found.remove
        assert dict(found.headers)["x-auth-subject"] == "alice"
        assert why(decided(engine, replace(request, refuse_lookalikes=True))) is (
            Reason.MALFORMED_REQUEST
        )

    def test_what_looks_like_a_header_of_one_server_is_harmless_at_another(self, engine):
        headers = {"x_user_email": "root@example.com"}
        assert "x_user_email" in decided(engine, asking(mint(), headers=headers)).remove
        at_another = at_calculator(headers=headers, method="GET")
        assert "x_user_email" not in decided(engine, at_another).remove
        assert "x_user_email" in decided(engine, asking(mint(), headers=headers)).remove

    def test_a_browser_of_an_allowed_origin_may_read_allow_and_refusal(self, engine):
        for token in (mint(), None):
            found = decided(engine, asking(token, headers={"origin": ORIGIN}))
            assert found.call is None
            headers = dict(found.client_headers if isinstance(found, Allow) else found.headers)
            assert headers["access-control-allow-origin"] == ORIGIN
            assert headers["vary"] == "Origin"

    @pytest.mark.requirement("R19")
    def test_only_credentials_that_are_themselves_malformed_are_challenged_for_it(self, engine):
        found = decided(engine, asking(mint(), repeated=frozenset({"authorization"})))
        assert why(found) is Reason.MALFORMED_REQUEST
        assert 'error="invalid_request"' in dict(found.headers)["www-authenticate"]
        found = decided(engine, at_calculator(body=b"{"))
        assert why(found) is Reason.MALFORMED_REQUEST
        assert "www-authenticate" not in dict(found.headers)

    def test_where_any_origin_will_do_there_must_be_one(self):
        engine = Engine(policy_with("notes", origins=["*"]))
        notes = next(one for one in engine.policy.servers if one.name == "notes")
        gate = Gate(notes, Lookalikes(()))
        assert gate.origin_allowed("https://any.example")
        assert gate.origin_allowed(None) is False
        assert decided(engine, asking(mint())).client_headers == ()

    @pytest.mark.parametrize("odd", ["", " ", "a b", "a\r\nx-evil: 1", "a\n", "a\0", "\x7f", "é"])
    def test_any_origin_is_one_that_a_header_can_carry_back(self, odd):
        """HTTP/1.1 has none of control characters; a proxy may hand on what came another way."""
        engine = Engine(policy_with("notes", origins=["*"]))
        for origin in ("https://any.example", "null", "!~"):
            found = decided(engine, asking(mint(), headers={"origin": origin}))
            assert dict(found.client_headers)["access-control-allow-origin"] == origin
        for headers in ({"origin": odd}, PREFLIGHT | {"origin": odd}):
            method = "OPTIONS" if len(headers) > 1 else "POST"
            found = decided(engine, asking(mint(), method=method, headers=headers))
            assert "access-control-allow-origin" not in dict(found.headers)
            assert found.status == 204 if method == "OPTIONS" else why(found) is Reason.BAD_ORIGIN

    def test_a_browser_may_read_what_is_public_and_nobody_passes_for_somebody_there(self, engine):
        headers = {"origin": ORIGIN, "x_auth_subject": "root"}
        found = decided(engine, asking(target="/notes/health", headers=headers))
        assert found.public
        assert dict(found.client_headers)["access-control-allow-origin"] == ORIGIN
        assert "x_auth_subject" in found.remove
        assert "x-auth-server" not in found.remove
        assert decided(engine, asking(target="/notes/health")).client_headers == ()

    @pytest.mark.parametrize(
        ("later", "left"),
        [(0, 100), (98.5, 1.5), (99, 1), (99.5, 1), (100, 1), (129, 1), (129.5, 0.5)],
    )
    def test_a_lease_ends_with_the_token_or_in_a_second_of_its_leeway(self, later, left):
        leasing = Engine(policy_with("notes", forward={"stream_lease": "token"}))
        token = mint({"exp": NOW + 100})
        assert decided(leasing, asking(token), now=NOW + later).lease_seconds == left

    @pytest.mark.parametrize(
        "request_",
        [
            asking(target="/nowhere"),
            asking(target="/notes/../x"),
            asking(target="/token", in_band=False),
            asking(target="/notes/mcp"),
        ],
    )
    def test_an_mcp_client_is_refused_in_json_rpc_whatever_the_reason(self, engine, request_):
        spoken = replace(request_, headers={"mcp-protocol-version": MODERN})
        assert json.loads(decided(engine, spoken).body)["error"]["data"]["reason"]
        assert json.loads(decided(engine, request_).body)["reason"]

    def test_the_call_is_told(self, engine):
        found = decided(engine, at_calculator(body=call("safe")))
        assert found.call == Call("tools/call", "safe")
        assert (found.token.facts.subject, found.lease_seconds) == ("alice", None)
        assert decided(engine, at_calculator(body=call("danger_x"))).call.name == "danger_x"

    def test_where_the_proxy_hears_only_yes_or_no_nothing_is_answered_in_band(self, engine):
        for request in (
            asking(target="/.well-known/oauth-protected-resource/notes/mcp", in_band=False),
            asking(target="/token", in_band=False),
            asking(method="OPTIONS", headers=PREFLIGHT, in_band=False),
        ):
            assert why(decided(engine, request)) is Reason.NO_MATCHING_SERVER

    def test_identity_headers_over_their_limit_refuse_the_request(self, engine):
        token = mint({"sub": "%" * 6_000})
        found = decided(engine, asking(token))
        assert why(found) is Reason.DENIED_BY_RULE
        assert "16 KiB" in found.detail


class TestWhoWasRefused:
    """The log of a refusal names the caller once the token has verified, and never before."""

    @pytest.mark.parametrize(
        ("claims", "body", "reason"),
        [
            ({"sub": "a\nb"}, call(), Reason.MALFORMED_TOKEN),
            ({"client_id": "stranger"}, call(), Reason.DENIED_BY_RULE),
            ({}, None, Reason.UNVERIFIED_CALL),
            ({}, b"[]", Reason.BATCH_REFUSED),
            ({}, call("danger_1"), Reason.DENIED_BY_RULE),
            ({}, call("gold"), Reason.DENIED_BY_RULE),
            ({"scope": "x"}, call(), Reason.INSUFFICIENT_SCOPE),
        ],
    )
    def test_a_verified_caller_is_named(self, claims, body, reason):
        tools = {"danger_*": "deny", "gold": {"claims": {"tier": "gold"}}, "*": "allow"}
        policy = policy_with("calculator", tools=tools)
        servers = tuple(
            replace(one, allowed_clients=frozenset({"inspector"})) for one in policy.servers
        )
        engine = Engine(replace(policy, servers=servers))
        token = mint({"aud": CALCULATOR, "scope": "calculator", **claims})
        for _ in range(2):
            found = decided(engine, asking(token, target="/calculator/mcp", body=body))
            assert why(found) is reason
            assert found.token.facts.issuer_value == ISSUER

    @pytest.mark.parametrize(
        ("scope", "name", "reason"),
        [
            ("x", "add", Reason.INSUFFICIENT_SCOPE),
            ("calculator", "danger_1", Reason.DENIED_BY_RULE),
        ],
    )
    def test_the_call_that_a_rule_refused_is_named(self, engine, scope, name, reason):
        found = decided(engine, at_calculator(scope, body=call(name)))
        assert (why(found), found.call) == (reason, Call("tools/call", name))

    @pytest.mark.parametrize("claims", [{"exp": 1}, {"aud": "x"}, {"iss": "https://x.example"}])
    def test_a_token_that_did_not_verify_names_nobody(self, engine, claims):
        assert decided(engine, asking(mint(claims))).token is None


@pytest.mark.parametrize(
    ("method", "kind", "member"),
    [
        ("tools/call", "tools", "name"),
        ("prompts/get", "prompts", "name"),
        ("resources/read", "resources", "uri"),
        ("resources/subscribe", "resources", "uri"),
        ("resources/unsubscribe", "resources", "uri"),
    ],
)
def test_each_kind_of_call_has_its_own_rules(method, kind, member):
    engine = Engine(policy_with("calculator", **{kind: {"bad*": "deny", "*": "allow"}}))
    for name, reason in (("bad:1", Reason.DENIED_BY_RULE), ("good:1", None)):
        said = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {member: name}}
        found = decided(engine, at_calculator(body=json.dumps(said).encode()))
        assert why(found) is reason


def test_a_refusal_names_the_server_its_metadata_and_its_scopes(engine):
    found = decided(engine, asking())
    challenge = dict(found.headers)["www-authenticate"]
    metadata = "https://mcp.example.com/.well-known/oauth-protected-resource/notes/mcp"
    assert (found.server, why(found)) == ("notes", Reason.MISSING_TOKEN)
    assert f'resource_metadata="{metadata}"' in challenge
    assert 'scope="notes"' in challenge


def test_rules_that_are_all_patterns_are_rules():
    engine = Engine(policy_with("calculator", tools={"danger_*": "deny"}, methods={}))
    assert why(decided(engine, at_calculator(body=call("danger_1")))) is Reason.DENIED_BY_RULE
    assert why(decided(engine, at_calculator())) is Reason.UNVERIFIED_CALL


def test_a_lease_of_a_request_without_a_call_tells_of_none():
    engine = Engine(policy_with("calculator", forward={"stream_lease": "token"}))
    found = decided(engine, at_calculator(method="GET"))
    assert (why(found), found.call, found.lease_seconds) == (None, None, 300)


@pytest.mark.parametrize("tier", ["gold", ["tin", "gold"], "tin", ABSENT, True])
def test_a_rule_may_ask_for_a_claim_and_for_a_scope_besides(tier):
    rule = {"claims": {"tier": "gold"}, "scopes": ["s"]}
    engine = Engine(policy_with("calculator", tools={"x": rule}))
    for scope, reason in (("calculator s", None), ("calculator", Reason.INSUFFICIENT_SCOPE)):
        token = mint({"aud": CALCULATOR, "scope": scope, "tier": tier})
        found = decided(engine, asking(token, target="/calculator/mcp", body=call("x")))
        holds = tier in ("gold", ["tin", "gold"])
        assert why(found) is (reason if holds else Reason.DENIED_BY_RULE)


def test_a_scope_counts_for_those_that_it_implies():
    implied = {"all": ["calculator", "calculator.add"]}
    engine = Engine(policy_with("calculator", scope_implies=implied))
    assert why(decided(engine, at_calculator("all", body=call("add")))) is None
    found = decided(engine, at_calculator("calculator", body=call("add")))
    assert why(found) is Reason.INSUFFICIENT_SCOPE


class TestAnyScopes:
    def engine(self) -> Engine:
        tools = {"one": {"scopes": ["s"], "any_scopes": ["a", "b"]}, "two": {"any_scopes": ["a"]}}
        return Engine(policy_with("calculator", tools=tools))

    @pytest.mark.parametrize("scope", ["s a", "s b", "b s a"])
    def test_any_one_of_them_will_do(self, scope):
        request = at_calculator(f"calculator {scope}", body=call("one"))
        assert why(decided(self.engine(), request)) is None

    @pytest.mark.parametrize("scope", ["s", "a", "b", "a b", "", "s c"])
    def test_one_of_them_and_all_others_are_needed(self, scope):
        request = at_calculator(f"calculator {scope}".strip(), body=call("one"))
        found = decided(self.engine(), request)
        assert why(found) is Reason.INSUFFICIENT_SCOPE
        assert 'scope="calculator s a"' in dict(found.headers)["www-authenticate"]

    def test_they_count_where_nothing_else_is_asked_for(self):
        tools = {"x": {"any_scopes": ["a", "b"]}, "*": "allow"}
        engine = Engine(policy_with("calculator", scopes=[], tools=tools))
        assert why(decided(engine, at_calculator("b", body=call("x")))) is None
        assert why(decided(engine, at_calculator("c", body=call("y")))) is None
        found = decided(engine, at_calculator("c", body=call("x")))
        assert why(found) is Reason.INSUFFICIENT_SCOPE
        assert 'scope="a"' in dict(found.headers)["www-authenticate"]

    def test_whose_scopes_are_lacking_is_told_to_the_log(self):
        engine = self.engine()
        assert decided(engine, at_calculator("a", body=call("two"))).detail == "rule two"
        found = decided(engine, at_calculator("a", method="GET"))
        assert found.detail == "scopes of the server"

    def test_a_scope_is_named_once(self):
        found = decided(self.engine(), at_calculator("x", body=call("two")))
        assert 'scope="calculator a"' in dict(found.headers)["www-authenticate"]


class TestOpenMethods:
    """What begins and keeps up a session needs the scopes of the server and no rule."""

    @pytest.mark.parametrize(
        "method",
        ["initialize", "server/discover", "ping", "notifications/initialized", "notifications/x"],
    )
    def test_no_rule_closes_them(self, method):
        engine = Engine(policy_with("calculator", methods={"*": "deny"}))
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode()
        assert why(decided(engine, at_calculator(body=body))) is None
        assert why(decided(engine, at_calculator("x", body=body))) is Reason.INSUFFICIENT_SCOPE

    def test_a_method_that_no_rule_names_needs_the_scopes_of_the_server(self, engine):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
        assert why(decided(engine, at_calculator(body=body))) is None
        found = decided(engine, at_calculator("x", body=body))
        assert why(found) is Reason.INSUFFICIENT_SCOPE

    @pytest.mark.parametrize("method", ["tools/list", "notifications", "pings", "x"])
    def test_a_rule_for_any_method_closes_all_others(self, method):
        engine = Engine(policy_with("calculator", methods={"*": "deny"}))
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode()
        assert why(decided(engine, at_calculator(body=body))) is Reason.DENIED_BY_RULE

    @pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
    def test_a_request_that_has_no_body_is_no_call(self, engine, method):
        assert why(decided(engine, at_calculator(method=method))) is None
        found = decided(engine, at_calculator("x", method=method))
        assert why(found) is Reason.INSUFFICIENT_SCOPE

    def test_an_operator_may_let_calls_pass_that_nobody_tells_by_scopes_alone(self):
        changes = {"unverified_calls": "allow_without_rules", "methods": {"*": "deny"}}
        engine = Engine(policy_with("calculator", **changes))
        found = decided(engine, at_calculator())
        assert (why(found), found.call) == (None, None)
        assert why(decided(engine, at_calculator("x"))) is Reason.INSUFFICIENT_SCOPE
        told = at_calculator(body=call("danger_1"))
        assert why(decided(engine, told)) is Reason.DENIED_BY_RULE

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "get", "QUERY"])
    def test_any_other_request_must_tell_its_call(self, engine, method):
        assert why(decided(engine, at_calculator(method=method))) is Reason.UNVERIFIED_CALL

    def test_a_response_of_the_client_is_no_call(self):
        engine = Engine(policy_with("calculator", methods={"*": "deny"}))
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {}}).encode()
        assert why(decided(engine, at_calculator(body=body))) is None


class TestMissingKeys:
    def test_a_key_that_is_not_there_is_asked_for(self, engine):
        token = mint(key=signer("ES256", "new"))
        assert decided(engine, asking(token)) == NeedKeys("corp", "new")
        assert decided(engine, asking(mint()), keys={}) == NeedKeys("corp", "es256")
        without = mint(header={"kid": ABSENT}, key=signer("PS256"))
        only_ec = {"corp": parse_key_set(jwks(signer()))}
        assert decided(engine, asking(without), keys=only_ec) == NeedKeys("corp", None)

    @pytest.mark.parametrize("reason", [Reason.KEYS_UNAVAILABLE, Reason.UNKNOWN_KEY])
    def test_asked_again_the_answer_is_a_refusal(self, engine, reason):
        token = mint(key=signer("ES256", "new"))
        assert why(decided(engine, asking(token), missing_key=reason)) is reason

    @pytest.mark.requirement("R51")
    def test_junk_asks_for_no_keys(self, engine):
        new = signer("ES256", "new")
        for changes in ({"exp": 1}, {"aud": "x"}, {"iss": "https://x"}, {"cnf": "x"}):
            assert not isinstance(decided(engine, asking(mint(changes, key=new))), NeedKeys)


class TestAudit:
    def audited(self, token: str | None = None, engine: Engine | None = None, **more: Any) -> Any:
        request = asking(token, target="/audited/mcp", **more)
        return decided(engine or engine_for_tests(), request, missing_key=Reason.UNKNOWN_KEY)

    @pytest.mark.parametrize(
        ("token", "reason"),
        [
            (None, Reason.MISSING_TOKEN),
            ("junk", Reason.MALFORMED_TOKEN),
            (mint({"exp": 1, "aud": "https://mcp.example.com/audited/mcp"}), Reason.TOKEN_EXPIRED),
            (mint(), Reason.WRONG_AUDIENCE),
            (mint({"aud": "https://mcp.example.com/audited/mcp"}, header={"kid": "x"}),
             Reason.UNKNOWN_KEY),
        ],
    )  # fmt: skip
    def test_what_would_be_refused_passes_without_identity(self, token, reason):
        found = self.audited(token, headers={"x_auth_subject": "root"})
        assert (found.audited, found.headers, found.public) == (reason, (), False)
        assert set(IDENTITY_HEADERS) < set(found.remove)
        assert "x_auth_subject" in found.remove
        assert "authorization" not in found.remove

    def test_a_verified_token_that_lacks_a_scope_keeps_its_identity(self):
        token = mint({"aud": "https://mcp.example.com/audited/mcp", "scope": "x"})
        found = self.audited(token)
        assert found.audited is Reason.INSUFFICIENT_SCOPE
        assert dict(found.headers)["x-auth-subject"] == "alice"
        assert found.token is not None

    def test_a_claim_that_cannot_be_forwarded_leaves_no_identity(self):
        token = mint({"aud": "https://mcp.example.com/audited/mcp", "sub": "a\nb"})
        found = self.audited(token)
        assert (found.audited, found.headers) == (Reason.MALFORMED_TOKEN, ())

    def test_what_was_called_and_who_may_read_it_is_told_of_an_audited_refusal(self):
        engine = Engine(policy_with("audited", tools={"x": "deny"}, origins=[ORIGIN]))
        token = mint({"aud": "https://mcp.example.com/audited/mcp", "scope": "audited"})
        found = self.audited(token, engine, body=call("x"), headers={"origin": ORIGIN})
        assert found.audited is Reason.DENIED_BY_RULE
        assert found.call == Call("tools/call", "x")
        assert dict(found.client_headers)["access-control-allow-origin"] == ORIGIN

    def test_what_is_not_wrong_is_not_audited(self):
        token = mint({"aud": "https://mcp.example.com/audited/mcp", "scope": "audited"})
        found = self.audited(token)
        assert found.audited is None
        assert "authorization" in found.remove

    def test_a_bad_origin_passes_but_paths_and_lookalikes_behind_nginx_do_not(self):
        found = self.audited(headers={"origin": "https://evil.example"})
        assert found.audited is Reason.BAD_ORIGIN
        assert found.client_headers == ()
        found = self.audited(headers={"x_auth_subject": "root"}, refuse_lookalikes=True)
        assert why(found) is Reason.MALFORMED_REQUEST
        found = decided(engine_for_tests(), asking(target="/audited//mcp"))
        assert why(found) is Reason.AMBIGUOUS_PATH


class TestAllowedClients:
    def policy(self, *clients: str) -> Policy:
        policy = policy_for_tests()
        servers = tuple(replace(one, allowed_clients=frozenset(clients)) for one in policy.servers)
        return replace(policy, servers=servers)

    @pytest.mark.requirement("R45")
    @pytest.mark.parametrize("name", ["client_id", "azp", "cid", "appid"])
    def test_the_client_may_be_named_by_any_of_four_claims(self, name):
        engine = Engine(self.policy("a", "b"))
        token = mint({"client_id": ABSENT, name: "b"})
        assert why(decided(engine, asking(token))) is None
        other = mint({"client_id": ABSENT, name: "c"})
        assert why(decided(engine, asking(other))) is Reason.DENIED_BY_RULE

    def test_the_client_that_is_allowed_is_the_one_that_the_server_is_told_of(self):
        engine = Engine(self.policy("good"))
        token = mint({"client_id": "bad", "azp": "good"})
        assert why(decided(engine, asking(token))) is Reason.DENIED_BY_RULE
        assert why(decided(engine, asking(mint({"client_id": ABSENT})))) is Reason.DENIED_BY_RULE


class TestMemory:
    """A token that verified once is judged anew on every request, but for its signature."""

    @pytest.mark.requirement("M6", "R42")
    def test_a_hit_spares_the_signature_and_nothing_else(self, engine, monkeypatch):
        checked = []
        verify = Key.verify

        def counted(key: Key, *given: Any) -> bool:
            checked.append(key)
            return verify(key, *given)

        monkeypatch.setattr(Key, "verify", counted)
        token = mint()
        first = decided(engine, asking(token))
        again = {name: KeySet(keys.keys) for name, keys in KEYS.items()}
        for keys in (KEYS, KEYS, again):
            assert decided(engine, asking(token), keys=keys) == first
        assert decided(engine, asking(token), missing_key=Reason.UNKNOWN_KEY) == first
        assert (engine.cache.hits, len(engine.cache), len(checked)) == (3, 1, 1)

    def test_at_once_a_token_is_believed_only_if_it_verified_before(self, engine):
        token, keys = mint(), key_sets()
        at_once = engine.decide_at_once
        assert at_once(asking(token), keys, now=NOW) == Unproven()
        allowed = decided(engine, asking(token))
        for _ in range(2):
            assert at_once(asking(token), keys, now=NOW) == allowed
        assert at_once(asking(token), keys, now=NOW + 10_000_000) == Unproven()
        assert at_once(asking(token), {}, now=NOW) == Unproven()
        assert (engine.cache.hits, engine.cache.misses) == (2, 1)

    def test_a_request_counts_once_whichever_way_it_goes(self, engine):
        """First at once, then in its turn, then with a key that was looked for."""
        token, keys = mint(), key_sets()

        def judged(keys: dict[str, KeySet], now: float = NOW) -> tuple[int, int]:
            hits, misses = engine.cache.hits, engine.cache.misses
            if engine.decide_at_once(asking(token), keys, now=now) == Unproven():
                found = decided(engine, asking(token), keys=keys, now=now)
                if isinstance(found, NeedKeys):
                    decided(
                        engine, asking(token), keys=keys, now=now, missing_key=Reason.UNKNOWN_KEY
                    )
            return engine.cache.hits - hits, engine.cache.misses - misses

        assert judged({}) == (0, 1)
        assert judged(keys) == (0, 1)
        assert judged(keys) == (1, 0)
        assert judged(keys, NOW + 10_000_000) == (1, 0)
        assert judged({}) == (1, 0)

    @pytest.mark.parametrize(
        "request_",
        [
            asking(), asking(target="/nowhere"), asking(target="/notes/../x"),
            asking(target="/notes/public/x"), asking(headers={"origin": "https://evil.example"}),
            asking(target="/.well-known/oauth-protected-resource/notes/mcp"),
        ],
    )  # fmt: skip
    def test_what_needs_no_token_is_decided_at_once(self, engine, request_):
        found = engine.decide_at_once(request_, key_sets(), now=NOW)
        assert found == decided(engine, request_)

    @pytest.mark.parametrize("value", ["", "Bearer", "BEARER x", "Basic eDp5", "Bearer a,b"])
    def test_odd_credentials_wait_for_their_turn(self, engine, value):
        request = asking(headers={"authorization": value})
        assert engine.decide_at_once(request, key_sets(), now=NOW) == Unproven()

    def test_at_once_a_limit_that_was_lowered_counts(self, engine):
        token, keys = mint(), key_sets()
        decided(engine, asking(token))
        just = Engine(replace(policy_for_tests(), token_max_bytes=len(token)), engine)
        below = Engine(replace(policy_for_tests(), token_max_bytes=len(token) - 1), engine)
        assert isinstance(just.decide_at_once(asking(token), keys, now=NOW), Allow)
        assert below.decide_at_once(asking(token), keys, now=NOW) == Unproven()

    @pytest.mark.parametrize("name", ["safe", "danger_x", "add"])
    def test_at_once_the_rules_for_calls_hold(self, engine, name):
        request = at_calculator(body=call(name))
        usual = decided(engine, request)
        assert engine.decide_at_once(request, key_sets(), now=NOW) == usual

    def test_a_long_body_is_read_in_its_turn(self, engine):
        def padded(length):
            body = call("safe")
            return at_calculator(body=body + b" " * (length - len(body)))

        for length, at_once in ((32 * 1024, True), (32 * 1024 + 1, False)):
            request = padded(length)
            usual = decided(engine, request)
            assert isinstance(usual, Allow)
            found = engine.decide_at_once(request, key_sets(), now=NOW)
            assert found == (usual if at_once else Unproven())

    def test_where_no_rule_reads_it_a_body_may_be_of_any_length(self, engine):
        request = asking(mint(), method="POST", body=bytes(100_000))
        usual = decided(engine, request)
        assert isinstance(usual, Allow)
        assert engine.decide_at_once(request, key_sets(), now=NOW) == usual

    def test_at_once_a_lease_ends_with_the_token(self):
        leasing = Engine(policy_with("notes", forward={"stream_lease": "token"}))
        request = asking(mint({"exp": NOW + 100}))
        usual = decided(leasing, request)
        assert usual.lease_seconds == 100
        assert leasing.decide_at_once(request, key_sets(), now=NOW) == usual

    def test_a_key_that_is_not_to_be_had_refuses_as_if_judged_again(self, engine):
        nowhere = asking(mint(), target="/nowhere")
        assert engine.without_key(nowhere, Reason.UNKNOWN_KEY, "corp") == decided(engine, nowhere)
        request = asking(mint(header={"kid": "gone"}))
        for reason in (Reason.UNKNOWN_KEY, Reason.KEYS_UNAVAILABLE):
            refused = decided(engine, request, missing_key=reason)
            assert engine.without_key(request, reason, "corp") == refused

    @pytest.mark.parametrize(
        ("reason", "more"),
        [
            (Reason.UNKNOWN_KEY, ""),
            (Reason.KEYS_UNAVAILABLE, ", and no newer ones are to be had"),
        ],
    )
    def test_whose_key_is_missing_is_in_the_detail(self, engine, reason, more):
        refused = decided(engine, asking(mint(header={"kid": "gone"})), missing_key=reason)
        assert refused.detail == f"no key of issuer corp fits kid and algorithm{more}"

    def test_only_tokens_that_verified_are_remembered(self, engine):
        stranger = mint(key=signer(), sign=signer("ES256", "stranger").sign)
        for token in ("junk", mint({"exp": 1}), mint({"aud": "x"}), stranger):
            decided(engine, asking(token))
        assert len(engine.cache) == 0

    def test_it_expires_while_it_is_remembered(self, engine):
        token = mint({"exp": NOW + 10})
        assert why(decided(engine, asking(token), now=NOW + 39.9)) is None
        assert why(decided(engine, asking(token), now=NOW + 40)) is Reason.TOKEN_EXPIRED

    def test_a_clock_that_steps_back_makes_it_not_yet_valid(self, engine):
        token = mint({"nbf": NOW, "iat": ABSENT})
        assert why(decided(engine, asking(token))) is None
        early = decided(engine, asking(token), now=NOW - 31)
        assert why(early) is Reason.TOKEN_NOT_YET_VALID

    def test_a_withdrawn_key_counts_no_longer(self, engine):
        token = mint()
        assert why(decided(engine, asking(token))) is None
        without = KEYS | {"corp": parse_key_set(jwks(signer("RS256")))}
        found = decided(engine, asking(token), keys=without, missing_key=Reason.UNKNOWN_KEY)
        assert why(found) is Reason.UNKNOWN_KEY
        assert decided(engine, asking(token), keys={}) == NeedKeys("corp", "es256")

    @pytest.mark.parametrize(
        "change",
        [{"kid": "renamed"}, {"alg": "ES384"}, {"use": "enc"}, {"issuer": "https://x"}],
    )
    def test_a_key_that_changed_its_use_counts_no_longer(self, engine, change):
        token = mint()
        assert why(decided(engine, asking(token))) is None
        changed = KEYS | {
            "corp": parse_key_set(jwks(signer().public_jwk() | change, signer("RS256")))
        }
        found = decided(engine, asking(token), keys=changed, missing_key=Reason.UNKNOWN_KEY)
        assert why(found) is Reason.UNKNOWN_KEY

    def test_keys_that_came_anew_and_are_the_same_count(self, engine):
        token = mint()
        decided(engine, asking(token))
        again = {name: KeySet(keys.keys) for name, keys in KEYS.items()}
        assert why(decided(engine, asking(token), keys=again)) is None
        assert engine.cache.hits == 1

    def test_another_server_judges_it_by_its_own_demands(self, engine):
        token = mint({"aud": [NOTES, CALCULATOR], "scope": "notes calculator"})
        assert decided(engine, asking(token)).server == "notes"
        other = decided(engine, asking(token, target="/calculator/mcp", body=call()))
        assert (other.server, dict(other.headers)["x-auth-server"]) == ("calculator", "calculator")
        token = mint()
        decided(engine, asking(token))
        request = asking(token, target="/calculator/mcp", body=call())
        assert why(decided(engine, request)) is Reason.WRONG_AUDIENCE

    def test_an_issuer_that_the_server_does_not_name_is_not_let_in_by_memory(self, engine):
        claims = {"iss": "https://login.other.example", "aud": [NOTES, CALCULATOR]}
        token = mint(claims, key=signer("ES256", "es256-other"))
        assert why(decided(engine, asking(token))) is None
        request = asking(token, target="/calculator/mcp")
        assert why(decided(engine, request)) is Reason.UNKNOWN_ISSUER

    def test_the_text_in_the_query_or_twice_is_refused_as_before(self, engine):
        token = mint()
        decided(engine, asking(token))
        query = asking(token, target="/notes/mcp?access_token=x")
        assert why(decided(engine, query)) is Reason.MALFORMED_REQUEST
        twice = asking(token, repeated=frozenset({"authorization"}))
        assert why(decided(engine, twice)) is Reason.MALFORMED_REQUEST

    @pytest.mark.requirement("M8", "R15")
    @pytest.mark.parametrize(
        ("before", "reason"),
        [
            ("", Reason.MISSING_TOKEN),
            ("Basic  ", Reason.MISSING_TOKEN),
            ("Bearer\t", Reason.MALFORMED_TOKEN),
            ("Bearer:", Reason.MALFORMED_TOKEN),
        ],
    )
    def test_a_remembered_text_counts_as_a_bearer_token_alone(self, engine, before, reason):
        token = mint()
        assert why(decided(engine, asking(token))) is None
        request = asking(headers={"authorization": f"{before}{token}"})
        assert why(decided(engine, request)) is reason

    def test_it_is_remembered_by_its_text_however_the_header_was_written(self, engine):
        token = mint()
        odd = asking(headers={"authorization": f"bearer {token}"})
        assert why(decided(engine, odd)) is None
        assert why(decided(engine, asking(token))) is None
        assert (engine.cache.hits, len(engine.cache)) == (1, 1)

    def test_explaining_remembers_nothing(self, engine):
        assert why(decided(engine, asking(mint()), trace=Trace())) is None
        assert len(engine.cache) == 0

    def test_a_trace_sees_every_check_of_a_remembered_token(self, engine):
        token = mint()
        decided(engine, asking(token))
        trace = Trace()
        decided(engine, asking(token), trace=trace)
        assert {"signature", "scopes"} <= {step.check for step in trace.steps}

    @pytest.mark.parametrize("entries", [0, 1, 2, 3, 10])
    def test_it_holds_no_more_than_its_entries(self, entries):
        policy = replace(policy_for_tests(), cache_entries=entries)
        engine = Engine(policy)
        for number in range(25):
            assert why(decided(engine, asking(mint({"jti": str(number)})))) is None
            assert len(engine.cache) <= entries + 1

    def test_what_is_forwarded_is_the_same_from_memory_after_many_others(self, engine):
        token = mint({"email": "a@example.com", "groups": ["x", "y"]})
        first = decided(engine, asking(token))
        assert dict(first.headers)["x-user-email"] == "a@example.com"
        remember_others(engine, token, 5_000)
        again = decided(engine, asking(token))
        assert (again.headers, again.remove) == (first.headers, first.remove)
        assert engine.cache.hits == 2


def remember_others(engine: Engine, token: str, count: int) -> None:
    """As if so many other tokens had verified since ``token`` did."""
    caller = engine.cache.get(token_digest(token))
    assert caller is not None
    for number in range(count):
        engine.cache.put(token_digest(str(number)), caller)


class TestReload:
    def after(self, engine: Engine, policy: Policy) -> Engine:
        return Engine(policy, engine)

    def test_an_unchanged_policy_remembers(self, engine):
        token = mint()
        decided(engine, asking(token))
        again = self.after(engine, policy_for_tests())
        assert why(decided(again, asking(token))) is None
        assert again.cache.hits == 1

    @pytest.mark.parametrize(
        ("issuer", "reason"),
        [
            ({"required_claims": {"tier": "gold"}}, Reason.MISSING_CLAIM),
            ({"algorithms": ["RS256"]}, Reason.UNSUPPORTED_ALGORITHM),
            ({"token_types": ["JWT"]}, Reason.WRONG_TOKEN_TYPE),
            ({"audience_claim": "azp"}, Reason.MISSING_CLAIM),
            ({"scope_claims": ["scp"]}, Reason.INSUFFICIENT_SCOPE),
            ({"issuer": "https://elsewhere.example"}, Reason.UNKNOWN_ISSUER),
        ],
    )
    def test_a_changed_issuer_judges_remembered_tokens_anew(self, engine, issuer, reason):
        token = mint()
        decided(engine, asking(token))
        issuers = [one | issuer if one["name"] == "corp" else one for one in ISSUERS]
        changed = self.after(engine, policy_for_tests(issuers=issuers))
        assert why(decided(changed, asking(token))) is reason

    @pytest.mark.parametrize(
        ("server", "reason"),
        [
            ({"scopes": ["admin"]}, Reason.INSUFFICIENT_SCOPE),
            ({"audiences": ["x"]}, Reason.WRONG_AUDIENCE),
            ({"issuers": ["other"]}, Reason.UNKNOWN_ISSUER),
            ({"tools": {"*": "allow"}}, Reason.UNVERIFIED_CALL),
            ({"methods": {"*": {"claims": {"tier": "gold"}}}}, Reason.UNVERIFIED_CALL),
        ],
    )
    def test_a_changed_server_judges_remembered_tokens_anew(self, engine, server, reason):
        token = mint()
        decided(engine, asking(token))
        changed = self.after(engine, policy_with("notes", **server))
        assert why(decided(changed, asking(token))) is reason

    def test_a_limit_that_was_lowered_counts_for_remembered_tokens(self, engine):
        token = mint()
        assert why(decided(engine, asking(token))) is None
        just = replace(policy_for_tests(), token_max_bytes=len(token))
        below = replace(policy_for_tests(), token_max_bytes=len(token) - 1)
        assert why(decided(self.after(engine, just), asking(token))) is None
        found = decided(self.after(engine, below), asking(token))
        assert why(found) is Reason.TOKEN_TOO_LARGE

    @pytest.mark.parametrize("others", [0, 5_000])
    def test_a_claim_that_came_into_use_is_not_missed_in_memory(self, engine, others):
        token = mint({"tier": "gold", "groups": ["a"]})
        decided(engine, asking(token, method="GET"))
        remember_others(engine, token, others)
        forward = {"headers": {"x-tier": "tier"}}
        changed = self.after(engine, policy_with("notes", forward=forward))
        found = decided(changed, asking(token, method="GET"))
        assert dict(found.headers)["x-tier"] == "gold"


def test_documents_are_answered_without_a_proxy_and_nothing_else_is(engine):
    answer = engine.answer(
        asking(method="GET", target="/.well-known/oauth-protected-resource/notes/mcp")
    )
    assert isinstance(answer, Answer)
    assert answer.status == 200
    refused = engine.answer(asking(mint()))
    assert isinstance(refused, Deny)
    preflight = engine.answer(asking(method="OPTIONS", headers=PREFLIGHT))
    assert isinstance(preflight, Answer)
    assert preflight.status == 204


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/nowhere", Reason.NO_MATCHING_SERVER),
        ("/notes/mcp", Reason.NO_MATCHING_SERVER),
        ("/notes/../token", Reason.AMBIGUOUS_PATH),
    ],
)
def test_without_a_proxy_whatever_is_no_document_is_refused(engine, target, reason):
    for headers in ({}, {"mcp-protocol-version": MODERN}):
        refused = engine.answer(asking(mint(), target=target, headers=headers))
        assert isinstance(refused, Deny)
        assert refused.reason is reason
        assert ("jsonrpc" in json.loads(refused.body)) is bool(headers)


def test_without_a_proxy_a_preflight_allows_the_servers_own_origins_and_no_others(engine):
    for origin, allowed in ((ORIGIN, ORIGIN), ("https://evil.example", None)):
        headers = PREFLIGHT | {"origin": origin}
        answer = engine.answer(asking(method="OPTIONS", headers=headers))
        assert isinstance(answer, Answer)
        assert dict(answer.headers).get("access-control-allow-origin") == allowed


def test_a_server_without_a_resource_has_no_metadata():
    policy = policy_for_tests()
    issuer = policy.issuers[0]
    bare = Server(
        name="s", resource=None, hosts=(HostPattern("*"),), paths=("",), issuers=(issuer,),
        audiences=None,
    )  # fmt: skip
    engine = Engine(replace(policy, servers=(bare,)))
    found = decided(engine, asking(host="anything.example"))
    assert "resource_metadata" not in dict(found.headers)["www-authenticate"]
    assert why(decided(engine, asking(mint({"aud": "x"}), host="y.example"))) is None


def test_reloads_do_not_pile_up_what_was_built_for_a_caller() -> None:
    """Each reload makes new gates, and each of those builds its own answer."""
    token, engine, keys = mint(), Engine(policy_for_tests()), key_sets()
    for _ in range(40):
        assert isinstance(engine.decide(asking(token), keys, now=NOW), Allow)
        engine = Engine(policy_for_tests(), engine)
    known = engine.cache.known(token_digest(token))
    assert known is not None
    assert 0 < len(known.passes) <= 16


@pytest.mark.parametrize(("before", "after"), [(1, True), (True, 1), (0, False)])
def test_after_a_reload_a_remembered_token_meets_the_claims_that_are_required_now(before, after):
    """What was good for the number 1 is not good for true (JSON tells them apart)."""

    def requiring(value: Any) -> Policy:
        first = ISSUERS[0] | {"required_claims": {"admin": value}}
        return policy_for_tests(issuers=[first, *ISSUERS[1:]])

    token, keys = mint({"admin": before}), key_sets()
    engine = Engine(requiring(before))
    assert isinstance(engine.decide(asking(token), keys, now=NOW), Allow)
    reloaded = Engine(requiring(before), engine)
    assert isinstance(reloaded.decide_at_once(asking(token), keys, now=NOW), Allow)
    reloaded = Engine(requiring(after), reloaded)
    assert why(decided(reloaded, asking(token))) is Reason.MISSING_CLAIM


AUDITED = "https://mcp.example.com/audited/mcp"
KINDS: dict[str, Any] = {
    "allowed": asking(mint()),
    "allowed, with an origin": asking(mint(), headers={"origin": ORIGIN, "x_auth_subject": "x"}),
    "allowed call": at_calculator("calculator calculator.add", body=call("add")),
    "refused call": at_calculator(body=call("danger_x")),
    "no call": at_calculator(body=b"{"),
    "scope": asking(mint({"scope": "other"})),
    "audience": asking(mint({"aud": "https://elsewhere.example"})),
    "signature": asking(mint()[:-8] + "AAAAAAAA"),
    "member twice": asking(mint(b'{"iss":1,"iss":2}')),
    "opaque": asking("opaque"),
    "no token": asking(),
    "public": asking(target="/notes/health"),
    "path": asking(target="/notes/../notes"),
    "audited": asking(mint({"aud": AUDITED}), target="/audited/mcp"),
}


@pytest.mark.parametrize("request_", KINDS.values(), ids=KINDS.keys())
def test_a_decision_leaves_nothing_to_the_collector_of_garbage(request_):
    """Whoever it keeps in a circle stays in memory until a collection, which holds all up."""
    engine = engine_for_tests(tokens={"cache_entries": 0})
    decided(engine, request_)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        decided(engine, request_)
        gc.collect()
        # Other threads of the tests leave something of their own.
        left = [type(one).__name__ for one in gc.garbage if "extauthz.core" in type(one).__module__]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []

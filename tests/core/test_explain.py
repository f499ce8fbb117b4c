"""What ``explain`` tells beyond the decision: each check, and where its facts came from."""

from __future__ import annotations

from typing import Any

import pytest

from extauthz.core.engine import Engine
from extauthz.core.explain import Calls, Explanation, explain, question
from extauthz.core.model import Reason, Step
from tests.policies import MODERN, asking, key_sets, policy_for_tests, policy_with
from tests.tokens import CALCULATOR, NOW, mint, signer

ADDING = mint({"aud": CALCULATOR, "scope": "calculator calculator.add"})


def about_a_tool(calls: Calls, **server: object) -> Explanation:
    """The explanation of a call of ``add``; ``server`` changes the calculator."""
    request = question(
        host="mcp.example.com", path="/calculator/mcp", tool="add", token=ADDING, calls=calls
    )
    engine = Engine(policy_with("calculator", **server))
    return explain(engine, request, key_sets(), now=NOW)


def step(told: Explanation, check: str) -> Step:
    (found,) = (one for one in told.steps if one.check == check)
    return found


def test_a_call_that_envoys_filter_tells_is_judged_by_its_rule() -> None:
    told = about_a_tool("mcp")
    assert told.allowed
    assert step(told, "call").found == "tools/call, as Envoy's MCP filter tells it"
    assert "nginx" in step(told, "call").hint


def about_a_resource(uri: str, **server: object) -> Explanation:
    said = {"is_mcp_request": True, "method": "resources/read", "params": {"uri": uri}}
    request = asking(ADDING, target="/calculator/mcp", mcp_metadata=said)
    engine = Engine(policy_with("calculator", **server))
    return explain(engine, request, key_sets(), now=NOW)


def test_a_uri_that_servers_read_as_another_is_told() -> None:
    rules = {"file:///secret/*": "deny", "*": "allow"}
    told = about_a_resource("FILE:///secret/x", resources=rules)
    assert told.reason is Reason.MALFORMED_REQUEST
    found = step(told, "uri")
    assert (found.expected, found.passed) == ("under one rule, however read", False)
    assert found.found == told.detail
    told = about_a_resource("file:///public/x", resources=rules)
    assert told.allowed
    assert "uri" not in {one.check for one in told.steps}


def test_a_tool_may_have_a_name_that_looks_like_a_uri_with_dots() -> None:
    said = {"is_mcp_request": True, "method": "tools/call", "params": {"name": "a/../b"}}
    request = asking(ADDING, target="/calculator/mcp", mcp_metadata=said)
    rules = {"tools": {"*": "allow"}, "resources": {"*": "allow"}}
    engine = Engine(policy_with("calculator", **rules))
    assert explain(engine, request, key_sets(), now=NOW).allowed


def test_a_call_that_the_proxy_does_not_tell_is_refused_as_serve_refuses_it() -> None:
    told = about_a_tool("none")
    assert told.reason is Reason.UNVERIFIED_CALL
    assert "see unverified_calls" in step(told, "call").hint


def test_a_call_that_the_proxy_does_not_tell_may_pass_without_rules() -> None:
    told = about_a_tool("none", unverified_calls="allow_without_rules")
    assert told.allowed
    assert step(told, "call").found == "not known; rules do not apply"


@pytest.mark.parametrize(
    ("request_of", "told_by"),
    [
        ({"body": b'{"method":"ping","id":1}'}, "as the body tells it"),
        (
            {"headers": {"mcp-protocol-version": MODERN, "mcp-method": "ping"}},
            "as the client's Mcp-* headers tell it",
        ),
    ],
)
def test_whoever_tells_the_call_is_named(request_of: dict[str, Any], told_by: str) -> None:
    request = asking(ADDING, target="/calculator/mcp", **request_of)
    engine = Engine(policy_with("calculator", header_versions=[MODERN]))
    told = explain(engine, request, key_sets(), now=NOW)
    assert step(told, "call").found == f"ping, {told_by}"


UNKNOWN = mint(key=signer("ES256", "unknown"))
OTHER_ALGORITHM = mint(key=signer("ES384", "es256"))


@pytest.mark.parametrize(
    ("token", "lacking", "failing", "reason"),
    [
        (UNKNOWN, (), (), Reason.UNKNOWN_KEY),
        (UNKNOWN, ("corp",), ("corp",), Reason.KEYS_UNAVAILABLE),
        (UNKNOWN, ("other",), ("other",), Reason.UNKNOWN_KEY),
        # Held from before: the key that is asked for may be a newer one.
        (UNKNOWN, (), ("corp",), Reason.KEYS_UNAVAILABLE),
        (OTHER_ALGORITHM, (), ("corp",), Reason.UNKNOWN_KEY),
    ],
)
def test_whether_keys_could_be_had_is_a_matter_of_the_tokens_own_issuer(
    token: str, lacking: tuple[str, ...], failing: tuple[str, ...], reason: Reason
) -> None:
    keys = {name: held for name, held in key_sets().items() if name not in lacking}
    request = question(host="mcp.example.com", path="/notes/mcp", token=token)
    told = explain(Engine(policy_for_tests()), request, keys, now=NOW, failing=failing)
    assert told.reason is reason


def test_which_rule_is_for_the_call_is_said_whether_it_denies_or_not() -> None:
    rule = step(about_a_tool("mcp"), "rule")
    assert (rule.expected, rule.found) == ("a rule that does not deny", "rule add")
    rule = step(about_a_tool("mcp", tools={"add": "deny"}), "rule")
    assert (rule.expected, rule.found) == ("a rule that does not deny", "rule add: deny")


def test_of_a_key_that_is_held_nothing_unverified_is_repeated() -> None:
    """The key id is the token's word until the signature has been checked."""
    key = step(about_a_tool("mcp"), "key")
    assert (key.passed, key.found) == (True, "a key of the issuer")


def test_of_a_key_that_is_not_held_both_sides_are_shown() -> None:
    def key(token: str, **sets: Any) -> tuple[bool, str, str]:
        request = question(host="mcp.example.com", path="/notes/mcp", token=token)
        told = explain(Engine(policy_for_tests()), request, {**key_sets(), **sets}, now=NOW)
        found = step(told, "key")
        return found.passed, found.expected, found.found

    passed, expected, found = key(UNKNOWN)
    assert not passed
    assert expected == "a key of issuer corp with the token's kid and algorithm"
    assert found.startswith("unknown, ES256; the issuer has ")
    assert "es256 for ES256" in found
    assert key(UNKNOWN, corp=None)[2] == "unknown, ES256; none is held"


def test_a_claim_that_does_not_hold_is_shown_or_called_absent() -> None:
    condition = {"add": {"claims": {"group": "staff"}}}
    for claims, found in (({}, "absent"), ({"group": "guests"}, "'guests'")):
        token = mint({"aud": CALCULATOR, "scope": "calculator calculator.add", **claims})
        request = question(host="mcp.example.com", path="/calculator/mcp", tool="add", token=token)
        engine = Engine(policy_with("calculator", tools=condition))
        assert step(explain(engine, request, key_sets(), now=NOW), "claim group").found == found


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({}, ""),
        ({"tools": {"add": "deny"}}, "rule add"),
        ({"tools": {"add": "deny"}, "mode": "audit"}, "rule add"),
    ],
)
def test_the_detail_is_that_of_the_decision_line(changes: dict[str, object], detail: str) -> None:
    assert about_a_tool("mcp", **changes).detail == detail


def test_where_no_rule_asks_for_the_call_nothing_is_said_of_it() -> None:
    request = question(host="mcp.example.com", path="/notes/mcp", tool="add", token=mint())
    told = explain(Engine(policy_for_tests()), request, key_sets(), now=NOW)
    assert told.allowed
    assert "call" not in {one.check for one in told.steps}


@pytest.mark.parametrize(
    ("scopes", "expected"), [(["base"], "base and one of x y"), ([], "one of x y")]
)
def test_which_scopes_would_do_is_said_in_words(scopes: list[str], expected: str) -> None:
    told = about_a_tool("mcp", scopes=scopes, tools={"add": {"any_scopes": ["x", "y"]}})
    assert step(told, "scopes").expected == expected

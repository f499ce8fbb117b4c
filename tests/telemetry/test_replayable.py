"""What lines hold for a replay: enough, bounded, of verified tokens alone, and no more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from extauthz.core.engine import Engine
from extauthz.core.policy import Policy
from extauthz.telemetry.decision_log import LineStyle, SubjectStyle
from extauthz.telemetry.hashing import hashed
from extauthz.telemetry.replayable import MAX_CLAIMS, MAX_TEXT, InForce
from tests.policies import MODERN, asking, policy_for_tests, policy_with
from tests.telemetry.listening import Listening
from tests.tokens import CALCULATOR, mint

RULE = {"claims": {"groups": "staff", "/realm/roles": "admin", "sub": "alice"}}
RULED = policy_with("calculator", tools={"add": RULE})
FREE = {"is_mcp_request": True, "method": "tools/call", "params": {"name": "add"}}


def line_of(policy: Policy, request: Any, subject: SubjectStyle = "plain") -> dict[str, Any]:
    style = LineStyle(subject=subject, in_force=InForce.of(policy))
    service = Listening(style, Engine(policy))
    service.ask(request)
    line: dict[str, Any] = service.lines()[0]
    return line


def claims_written(subject: SubjectStyle = "plain", **claims: object) -> dict[str, Any]:
    token = mint({"aud": CALCULATOR, "scope": "calculator", **claims})
    return line_of(RULED, asking(token, target="/calculator/mcp"), subject)


def test_only_claims_that_a_rule_reads_are_written_and_the_subject_in_its_own_field() -> None:
    line = claims_written(groups=["staff", 7], realm={"roles": "admin", "secret": 1}, other="x")
    assert line["claims"] == {"groups": ["staff", 7], "/realm/roles": "admin", "tid": None}
    assert "claims_cut" not in line
    assert line["subject"] == "alice"


def test_without_such_rules_there_are_no_claims() -> None:
    issuers = [{"name": "corp", "issuer": "https://idp.example.com/realms/acme"}]
    notes = {"name": "notes", "resource": "https://mcp.example.com/notes/mcp"}
    policy = policy_for_tests(issuers=issuers, servers=[notes])
    assert "claims" not in line_of(policy, asking(mint({"groups": ["staff"]})))


def test_nothing_nested_is_written() -> None:
    line = claims_written(groups=["a", {"x": "canary"}, ["canary"]], realm={"roles": {"canary": 1}})
    assert line["claims"]["groups"] == ["a", None, None]
    assert line["claims"]["/realm/roles"] == {}
    assert "canary" not in json.dumps(line)


def test_texts_are_hashed_where_subjects_are_and_left_out_where_they_are() -> None:
    claims = {"groups": ["staff", True, 3], "realm": {"roles": "admin"}}
    line = claims_written("hash", **claims)
    assert line["claims"]["groups"] == [hashed("staff"), True, 3]
    assert line["claims"]["/realm/roles"] == hashed("admin")
    line = claims_written("off", **claims)
    assert "claims" not in line
    assert "staff" not in json.dumps(line)


@pytest.mark.parametrize(
    ("value", "written", "cut"),
    [
        ("x" * (MAX_TEXT - 2), "x" * (MAX_TEXT - 2), False),
        ("x" * (MAX_TEXT - 1), None, True),
        (["a", "x" * 500, "b"], ["a", None, "b"], True),
        (10**200, None, True),
        (2**53, 2**53, False),
    ],
)
def test_a_long_text_is_not_written_and_the_line_says_so(
    value: object, written: object, cut: bool
) -> None:
    line = claims_written(groups=value)
    assert line["claims"]["groups"] == written
    assert line.get("claims_cut", []) == (["groups"] if cut else [])


def test_all_claims_together_are_bounded() -> None:
    many = [f"group-{number:03}" for number in range(400)]
    line = claims_written(groups=many, realm={"roles": many})
    assert len(json.dumps(line["claims"], separators=(",", ":"))) <= MAX_CLAIMS + 64
    assert set(line["claims_cut"]) <= {"groups", "/realm/roles"}
    kept = line["claims"]["groups"]
    assert kept == many[: len(kept)]
    assert "cut" not in line


def test_no_claim_of_a_token_that_did_not_verify_is_written() -> None:
    spoiled: list[dict[str, object]] = [{"exp": 1}, {"aud": "x"}, {"iss": "x"}, {"cnf": {}}]
    for claims in spoiled:
        token = mint({"aud": CALCULATOR, "groups": ["canary"], **claims})
        line = line_of(RULED, asking(token, target="/calculator/mcp"))
        assert line["decision"] == "deny"
        assert "claims" not in line
        assert "canary" not in json.dumps(line)


MODERN_CALL = {
    "mcp-protocol-version": MODERN,
    "mcp-method": "tools/call",
    "mcp-name": "add",
}
BODY = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add"}}'
RESPONSE = {"is_mcp_request": True, "method": "__jsonrpc_response"}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"body": BODY}, {"call_source": "body", "tool": "add"}),
        ({"mcp_metadata": FREE}, {"call_source": "mcp", "tool": "add"}),
        ({"mcp_metadata": {}}, {"call_source": "mcp"}),
        ({"mcp_metadata": RESPONSE}, {"call_source": "none"}),
        ({"headers": MODERN_CALL}, {"call_source": "headers", "mcp_version": MODERN}),
        ({"headers": {**MODERN_CALL, "mcp-protocol-version": "x"}}, {"call_source": "headers"}),
        ({}, {"call_source": "none"}),
        ({"method": "GET"}, {}),
    ],
)
def test_a_line_says_what_told_the_call(asked: Mapping[str, Any], told: Mapping[str, str]) -> None:
    token = mint({"aud": CALCULATOR, "scope": "calculator calculator.add"})
    policy = policy_with("calculator", tools={"*": "allow"})
    line = line_of(policy, asking(token, target="/calculator/mcp", **asked))
    names = ("call_source", "mcp_version", "tool")
    assert {name: line[name] for name in names if name in line} == told


@pytest.mark.parametrize(
    ("metadata", "headers", "told"),
    [
        (FREE, {}, {"method": "tools/call", "tool": "add", "call_source": "mcp"}),
        (FREE, {"mcp-name": "other"}, {}),
        (FREE, {"content-type": "application/json; charset=utf-7"}, {}),
        (FREE, {"content-encoding": "gzip"}, {}),
        (RESPONSE, {}, {}),
        ({}, {}, {}),
        (None, MODERN_CALL, {}),
    ],
)
def test_where_no_rule_asks_the_line_has_what_the_proxy_told_if_that_is_sure(
    metadata: Any, headers: dict[str, str], told: dict[str, str]
) -> None:
    line = line_of(policy_for_tests(), asking(mint(), mcp_metadata=metadata, headers=headers))
    assert line["decision"] == "allow"
    names = ("method", "tool", "call_source")
    assert {name: line[name] for name in names if name in line} == told


@pytest.mark.parametrize(
    ("origin", "written"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("null", "null"),
        ("https://app.example.com/path?canary", "(odd)"),
        ("https://" + "a" * 256, "(odd)"),
        ("canary", "(odd)"),
    ],
)
def test_an_origin_is_written_as_what_it_is_or_as_odd(origin: str, written: str) -> None:
    line = line_of(policy_for_tests(), asking(mint(), headers={"origin": origin}))
    assert line["origin"] == written
    assert "canary" not in json.dumps(line)


def test_a_server_that_the_proxy_named_is_written_if_it_may_be_a_name() -> None:
    for name, written in (("notes", "notes"), ("no such", "(odd)"), ("", "(odd)")):
        assert line_of(policy_for_tests(), asking(mint(), server=name))["named"] == written
    assert "named" not in line_of(policy_for_tests(), asking(mint()))


def test_whether_there_were_credentials_is_told_where_nothing_was_proved() -> None:
    policy = policy_for_tests()
    assert line_of(policy, asking(None))["credentials"] == "none"
    assert line_of(policy, asking(None, target="/notes/health"))["credentials"] == "none"
    assert "credentials" not in line_of(policy, asking("x", target="/notes/health"))
    assert "credentials" not in line_of(policy, asking(mint()))


def test_a_line_that_was_cut_says_so() -> None:
    assert line_of(policy_for_tests(), asking(mint({"sub": "s" * 5000})))["cut"] is True
    assert "cut" not in line_of(policy_for_tests(), asking(mint()))


def test_a_sampled_line_tells_the_share_and_a_refusal_never() -> None:
    service = Listening(LineStyle(allow_sample=0.999))
    service.ask(asking(mint()))
    service.ask(asking(None))
    assert [line.get("sample") for line in service.lines()] == [0.999, None]

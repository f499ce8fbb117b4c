"""Claims that a server asks for on every request: who lacks one is told 403, and not to log in."""

from __future__ import annotations

from typing import Any

import pytest

from extauthz.core.engine import Engine
from extauthz.core.explain import explain
from extauthz.core.model import Allow, Deny, Reason
from tests.policies import asking, key_sets, policy_with
from tests.tokens import ABSENT, CALCULATOR, NOW, mint

KEYS = key_sets()
EDITORS = {"claims": {"groups": ["editors", "owners"], "/org/id": "acme"}}
MEMBER = {"groups": ["staff", "editors"], "org": {"id": "acme"}}
METHODS = ("GET", "POST", "DELETE")


def decided(engine: Engine, method: str, **claims: Any) -> Any:
    token = mint({**MEMBER, **claims})
    return engine.decide(asking(token, method=method), KEYS, now=NOW)


@pytest.mark.parametrize("method", METHODS)
def test_who_has_them_all_is_let_in(method: str) -> None:
    engine = Engine(policy_with("notes", **EDITORS))
    for groups in (["editors"], "owners"):
        assert isinstance(decided(engine, method, groups=groups), Allow)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "lacking",
    [
        {"groups": ["staff"]},
        {"groups": ABSENT},
        {"groups": "editors,owners"},
        {"org": {"id": "other"}},
        {"org": ABSENT},
    ],
)
def test_who_lacks_one_is_refused_each_time(method: str, lacking: dict[str, Any]) -> None:
    engine = Engine(policy_with("notes", **EDITORS))
    for _ in range(2):  # the second time the token is remembered
        found = decided(engine, method, **lacking)
        assert isinstance(found, Deny)
        assert (found.reason, found.status) == (Reason.DENIED_BY_RULE, 403)
        assert found.detail.startswith("server: claim ")
        assert "www-authenticate" not in dict(found.headers)


def test_it_is_said_before_a_scope_that_would_not_help() -> None:
    engine = Engine(policy_with("notes", **EDITORS))
    assert decided(engine, "GET", scope="x").reason is Reason.INSUFFICIENT_SCOPE
    assert decided(engine, "GET", scope="x", groups=[]).reason is Reason.DENIED_BY_RULE


@pytest.mark.parametrize("method", ["initialize", "ping", "tools/list", "notifications/x"])
def test_they_are_asked_for_whatever_is_called(method: str) -> None:
    engine = Engine(policy_with("calculator", claims={"groups": "editors"}))
    said = {"is_mcp_request": True, "method": method}
    for groups, allowed in (["editors"], True), (["staff"], False):
        token = mint({"aud": CALCULATOR, "scope": "calculator", "groups": groups})
        request = asking(token, target="/calculator/mcp", method="POST", mcp_metadata=said)
        assert isinstance(engine.decide(request, KEYS, now=NOW), Allow) is allowed


def test_public_paths_need_none() -> None:
    engine = Engine(policy_with("notes", **EDITORS))
    assert isinstance(engine.decide(asking(target="/notes/health"), KEYS, now=NOW), Allow)


def test_explain_names_the_one_that_is_lacking() -> None:
    engine = Engine(policy_with("notes", **EDITORS))
    told = explain(engine, asking(mint({"org": {"id": "acme"}})), KEYS, now=NOW)
    failed = [(step.check, step.expected) for step in told.steps if not step.passed]
    assert failed == [("claim groups", "'editors' or 'owners'")]

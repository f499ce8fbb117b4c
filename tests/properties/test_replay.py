"""Laws of every replay, whatever was asked and whatever was in force."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from extauthz.core.model import Reason, Request
from extauthz.core.policy import Policy
from extauthz.replay.judge import Change, Kept
from tests.policies import SERVERS, compiled, document, policy_for_tests
from tests.properties.requests import requests
from tests.replay.logs import log_of, record_of, replayed

MANY = settings(max_examples=int(os.environ.get("EXTAUTHZ_EXAMPLES", "60")))

_RULES = st.one_of(
    st.sampled_from(["allow", "deny", ["calculator.add"], ["notes"]]),
    st.fixed_dictionaries(
        {},
        optional={
            "scopes": st.lists(st.sampled_from(["notes", "calculator", "x"]), max_size=2),
            "any_scopes": st.lists(
                st.sampled_from(["notes", "calculator.add", "y"]), min_size=1, max_size=2
            ),
            "claims": st.dictionaries(
                st.sampled_from(["groups", "sub", "client_id", "azp", "email", "/a/b", "scope"]),
                st.sampled_from(["a", "alice", "inspector", ["a", True], 1, True]),
                max_size=2,
            ),
        },
    ),
)
_NAMES = st.sampled_from(["add", "a*", "*", "x", "tools/list", "file:///a", "danger_zone"])
_MAPS = st.dictionaries(_NAMES, _RULES, max_size=3)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """The policy of the tests with changes that touch every part of it."""
    servers: list[dict[str, Any]] = []
    for server in SERVERS:
        changes = draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "tools": _MAPS,
                    "prompts": _MAPS,
                    "resources": _MAPS,
                    "methods": _MAPS,
                    "scopes": st.lists(st.sampled_from(["notes", "calculator", "z"]), max_size=1),
                    "scope_implies": st.just({"notes": ["z"]}),
                    "mode": st.sampled_from(["audit", "enforce"]),
                    "origins": st.sampled_from([["*"], [], ["https://evil.example"]]),
                    "audiences": st.sampled_from([["https://other.example/x"], []]),
                    "unverified_calls": st.sampled_from(["deny", "allow_without_rules"]),
                    "header_versions": st.sampled_from([[], ["2026-07-28"]]),
                },
            )
        )
        servers.append(server | changes)
    issuers = document()["issuers"]
    first = dict(issuers[0]) | draw(
        st.fixed_dictionaries(
            {},
            optional={
                "required_claims": st.just({"client_id": ["inspector", "x"]}),
                "audience_claim": st.sampled_from(["client_id", "/a/b"]),
                "scope_claims": st.sampled_from([["scope"], ["/realm/roles", "scope"]]),
                "algorithms": st.just(["ES256", "RS256"]),
            },
        )
    )
    return compiled(document(issuers=[first, *issuers[1:]], servers=servers))


@MANY
@given(policies(), requests(), st.sampled_from(["plain", "hash", "off"]))
def test_the_policy_that_decided_decides_the_same_again(
    policy: Policy, request: Request, style: Any
) -> None:
    """The strongest law: of the log of a file, replayed against the file, nothing changes."""
    line, *_ = log_of(policy, [request], subject=style)
    record = record_of(line)
    verdict = replayed(policy, request, policy, subject=style)
    event(f"{record.outcome} {verdict.change} {verdict.kept or ''}")
    if verdict.change is Change.CANNOT_TELL:
        return
    assert verdict.change is Change.UNCHANGED
    if verdict.kept in (Kept.NO_ACCESS_ASKED, Kept.NO_REQUEST_TO_JUDGE):
        return
    if verdict.reason is None and record.reason is Reason.NO_MATCHING_SERVER:
        return  # a document: whether the door could have answered it does not matter here
    assert verdict.server == record.server
    if verdict.detail.startswith("not in the log: "):
        # Let through either way: the judge says that it cannot tell what would be reported.
        assert verdict.reason is None
        assert next(one for one in policy.servers if one.name == verdict.server).audit
        return
    if record.person is None or (style != "off" and record.person.subject is not None):
        # Otherwise the refusal is certain, but it may have had another reason.
        assert verdict.reason == record.reason
    if record.outcome == "audit_deny" or verdict.audited:
        assert (record.outcome, verdict.audited) == ("audit_deny", True)


@MANY
@given(policies(), policies(), requests())
def test_what_is_told_of_another_policy_is_what_it_does(
    old: Policy, new: Policy, request: Request
) -> None:
    """The oracle is the new policy itself, asked with the request that the log only tells of."""
    verdict = replayed(old, request, new)
    was = record_of(log_of(old, [request])[0])
    now = record_of(log_of(new, [request])[0])
    event(f"{was.outcome} {now.outcome} {verdict.change} {verdict.kept or ''}")
    if verdict.change is Change.CANNOT_TELL or verdict.kept is Kept.NO_TOKEN_TO_JUDGE:
        return
    if was.had_access == now.had_access:
        assert verdict.change is Change.UNCHANGED
    else:
        assert verdict.change is (Change.GAINED if now.had_access else Change.LOST)


def test_most_of_what_is_asked_can_be_told() -> None:
    """A law that holds because nothing is ever told would be worth nothing."""
    policy = policy_for_tests()
    told = {Change.UNCHANGED: 0, Change.CANNOT_TELL: 0}

    @settings(max_examples=100, database=None, derandomize=True)
    @given(requests())
    def count(request: Request) -> None:
        told[replayed(policy, request, policy).change] += 1

    count()
    assert told[Change.CANNOT_TELL] * 10 < told[Change.UNCHANGED]

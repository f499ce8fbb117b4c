"""Replies are remembered without ever being mixed up."""

from __future__ import annotations

from dataclasses import replace

from extauthz.adapters.envoy import to_response
from extauthz.adapters.replies import Replies
from extauthz.core.model import Allow, Answer, Call, Decision, Deny, Reason
from tests.policies import asking, engine_for_tests, key_sets
from tests.tokens import CALCULATOR, NOW, mint


def decided(**changes: object) -> Decision:
    """What a new engine makes of a caller, so that nothing but equal values is shared."""
    request = asking(mint(changes, header={}))
    decision = engine_for_tests().decide(request, key_sets(), now=NOW)
    assert isinstance(decision, Allow | Deny | Answer)
    return decision


def serialised(decision: Decision) -> bytes:
    return to_response(decision).SerializeToString(deterministic=True)


def test_a_reply_is_made_once_for_equal_decisions():
    made: list[Decision] = []

    def write(decision: Decision) -> str:
        made.append(decision)
        return "reply"

    replies = Replies(write)
    allow = decided()
    assert isinstance(allow, Allow)
    deny = Deny(reason=Reason.MISSING_TOKEN, status=401, headers=(("a", "b"),), body=b"{}")
    for decision in (allow, replace(allow), deny, replace(deny), allow):
        replies.of(decision)
    assert made == [allow, deny]


def test_no_two_different_decisions_share_a_reply():
    allow, other = decided(), decided(sub="bob")
    assert isinstance(allow, Allow)
    deny = decided(exp=1)
    assert isinstance(deny, Deny)
    decisions: list[Decision] = [
        allow,
        other,
        replace(allow, remove=()),
        replace(allow, client_headers=(("vary", "Origin"),)),
        replace(allow, call=Call("tools/call", "add")),
        replace(allow, call=Call("tools/call", "rm")),
        replace(allow, lease_seconds=1.0),
        replace(allow, lease_seconds=2.0),
        replace(allow, audited=Reason.MISSING_TOKEN),
        replace(allow, audited=Reason.WRONG_AUDIENCE),
        deny,
        decided(aud=CALCULATOR),
        replace(deny, status=403),
        replace(deny, server="other"),
        replace(deny, headers=()),
        replace(deny, body=b"{}"),
        Answer(status=200, headers=(), body=b"a"),
        Answer(status=200, headers=(), body=b"b"),
    ]
    replies = Replies(serialised)
    for _ in range(2):
        assert [replies.of(decision) for decision in decisions] == list(map(serialised, decisions))
    assert len({replies.of(decision) for decision in decisions}) == len(decisions)


def test_memory_is_bounded():
    replies = Replies(serialised)
    for number in range(5000):
        headers = (("x-auth-subject", str(number)),)
        allow = Allow(server="s", headers=headers, remove=())
        assert replies.of(allow) == serialised(allow)
    assert len(replies._kept) <= 2048

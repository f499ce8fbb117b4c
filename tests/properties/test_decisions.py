"""Laws of every decision, whatever the request.

Any input gets an answer and nothing raises; an enforced allow on a path that is not public
names a server, an issuer and unexpired keys; no identity header of the client survives.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.core.engine import Engine
from extauthz.core.identity import folded
from extauthz.core.keyset import parse_key_set
from extauthz.core.model import Allow, Answer, Decision, Deny, NeedKeys, Reason, Request, Trace
from extauthz.core.policy import IDENTITY_HEADERS
from extauthz.core.token_cache import claims_in_use
from extauthz.core.verified import VerifiedToken
from tests.policies import asking, engine_for_tests, key_sets, policy_for_tests
from tests.properties.requests import requests
from tests.refusals import STATUSES
from tests.tokens import ISSUER, NOW, jwks, mint, signer

ENGINE = engine_for_tests()
KEYS = key_sets()
SERVERS = {server.name: server for server in ENGINE.policy.servers}
MANY = settings(max_examples=int(os.environ.get("EXTAUTHZ_EXAMPLES", "100")))


@MANY
@given(requests())
def test_any_request_gets_an_answer_that_can_be_sent(request: Request) -> None:
    decision = ENGINE.decide(request, KEYS, now=NOW, missing_key=Reason.UNKNOWN_KEY)
    assert isinstance(decision, Allow | Deny | Answer)
    if isinstance(decision, Deny):
        assert decision.status == STATUSES[decision.reason]
        assert json.loads(decision.body)
    headers = decision.client_headers if isinstance(decision, Allow) else decision.headers
    for name, _ in headers:
        assert name == name.lower()
        assert name.isascii()


@pytest.mark.requirement("R49")
@MANY
@given(requests())
def test_without_its_keys_no_issuer_lets_anybody_in(request: Request) -> None:
    decision = ENGINE.decide(request, {}, now=NOW)
    if isinstance(decision, Allow):
        assert decision.public or decision.audited is not None
        assert decision.token is None


@MANY
@given(requests())
def test_an_enforced_allow_names_server_issuer_and_a_key_in_force(request: Request) -> None:
    decision = ENGINE.decide(request, KEYS, now=NOW)
    if not isinstance(decision, Allow):
        return
    server = SERVERS[decision.server]
    headers = dict(decision.headers)
    if decision.public:
        assert headers == {"x-auth-server": server.name}
        assert (
            "/public/" in request.target
            or "%70ublic" in request.target
            or ("/notes/health" in request.target)
        )
        return
    if decision.audited is not None:
        assert server.audit
        assert not headers or decision.token is not None
        return
    token = decision.token
    assert token is not None
    assert headers["x-auth-server"] == server.name
    assert headers["x-auth-issuer"] == token.facts.issuer_value
    assert token.facts.issuer in server.issuers
    assert any(KEYS[name].holds(token.key) for name in (token.facts.issuer.name,))
    assert token.facts.expires + token.facts.issuer.leeway > NOW
    assert server.audiences is not None
    assert server.audiences.intersection(token.facts.audiences)
    assert set(server.scopes) <= set(token.facts.scopes)
    assert "authorization" in decision.remove


@pytest.mark.requirement("R44")
@MANY
@given(requests())
def test_no_identity_header_of_the_client_survives(request: Request) -> None:
    decision = ENGINE.decide(request, KEYS, now=NOW, missing_key=Reason.UNKNOWN_KEY)
    if not isinstance(decision, Allow):
        return
    sent = [name for name, _ in decision.headers]
    assert len(sent) == len(set(sent))
    removed = set(decision.remove)
    assert removed.isdisjoint(sent)
    names = {*IDENTITY_HEADERS, *(one.header for one in SERVERS[decision.server].forwarded)}
    assert names <= removed | set(sent)
    folds = {folded(name) for name in names}
    for name in request.headers:
        fold = folded(name)
        if fold in folds or fold.startswith("x-auth-"):
            assert name in removed or name in sent
    for _, value in decision.headers:
        assert value
        assert value.isascii()
        assert value.isprintable()
        assert value == value.strip()


@pytest.mark.requirement("M20", "R43", "R18")
@MANY
@given(requests(), st.booleans())
def test_a_refusal_repeats_nothing_of_the_token(request: Request, json_rpc: bool) -> None:
    decision = ENGINE.decide(request, KEYS, now=NOW, missing_key=Reason.UNKNOWN_KEY)
    if not isinstance(decision, Deny):
        return
    secret = request.headers.get("authorization", "").partition(" ")[2]
    told = f"{decision.body!r} {decision.headers} {decision.detail}"
    for part in secret.split("."):
        if len(part) > 20:
            assert part not in told


@MANY
@given(requests())
def test_explaining_a_request_decides_as_serving_it_does(request: Request) -> None:
    fresh = Engine(ENGINE.policy)
    traced = fresh.decide(request, KEYS, now=NOW, trace=Trace())
    assert traced == fresh.decide(request, KEYS, now=NOW)


GOOD = mint({"email": "a@example.com"})


@MANY
@given(st.integers(0, len(GOOD) - 1), st.characters(codec="ascii"))
def test_no_other_character_in_any_place_of_a_good_token(at: int, other: str) -> None:
    changed = GOOD[:at] + other + GOOD[at + 1 :]
    decision = ENGINE.decide(asking(changed), KEYS, now=NOW, missing_key=Reason.UNKNOWN_KEY)
    assert isinstance(decision, Allow) is (changed == GOOD)


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("clock"), st.integers(-700, 700)),
        st.tuples(st.just("keys"), st.sampled_from([0, 1, 2, 3])),
        st.tuples(st.just("policy"), st.sampled_from([0, 1, 2])),
        st.tuples(st.just("ask"), st.sampled_from([0, 1, 2, 3])),
    ),
    min_size=4,
    max_size=25,
)
_POLICIES = [
    replace(policy, cache_entries=4)
    for policy in (
        policy_for_tests(),
        policy_for_tests(
            issuers=[{"name": "corp", "issuer": ISSUER, "leeway": "0s"},
                     {"name": "other", "issuer": "https://login.other.example"},
                     {"name": "entra", "issuer": "https://login.example.net/x"}],
        ),
        policy_for_tests(
            issuers=[{"name": "other", "issuer": ISSUER},
                     {"name": "corp", "issuer": "https://login.other.example"},
                     {"name": "entra", "issuer": "https://login.example.net/x"}],
        ),
    )
]  # fmt: skip
_KEY_SETS = [
    KEYS,
    {**KEYS, "corp": parse_key_set(jwks(signer("RS256")))},
    {**KEYS, "corp": KEYS["other"], "other": KEYS["corp"]},
    {},
]
_ASKED = [
    mint({"exp": NOW + offset, "nbf": NOW - offset, "jti": str(offset)}, key=key)
    for offset, key in ((10, signer()), (100, signer("RS256")), (500, signer()), (600, signer()))
]


_IN_USE = claims_in_use(_POLICIES[0])


def _said(decision: Decision | NeedKeys) -> object:
    """All of a decision but the claims that no server's answer or log line needs."""
    if not isinstance(decision, Allow | Deny) or decision.token is None:
        return decision
    facts, key = decision.token.facts, decision.token.key
    claims = {name: value for name, value in facts.claims.items() if name in _IN_USE}
    return replace(decision, token=VerifiedToken(facts._replace(claims=claims), key))


@MANY
@given(_STEPS)
def test_what_is_remembered_changes_no_answer(steps: list[tuple[str, int]]) -> None:
    """Clock steps, rotations, reloads: an engine with a memory decides as one without."""
    now, keys, engine = NOW, _KEY_SETS[0], Engine(_POLICIES[0])
    for step, value in steps:
        if step == "clock":
            now = NOW + value
        elif step == "keys":
            keys = _KEY_SETS[value]
        elif step == "policy":
            engine = Engine(_POLICIES[value], engine)
        else:
            request = asking(_ASKED[value])
            with_memory = engine.decide(request, keys, now=now)
            without = Engine(engine.policy).decide(request, keys, now=now)
            assert _said(with_memory) == _said(without)
            assert isinstance(with_memory, Allow | Deny | NeedKeys)

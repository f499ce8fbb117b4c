"""The memory of tokens: bounded, and a token comes out of it as it went in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from extauthz.core import token_cache
from extauthz.core.engine import Engine
from extauthz.core.keyset import parse_key_set
from extauthz.core.model import Allow
from extauthz.core.token_cache import Recent, TokenCache, claims_in_use, token_digest
from extauthz.core.verified import Caller
from tests.policies import asking, key_sets, policy_for_tests, policy_with
from tests.tokens import ABSENT, NOW, jwks, mint, signer


def caller(text: str) -> Caller:
    """What verifying this token gives."""
    engine = Engine(policy_for_tests())
    assert isinstance(engine.decide(asking(text), key_sets(), now=NOW), Allow)
    found = engine.cache.get(token_digest(text))
    assert found is not None
    return found


class TestRecent:
    def test_what_is_put_is_got(self):
        kept: Recent[int] = Recent(4)
        kept.put(b"a", 1)
        kept.put(b"a", 2)
        assert kept.get(b"a") == 2
        assert kept.get(b"b") is None
        assert len(kept) == 1

    def test_what_was_not_used_for_longest_is_forgotten(self):
        kept: Recent[int] = Recent(3)
        for name in (b"a", b"b", b"c"):
            kept.put(name, 1)
        assert kept.get(b"a") == 1
        kept.put(b"b", 2)
        for name, oldest in ((b"d", b"c"), (b"e", b"a"), (b"f", b"b")):
            kept.put(name, 1)
            assert kept.get(oldest) is None
        assert len(kept) == 3

    @pytest.mark.parametrize("entries", [1, 2, 3, 7])
    def test_it_holds_so_many_and_no_more(self, entries):
        kept: Recent[int] = Recent(entries)
        for n in range(50):
            kept.put(b"%d" % n, n)
            assert len(kept) == min(n + 1, entries)
        assert [kept.get(b"%d" % n) for n in range(50 - entries, 50)] == [*range(50 - entries, 50)]

    def test_callers_in_turn_are_all_remembered_if_there_is_room(self):
        kept: Recent[int] = Recent(10)
        for n in range(10):
            kept.put(b"%d" % n, n)
        for _ in range(2):
            assert [kept.get(b"%d" % n) for n in range(10)] == [*range(10)]

    def test_putting_the_same_again_forgets_nothing(self):
        kept: Recent[int] = Recent(4)
        kept.put(b"a", 1)
        for n in range(20):
            kept.put(b"b", n)
        assert (kept.get(b"a"), kept.get(b"b")) == (1, 19)

    @pytest.mark.parametrize("entries", [2, 4])
    def test_putting_the_same_again_when_full_forgets_nothing_either(self, entries):
        kept: Recent[int] = Recent(entries)
        names = [b"%d" % n for n in range(entries)]
        for name in (*names, names[-1]):
            kept.put(name, 1)
        assert len(kept) == entries

    def test_without_room_nothing_is_kept(self):
        kept: Recent[int] = Recent(0)
        kept.put(b"a", 1)
        assert kept.get(b"a") is None
        assert len(kept) == 0

    def test_cleared_it_is_empty(self):
        kept: Recent[int] = Recent(2)
        for n in range(2):
            kept.put(b"%d" % n, n)
        kept.clear()
        assert len(kept) == 0
        assert kept.get(b"0") is None


TOKENS = (
    mint(),
    mint({"sub": ABSENT, "jti": ABSENT, "iat": ABSENT, "client_id": ABSENT}),
    mint({"nbf": NOW - 5.5, "exp": NOW + 60.25, "tid": "x", "scope": ["a", "notes"]}),
    mint({"aud": ["x", "https://mcp.example.com/notes/mcp"], "email": ["é", {"a": None}]}),
    mint(key=signer("RS256")),
)


class TestPacked:
    @pytest.mark.parametrize("text", TOKENS)
    def test_a_token_that_was_packed_is_the_same(self, text, monkeypatch):
        monkeypatch.setattr(token_cache, "_WARM_ENTRIES", 0)
        cache = TokenCache(10, frozenset({"email", "groups"}))
        given = caller(text)
        cache.put(b"x", given)
        found = cache.get(b"x")
        assert found is not None
        assert found is not given
        assert found.token.key is given.token.key
        kept = {n: v for n, v in given.token.facts.claims.items() if n in ("email", "groups")}
        assert found.token.facts == given.token.facts._replace(claims=kept)

    def test_what_it_is_judged_by_and_what_its_aud_says_are_kept_apart(self, monkeypatch):
        monkeypatch.setattr(token_cache, "_WARM_ENTRIES", 0)
        cache = TokenCache(10)
        given = caller(TOKENS[0])
        given.token.facts = given.token.facts._replace(audiences=("a",), aud=("b", "c"), claims={})
        cache.put(b"x", given)
        found = cache.get(b"x")
        assert found is not None
        assert found.token.facts == given.token.facts

    def test_each_token_keeps_its_own_key_and_issuer(self, monkeypatch):
        monkeypatch.setattr(token_cache, "_WARM_ENTRIES", 0)
        cache = TokenCache(100)
        callers = {b"%d" % n: caller(text) for n, text in enumerate((*TOKENS, *TOKENS))}
        for digest, one in callers.items():
            cache.put(digest, one)
        for digest, one in callers.items():
            found = cache.get(digest)
            assert found is not None
            assert found.token.key is one.token.key
            assert found.token.facts.subject == one.token.facts.subject
            assert found.token.facts.issuer is one.token.facts.issuer

    def test_one_key_and_issuer_are_kept_once(self):
        cache = TokenCache(100)
        one = caller(TOKENS[0])
        for n in range(50):
            cache.put(b"%d" % n, one)
        assert len(cache._signers) == 1

    def test_keys_that_come_and_go_are_bounded(self, monkeypatch):
        monkeypatch.setattr(token_cache, "_MAX_SIGNERS", 3)
        cache = TokenCache(100)
        one = caller(TOKENS[0])
        for n in range(10):
            key = replace(one.token.key, kid=f"k{n}")
            cache.put(b"%d" % n, Caller(replace(one.token, key=key), None, "corp"))
            found = cache.get(b"%d" % n)
            assert found is not None
            assert found.token.key.kid == f"k{n}"
            assert len(cache._signers) <= 3

    def test_an_issuer_and_a_key_are_told_apart_each_by_itself(self, monkeypatch):
        monkeypatch.setattr(token_cache, "_WARM_ENTRIES", 0)
        cache = TokenCache(100)
        first, second = caller(TOKENS[0]).token, caller(TOKENS[-1]).token
        pairs = [(facts, key) for facts in (first, second) for key in (first.key, second.key)]
        for n, (one, key) in enumerate(pairs):
            cache.put(b"%d" % n, Caller(replace(one, key=key), None, "corp"))
        for n, (one, key) in enumerate(pairs):
            found = cache.get(b"%d" % n)
            assert found is not None
            assert found.token.facts.issuer is one.facts.issuer
            assert found.issuer == one.facts.issuer.name
            assert found.token.key is key

    def test_what_is_used_again_is_kept_whole_again(self, monkeypatch):
        monkeypatch.setattr(token_cache, "_WARM_ENTRIES", 2)
        cache = TokenCache(100)
        given = caller(TOKENS[0])
        for digest in (b"x", b"y", b"z"):
            cache.put(digest, given)
        found = cache.get(b"x")
        assert found is not None
        assert found is not given
        assert cache.get(b"x") is found

    def test_hits_and_misses_are_counted(self):
        cache = TokenCache(10)
        cache.get(b"x")
        cache.get(b"x")
        cache.put(b"x", caller(TOKENS[0]))
        for _ in range(3):
            cache.get(b"x")
        for digest in (b"x", b"y"):
            cache.known(digest)
        assert (cache.hits, cache.misses) == (3, 2)

    def test_cleared_it_knows_nobody(self):
        cache = TokenCache(10)
        cache.put(b"x", caller(TOKENS[0]))
        cache.clear()
        assert cache.get(b"x") is None
        assert (len(cache), cache._signers) == (0, [])

    def test_cleared_it_learns_anew(self, monkeypatch):
        monkeypatch.setattr(token_cache, "_WARM_ENTRIES", 0)
        cache = TokenCache(10)
        given = caller(TOKENS[0])
        for _ in range(2):
            cache.put(b"x", given)
            found = cache.get(b"x")
            assert found is not None
            assert found.token.key is given.token.key
            cache.clear()


def test_a_packed_caller_is_judged_like_any_other(monkeypatch):
    monkeypatch.setattr(token_cache, "_WARM_ENTRIES", 0)
    engine = Engine(policy_for_tests())
    text = mint({"email": "a@example.com", "groups": ["a"]})
    first = engine.decide(asking(text), key_sets(), now=NOW)
    second = engine.decide(asking(text), key_sets(), now=NOW)
    assert isinstance(first, Allow)
    assert isinstance(second, Allow)
    assert replace(second, token=None) == replace(first, token=None)
    assert engine.cache.hits == 1
    without = {"corp": parse_key_set(jwks(signer("RS256")))}
    assert not isinstance(engine.decide(asking(text), without, now=NOW), Allow)
    assert not isinstance(engine.decide(asking(text), {}, now=NOW), Allow)
    assert not isinstance(engine.decide(asking(text), key_sets(), now=NOW + 400), Allow)


def test_claims_in_use_are_those_that_answers_depend_on():
    assert claims_in_use(policy_for_tests()) == {"email", "groups", "tid"}
    rule = {"claims": {"/realm_access/roles": "admin", "tier": "gold"}}
    for kind in ("tools", "prompts", "resources"):
        assert {"realm_access", "tier"} <= claims_in_use(
            policy_with("notes", **{kind: {"x": rule}})
        )
    assert {"tier"} <= claims_in_use(policy_with("notes", methods={"admin/*": rule}))


def test_a_text_that_no_utf8_can_say_has_a_digest():
    assert token_digest("\ud800") != token_digest("?")

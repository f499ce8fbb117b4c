"""A key set finds the keys for a token; one odd key never spoils it."""

from __future__ import annotations

import copy
import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.core.keyset import (
    MAX_KEYS,
    KeySet,
    KeySetError,
    parse_key_set,
)
from tests.keys.issuer_keys import (
    GOOD,
    ec_key,
    ed_key,
    jwk,
    only_key,
    reason_skipped,
    rsa_key,
)
from tests.tokens import signer

FEW = 4
"""So many keys are tried for one token at most (contract, section 11, Tokens)."""


class TestLookup:
    def test_a_key_id_is_an_opaque_string(self) -> None:
        kids = ["a/b+c=", "../../dev/null", "", " ", "ключ", "'; DROP", "x" * 1024]
        members = [jwk(ed_key(kid), kid=kid) for kid in kids]
        key_set = parse_key_set({"keys": members})
        for kid in kids:
            assert [key.kid for key in key_set.candidates(kid, "EdDSA")] == [kid]
            assert key_set.has(kid)
        assert key_set.candidates("A/B+C=", "EdDSA") == ()
        assert not key_set.has("a/b+c")

    @pytest.mark.parametrize("kid", ["x" * 1025, 1, [], {}, True])
    def test_another_key_id_costs_the_key(self, kid: object) -> None:
        assert "kid" in reason_skipped(jwk(rsa_key(), kid=kid))

    def test_only_keys_fit_for_the_algorithm_are_candidates(self) -> None:
        key_set = parse_key_set({"keys": [jwk(rsa_key(), kid="k", alg="RS256")]})
        assert key_set.candidates("k", "RS256") == key_set.keys
        assert key_set.candidates("k", "RS384") == ()
        assert key_set.has("k")

    def test_keys_of_one_id_are_all_candidates_in_any_order(self) -> None:
        members = [
            jwk(rsa_key("a"), kid="k"),
            jwk(rsa_key("b"), kid="k"),
            jwk(ec_key(), kid="k"),
            jwk(rsa_key("a"), kid="other"),
        ]
        thumbprints = {only_key(member).thumbprint for member in members[:2]}
        for order in itertools.permutations(members):
            found = parse_key_set({"keys": list(order)}).candidates("k", "RS256")
            assert {key.thumbprint for key in found} == thumbprints

    def test_the_same_key_twice_is_one(self) -> None:
        member = jwk(rsa_key(), kid="k")
        assert len(parse_key_set({"keys": [member, copy.copy(member)]}).keys) == 1

    @pytest.mark.parametrize("named", [True, False])
    def test_a_token_without_key_id_is_tried_against_the_first_few_keys(self, named: bool) -> None:
        def members(count: int) -> list[dict[str, Any]]:
            names = [f"k{number}" for number in range(count)]
            return [jwk(ed_key(name), **({"kid": name} if named else {})) for name in names]

        few = parse_key_set({"keys": [*members(FEW), jwk(rsa_key(), kid="r")]})
        assert few.candidates(None, "EdDSA") == few.keys[:FEW]
        assert few.candidates(None, "RS256") == few.keys[FEW:]
        many = parse_key_set({"keys": [jwk(rsa_key(), kid="r"), *members(FEW + 1)]})
        assert many.candidates(None, "EdDSA") == many.keys[1 : FEW + 1]

    def test_a_key_without_id_is_no_candidate_for_a_token_with_one(self) -> None:
        key_set = parse_key_set({"keys": [jwk(rsa_key())]})
        assert key_set.candidates("k", "RS256") == ()
        assert not key_set.has("k")

    def test_of_more_keys_of_one_id_than_a_token_may_cost_the_first_are_tried(self) -> None:
        members = [jwk(ed_key(str(n)), kid="k") for n in range(FEW + 1)]
        few = parse_key_set({"keys": members[:-1]})
        assert few.candidates("k", "EdDSA") == few.keys
        many = parse_key_set({"keys": members})
        assert many.candidates("k", "EdDSA") == many.keys[:FEW]

    def test_keys_for_another_algorithm_are_not_among_the_first_few(self) -> None:
        others = [jwk(rsa_key(), kid="k", alg=alg) for alg in ("RS256", "RS384", "RS512", "PS256")]
        members = [*others, *(jwk(ed_key(str(n)), kid="k") for n in range(FEW))]
        key_set = parse_key_set({"keys": members})
        assert key_set.candidates("k", "EdDSA") == key_set.keys[FEW:]

    def test_a_set_of_given_keys_shows_them_and_no_more(self) -> None:
        key_set = KeySet((only_key(GOOD),))
        assert repr(key_set) == f"KeySet(keys={key_set.keys!r}, skipped=())"
        assert key_set.has("good")


class TestIdentity:
    def test_a_newer_set_holds_a_key_that_did_not_change(self) -> None:
        member = jwk(rsa_key("a"), kid="k", alg="RS256")
        key = only_key(member)
        newer = parse_key_set({"keys": [jwk(ec_key()), copy.deepcopy(member)]})
        assert newer.holds(key)

    @pytest.mark.parametrize(
        "change",
        [
            {"kid": "l"},
            {"alg": "RS512"},
            {"issuer": "https://other.example"},
            {"use": "enc"},
            {"n": jwk(rsa_key("b"))["n"]},
        ],
        ids=["kid", "alg", "issuer", "use", "material"],
    )
    def test_it_does_not_hold_one_that_did(self, change: dict[str, object]) -> None:
        member = jwk(rsa_key("a"), kid="k", alg="RS256")
        newer = parse_key_set({"keys": [GOOD, {**member, **change}]})
        assert not newer.holds(only_key(member))

    def test_the_thumbprint_is_that_of_rfc_7638(self) -> None:
        member = {
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1"
            "L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-"
            "65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyr"
            "dkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnq"
            "DKgw",
            "e": "AQAB",
            "alg": "RS256",
            "kid": "2011-04-29",
        }
        assert only_key(member).thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

    def test_the_thumbprint_of_an_ed25519_key_is_that_of_rfc_8037(self) -> None:
        x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        key = only_key({"kty": "OKP", "crv": "Ed25519", "x": x})
        assert key.thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

    def test_the_keys_own_issuer_is_kept(self) -> None:
        template = "https://login.microsoftonline.com/{tenantid}/v2.0"
        assert only_key(jwk(rsa_key(), issuer=template)).issuer == template
        assert only_key(jwk(rsa_key())).issuer is None
        assert "issuer" in reason_skipped(jwk(rsa_key(), issuer=["a"]))


class TestDocuments:
    def test_text_bytes_and_objects_are_read_alike(self) -> None:
        document: dict[str, object] = {"keys": [GOOD]}
        text = json.dumps(document)
        for form in (text, text.encode(), document):
            assert parse_key_set(form).has("good")

    @pytest.mark.parametrize(
        "document",
        [
            b"",
            b"null",
            b"[]",
            b'"x"',
            b"1",
            b"{",
            b"{}",
            b"<html></html>",
            b'{"error":"x"}',
            b'{"keys":null}',
            b'{"keys":{}}',
            b'{"keys":"x"}',
            b'{"keys":[]}',
            b'{"keys":[null]}',
            b'{"keys":NaN}',
            b'{"keys":[{"kty":"RSA","use":"enc"}]}',
            b'{"keys":[],"keys":[]}',
            b'{"issuer":"https://i","jwks_uri":"https://i/k"}',
            b'{"a":"-----BEGIN PUBLIC KEY"}',
            b'{"keys":' + b"[" * 5000 + b"]" * 5000 + b"}",
            b"\xff\xfe{\x00}\x00",
            b'{"keys":[1e999]}',
        ],
    )
    def test_an_unusable_document_is_refused_with_a_reason(self, document: bytes) -> None:
        with pytest.raises(KeySetError, match=r"."):
            parse_key_set(document)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda text: "\ufeff" + text,
            lambda text: text.encode("utf-16"),
            lambda text: text[:-1],
            lambda text: text + "x",
            lambda text: text.replace("{", '{"keys": [], ', 1),
            lambda text: text.replace("good", "\ud800"),
            lambda text: text.replace("{", '{"x": NaN, ', 1),
            lambda text: text.replace("{", '{"x": 1e400, ', 1),
            lambda text: text.replace("{", '{"x": "\\ud800", ', 1),
            lambda text: text.replace("{", '{"\\ud800": 1, ', 1),
            lambda text: text.replace("{", '{"x": {"a": 1, "a": 1}, ', 1),
            lambda text: text.replace("{", '{"x": ' + "[" * 64 + "]" * 64 + ", ", 1),
            lambda text: text.replace("]", ", {]"),
            lambda text: text.replace("]", ", {'kty': 'RSA'}]"),
            lambda text: text.replace("]", ", tru]"),
            lambda text: text.replace("]", ", " + "[" * 511 + "]" * 511 + "]"),
        ],
    )
    def test_what_readers_take_differently_is_refused_whole(self, spoil: Any) -> None:
        text = json.dumps({"keys": [GOOD]})
        assert parse_key_set(text).has("good")
        with pytest.raises(KeySetError, match="not JSON"):
            parse_key_set(spoil(text))

    @pytest.mark.parametrize(
        ("odd", "why"),
        [
            ('{"kid": "a", "kid": "b"}', "a member name occurs twice"),
            ('{"a": [{"b": 1, "b": 1}]}', "a member name occurs twice"),
            ('{"kid": "\\ud800"}', "a lone surrogate is not a character"),
            ('{"\\ud800": 1}', "a lone surrogate is not a character"),
            ('{"a": ["\\udfff"]}', "a lone surrogate is not a character"),
            ('"\\ud800"', "a lone surrogate is not a character"),
            ('{"a": 1e400}', "a number is out of range"),
            ('{"a": [' + "9" * 500 + "]}", "a number is out of range"),
            ("-1e400", "a number is out of range"),
            ('{"a": NaN}', "NaN and Infinity are not JSON"),
            ('{"a": [-Infinity], "b": [1]}', "NaN and Infinity are not JSON"),
            ('[[1], {"a": NaN}, [1]]', "NaN and Infinity are not JSON"),
            ('{"a": ' + "[" * 70 + "]" * 70 + "}", "nested deeper than 64"),
            ("[" * 63 + "]" * 63, "nested deeper than 64"),
            ("[" * 510 + "]" * 510, "nested deeper than 64"),
        ],
    )
    def test_a_member_that_readers_take_differently_costs_itself_alone(
        self, odd: str, why: str
    ) -> None:
        good = json.dumps({**GOOD, "use": "sig"})
        for order in ([odd, good], [good, odd]):
            key_set = parse_key_set('{"x": [1], "keys": [' + ",".join(order) + "]}")
            assert [key.kid for key in key_set.keys] == ["good"]
            assert key_set.skipped == (f"member {1 + order.index(odd)}: {why}",)

    def test_a_member_may_be_as_deep_beside_an_odd_one_as_without_it(self) -> None:
        deep = json.dumps({**GOOD, "x5c": "deep"}).replace('"deep"', "[" * 61 + "]" * 61)
        assert parse_key_set('{"keys": [' + deep + "]}").has("good")
        assert parse_key_set('{"keys": [' + deep + ', {"a": NaN}]}').has("good")
        deeper = deep.replace("[]", "[[]]")
        with pytest.raises(KeySetError, match="member 1: nested deeper than 64"):
            parse_key_set('{"keys": [' + deeper + "]}")

    def test_a_set_of_odd_members_alone_is_none(self) -> None:
        with pytest.raises(KeySetError, match="member 1: a member name occurs twice"):
            parse_key_set(json.dumps({"keys": [GOOD]}).replace('"kty"', '"kty": "RSA", "kty"'))

    def test_why_no_key_was_usable_is_said(self) -> None:
        members = [jwk(rsa_key(), use="enc")] * 5
        with pytest.raises(KeySetError, match=r"member 1: use is enc, not sig;.*; and 2 more\)$"):
            parse_key_set({"keys": members})
        with pytest.raises(KeySetError, match=r"member 3: use is enc, not sig; and 1 more\)$"):
            parse_key_set({"keys": members[:4]})
        with pytest.raises(KeySetError, match=r"member 3: use is enc, not sig\)$"):
            parse_key_set({"keys": members[:3]})
        with pytest.raises(KeySetError, match=r"^no keys in it$"):
            parse_key_set({"keys": []})

    def test_a_thousand_members_are_accepted_and_one_more_is_not(self) -> None:
        members: list[object] = [{"kty": "AKP"}] * (MAX_KEYS - 1)
        assert parse_key_set({"keys": [*members, GOOD]}).has("good")
        with pytest.raises(KeySetError, match="1001 keys; at most 1000"):
            parse_key_set({"keys": [*members, GOOD, GOOD]})

    def test_a_good_key_among_odd_ones_of_every_kind_is_kept(self) -> None:
        odd: list[object] = [None, {}, {"kty": "AKP"}, {"kty": "oct", "k": "AA"}]
        odd += [jwk(rsa_key(), alg="none"), jwk(rsa_key(), alg=["RS256"]), jwk(rsa_key(), d="AQAB")]
        odd += [jwk(rsa_key(), use="enc"), {**GOOD, "x": "AA"}]
        key_set = parse_key_set({"keys": [*odd, GOOD, *odd]})
        assert [key.kid for key in key_set.keys] == ["good"]
        assert len(key_set.skipped) == 2 * len(odd)

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )

    @given(
        st.dictionaries(st.sampled_from(["kty", "crv", "n", "e", "x", "y", "kid"]), json_values),
        st.sampled_from(["RSA", "EC", "OKP"]),
    )
    def test_no_member_however_odd_raises_or_counts(
        self, member: dict[str, object], kty: str
    ) -> None:
        for odd in (member, {**member, "kty": kty}, {**GOOD, **member, "crv": 1}):
            assert reason_skipped(odd)

    @given(st.binary(max_size=200))
    def test_no_document_raises_anything_else(self, document: bytes) -> None:
        with pytest.raises(KeySetError):
            parse_key_set(document)


ENTRA_ISSUER = "https://login.microsoftonline.com/{tenantid}/v2.0"


@pytest.mark.parametrize(
    ("members", "usable"),
    [
        ([jwk(rsa_key("a"), kid="1", use="sig", alg="RS256", x5c=["MII"], **{"x5t#S256": "x"}),
          jwk(rsa_key("b"), kid="2", use="enc", alg="RSA-OAEP", x5c=["MII"])], ["1"]),
        ([jwk(rsa_key("a"), kid="1", use="sig", x5t="1", x5c=["MII"], issuer=ENTRA_ISSUER),
          jwk(rsa_key("b"), kid="2", use="sig", x5t="2", x5c=["MII"], issuer=ENTRA_ISSUER)],
         ["1", "2"]),
        ([jwk(rsa_key("a"), kid="a/b+c=", alg="RS256", use="sig"),
          jwk(rsa_key("b"), kid="d/e+f=", alg="RS256", use="sig")], ["a/b+c=", "d/e+f="]),
        ([jwk(rsa_key("a"), kid="1", use="sig", alg="RS256"),
          jwk(rsa_key("b"), kid="2", use="enc",
              alg="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p")], ["1"]),
        ([jwk(ec_key(), kid="1", alg="ES256", use="sig", key_ops=["verify"], ext=True),
          {"kty": "oct", "kid": "2", "k": "AA", "alg": "HS256"}], ["1"]),
        ([jwk(rsa_key("big", 4096), kid="1", use="sig", alg="RS256")], ["1"]),
        ([jwk(ed_key(), kid="1", alg="Ed25519", use="sig"),
          {"kty": "AKP", "kid": "2", "alg": "ML-DSA-65", "pub": "AA"}], ["1"]),
    ],
    ids=["Keycloak", "Entra ID", "Cognito", "AD FS", "Supabase", "GitLab", "of tomorrow"],
)  # fmt: skip
def test_the_sets_of_known_providers_load(members: list[object], usable: list[str]) -> None:
    """Their shapes, with keys of our own: every signing key is usable, the others do no harm."""
    assert [key.kid for key in parse_key_set({"keys": members}).keys] == usable


def test_looking_up_costs_the_same_in_a_large_set() -> None:
    """A thousand keys make a lookup no slower than one key does (ten times at the most)."""

    def cost(count: int) -> float:
        members = [jwk(ed_key(str(n)), kid=str(n)) for n in range(count)]
        key_set = parse_key_set({"keys": members})
        key = key_set.keys[0]

        def once() -> float:
            started = time.perf_counter()
            for _ in range(2000):
                key_set.candidates("0", "EdDSA")
                key_set.candidates(None, "EdDSA")
                key_set.has("absent")
                key_set.holds(key)
            return time.perf_counter() - started

        return min(once() for _ in range(3))

    assert cost(1000) < 10 * cost(1)


@pytest.mark.parametrize(("keys", "end"), [(8, "8 for ES256"), (9, "8 for ES256; and 1 more")])
def test_the_first_keys_are_named_for_people(keys: int, end: str) -> None:
    members = [signer("ES256", str(number)).public_jwk() for number in range(1, keys + 1)]
    names = parse_key_set({"keys": members}).names()
    assert names.startswith("1 for ES256; 2 for ES256; ")
    assert names.endswith(end)


def test_a_key_without_an_id_is_named_so() -> None:
    member = signer("RS256").public_jwk()
    del member["kid"], member["alg"]
    assert parse_key_set({"keys": [member]}).names() == (
        "(no kid) for PS256, PS384, PS512, RS256, RS384, RS512"
    )

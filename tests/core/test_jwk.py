"""A published key verifies what it signed and nothing else; an odd one is left out."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.core import jwk as module
from extauthz.core.jwk import has_roca_fingerprint
from extauthz.core.keyset import (
    PRIVATE_KEY_PUBLISHED,
    parse_key_set,
)
from extauthz.core.policy import SUPPORTED_ALGORITHMS
from tests.keys.issuer_keys import (
    CURVE_OF,
    GOOD,
    b64,
    b64_uint,
    ec_key,
    ed_key,
    jwk,
    only_key,
    private_for,
    reason_skipped,
    rsa_key,
    sign,
)

MESSAGE = b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJpIn0"

RSA_NAMES = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
ED_NAMES = frozenset({"EdDSA", "Ed25519"})


class TestVerifying:
    @pytest.mark.parametrize("algorithm", SUPPORTED_ALGORITHMS)
    def test_a_signature_by_the_key_verifies_and_nothing_else_does(self, algorithm: str) -> None:
        private = private_for(algorithm)
        key = only_key(jwk(private))
        signature = sign(algorithm, private, MESSAGE)
        assert key.verify(algorithm, MESSAGE, signature)
        assert not key.verify(algorithm, MESSAGE + b".", signature)
        for wrong in (b"", signature[:-1], signature + b"\0", b"\0" + signature):
            assert key.verify(algorithm, MESSAGE, wrong) is False
        flipped = bytes([signature[0] ^ 1]) + signature[1:]
        assert not key.verify(algorithm, MESSAGE, flipped)

    @pytest.mark.parametrize("algorithm", CURVE_OF)
    def test_an_ec_signature_has_one_length(self, algorithm: str) -> None:
        """RFC 7518 section 3.4: a zero before the second number is not the same signature."""
        private = private_for(algorithm)
        signature = sign(algorithm, private, MESSAGE)
        half = len(signature) // 2
        padded = signature[:half] + b"\0" + signature[half:]
        assert only_key(jwk(private)).verify(algorithm, MESSAGE, padded) is False

    @pytest.mark.requirement("R46")
    @pytest.mark.parametrize(
        ("signed_with", "said"),
        [
            pair
            for pair in itertools.permutations(SUPPORTED_ALGORITHMS, 2)
            if set(pair) != ED_NAMES  # two names of one algorithm
        ],
    )
    def test_a_signature_of_one_algorithm_is_none_of_another(
        self, signed_with: str, said: str
    ) -> None:
        private = private_for(signed_with)
        signature = sign(signed_with, private, MESSAGE)
        assert not only_key(jwk(private)).verify(said, MESSAGE, signature)

    @pytest.mark.requirement("R46")
    @pytest.mark.parametrize("name", ["", "none", "HS256", "rs256", "RS256 ", "ES256K", "Ed448"])
    def test_an_algorithm_outside_the_list_never_verifies(self, name: str) -> None:
        private = rsa_key()
        signature = sign("RS256", private, MESSAGE)
        assert only_key(jwk(private)).verify(name, MESSAGE, signature) is False

    @pytest.mark.parametrize(
        ("r", "s"), list(itertools.product(["0", "1", "n", "n+1", "max"], repeat=2))
    )
    def test_psychic_signatures_do_not_verify(self, r: str, s: str) -> None:
        """CVE-2022-21449: r and s at the edges of the group."""
        order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
        values = {"0": 0, "1": 1, "n": order, "n+1": order + 1, "max": 2**256 - 1}
        signature = values[r].to_bytes(32) + values[s].to_bytes(32)
        assert not only_key(GOOD).verify("ES256", MESSAGE, signature)

    @given(st.sampled_from(SUPPORTED_ALGORITHMS), st.binary(max_size=600))
    def test_verifying_never_raises_and_no_made_up_signature_passes(
        self, algorithm: str, signature: bytes
    ) -> None:
        for private in (rsa_key(), ec_key(), ec_key("P-521"), ed_key()):
            assert not only_key(jwk(private)).verify(algorithm, MESSAGE, signature)


class TestAlgorithms:
    @pytest.mark.requirement("R46", "R47")
    @pytest.mark.parametrize(
        ("private", "names"),
        [
            (rsa_key(), RSA_NAMES),
            (ec_key("P-256"), {"ES256"}),
            (ec_key("P-384"), {"ES384"}),
            (ec_key("P-521"), {"ES512"}),
            (ed_key(), ED_NAMES),
        ],
        ids=["RSA", "P-256", "P-384", "P-521", "Ed25519"],
    )
    def test_without_alg_they_follow_from_type_and_curve(
        self, private: Any, names: set[str]
    ) -> None:
        assert only_key(jwk(private)).algorithms == names

    @pytest.mark.parametrize("algorithm", SUPPORTED_ALGORITHMS)
    def test_alg_narrows_them(self, algorithm: str) -> None:
        key = only_key(jwk(private_for(algorithm), alg=algorithm))
        assert key.algorithms == (ED_NAMES if algorithm in ED_NAMES else {algorithm})

    @pytest.mark.requirement("R46")
    def test_a_key_for_one_algorithm_verifies_no_other(self) -> None:
        key = only_key(jwk(rsa_key(), alg="RS256"))
        assert not key.verify("RS512", MESSAGE, sign("RS512", rsa_key(), MESSAGE))
        assert not key.verify("PS256", MESSAGE, sign("PS256", rsa_key(), MESSAGE))

    @pytest.mark.parametrize(
        "alg", ["none", "RSA-OAEP", "HS256", "ES256", "rs256", "", ["RS256"], 5, True]
    )
    def test_another_alg_costs_the_key(self, alg: object) -> None:
        assert "alg" in reason_skipped(jwk(rsa_key(), alg=alg))

    @pytest.mark.parametrize(("alg", "crv"), [("ES256", "P-384"), ("ES512", "P-256")])
    def test_alg_and_curve_must_fit(self, alg: str, crv: str) -> None:
        assert "alg" in reason_skipped(jwk(ec_key(crv), alg=alg))


class TestUse:
    @pytest.mark.parametrize(
        "members",
        [{}, {"use": "sig"}, {"key_ops": ["verify"]}, {"key_ops": ["sign", "verify"]}],
    )
    def test_a_signing_key_is_kept(self, members: dict[str, object]) -> None:
        assert only_key(jwk(rsa_key(), **members)).kty == "RSA"

    @pytest.mark.requirement("R46")
    @pytest.mark.parametrize("use", ["enc", "SIG", "wat", "", 1, ["sig"]])
    def test_another_use_costs_the_key(self, use: object) -> None:
        assert reason_skipped(jwk(rsa_key(), use=use)).startswith("use is ")

    @pytest.mark.parametrize(
        ("use", "shown"),
        [
            ("enc", "enc"),
            ("e" * 33, "(an odd string)"),
            ("a b", "(an odd string)"),
            (7, "(int)"),
            (["sig"], "(list)"),
        ],
    )
    def test_an_odd_value_is_told_by_its_kind_alone(self, use: object, shown: str) -> None:
        assert reason_skipped(jwk(rsa_key(), use=use)) == f"use is {shown}, not sig"

    @pytest.mark.parametrize(
        "operations",
        ["verify", [], ["encrypt", "wrapKey"], ["sign"], ["verify", 1], {"verify": 1}],
    )
    def test_other_operations_cost_the_key(self, operations: object) -> None:
        assert "key_ops" in reason_skipped(jwk(rsa_key(), key_ops=operations))

    @pytest.mark.parametrize("private", [rsa_key(), ec_key(), ed_key()], ids=["RSA", "EC", "OKP"])
    def test_what_is_null_counts_as_absent(self, private: Any) -> None:
        names = ["kid", "use", "alg", "key_ops", "issuer", "x5c", "k", "d", "p", "q", "dp", "dq"]
        names += ["qi", "oth"]
        plain = only_key(jwk(private))
        for nulls in (dict.fromkeys(names), *({name: None} for name in names)):
            key = only_key(jwk(private) | nulls)
            assert key == plain
            assert (key.kid, key.issuer) == (None, None)

    @pytest.mark.requirement("R51")
    def test_certificates_and_urls_in_a_key_are_never_a_source(self) -> None:
        member = jwk(rsa_key(), x5c=["MIIB"], x5u="https://evil.example/", jku="file:///etc/passwd")
        assert only_key(member).thumbprint == only_key(jwk(rsa_key())).thumbprint
        only_certificate = {"kty": "RSA", "x5c": ["MIIB"]}
        assert "n is not" in reason_skipped(only_certificate)


class TestMaterial:
    @pytest.mark.requirement("R48")
    @pytest.mark.parametrize(
        ("bits", "kept"), [(2047, False), (2048, True), (8192, True), (8193, False)]
    )
    def test_rsa_length_has_two_bounds(self, bits: int, kept: bool) -> None:
        modulus = (1 << (bits - 1)) + 1
        while has_roca_fingerprint(modulus):
            modulus += 2
        member = {"kty": "RSA", "n": b64_uint(modulus), "e": "AQAB"}
        if kept:
            assert only_key(member).size == bits
        else:
            assert f"RSA of {bits} bits" in reason_skipped(member)

    @pytest.mark.parametrize(
        ("exponent", "kept"),
        [
            (0, False),
            (1, False),
            (2, False),
            (3, True),
            (4, False),
            (65537, True),
            (2**32 - 1, True),
            (2**32 + 1, False),
            (2**2040 + 1, False),
        ],
    )
    def test_rsa_exponent_is_odd_and_of_ordinary_size(self, exponent: int, kept: bool) -> None:
        member = jwk(rsa_key(), e=b64_uint(exponent))
        if kept:
            assert only_key(member).kty == "RSA"
        else:
            assert "exponent" in reason_skipped(member)

    def test_an_even_modulus_costs_the_key(self) -> None:
        modulus = rsa_key().public_key().public_numbers().n
        assert "even" in reason_skipped(jwk(rsa_key(), n=b64_uint(modulus - 1)))
        assert "RSA of 0 bits" in reason_skipped(jwk(rsa_key(), n="AA"))

    def test_a_leading_zero_byte_changes_nothing(self) -> None:
        """Java writes one; the key is the same, and so is its thumbprint."""
        modulus = rsa_key().public_key().public_numbers().n
        padded = jwk(rsa_key(), n=b64(b"\0" + modulus.to_bytes(256)))
        assert only_key(padded).thumbprint == only_key(jwk(rsa_key())).thumbprint

    def test_a_roca_modulus_costs_the_key(self) -> None:
        """CVE-2017-15361: primes of the form k*M + (65537^a mod M)."""
        primorial, found = 1, 1
        for number in range(2, 700):
            if all(number % smaller for smaller in range(2, number)):
                primorial, found = primorial * number, number
        assert found > 167
        p = (1 << 1023) // primorial * primorial * 2 + pow(65537, 1234, primorial)
        q = (1 << 1023) // primorial * primorial * 2 + pow(65537, 987, primorial)
        assert "ROCA" in reason_skipped({"kty": "RSA", "n": b64_uint(p * q), "e": "AQAB"})
        assert not has_roca_fingerprint(rsa_key().public_key().public_numbers().n)

    def test_the_roca_fingerprint_is_of_the_primes_from_3_to_167(self) -> None:
        """Powers of 65537 modulo each of them, and so no multiple of any."""
        primes = [n for n in range(3, 168) if all(n % smaller for smaller in range(2, n))]
        product = math.prod(primes)
        for modulus in (1, 1 + product, 1 + 2 * product, 65537, 65537 + 4 * product):
            assert has_roca_fingerprint(modulus)
        for prime in primes:
            others = product // prime
            # 1 modulo all the others, and 0 modulo this one.
            assert not has_roca_fingerprint(1 + others * (-pow(others, -1, prime) % prime))

    def test_base64url_may_end_with_any_character(self) -> None:
        for exponent in range(65537, 65537 + 128, 2):
            assert only_key(jwk(rsa_key(), e=b64_uint(exponent))).kty == "RSA"

    @pytest.mark.parametrize("text", ["", "AQAB=", "AQ AB", "AQ+B", "A", "AQB", None, 65537, [1]])
    def test_base64url_is_strict(self, text: object) -> None:
        assert "e is not base64url" in reason_skipped(jwk(rsa_key(), e=text))

    @pytest.mark.parametrize("private", [rsa_key(), ec_key(), ed_key()], ids=["RSA", "EC", "OKP"])
    def test_a_missing_component_costs_the_key(self, private: Any) -> None:
        whole = jwk(private)
        for name in whole:
            assert reason_skipped({k: v for k, v in whole.items() if k != name})

    @pytest.mark.requirement("R48")
    @pytest.mark.parametrize("algorithm", CURVE_OF)
    def test_ec_points_have_full_length_and_lie_on_the_curve(self, algorithm: str) -> None:
        good = jwk(ec_key(CURVE_OF[algorithm]))
        length = {"ES256": 32, "ES384": 48, "ES512": 66}[algorithm]
        too_large = b64(b"\xff" * length)
        for name in ("x", "y"):
            for odd in (length - 1, length + 1):
                member = {**good, name: b64(b"\1" * odd)}
                assert f"must be {length} bytes long" in reason_skipped(member)
        assert "not on" in reason_skipped({**good, "y": b64(b"\1" * length)})
        assert "not on" in reason_skipped({**good, "x": too_large})
        zero = b64(bytes(length))
        assert "not on" in reason_skipped({**good, "x": zero, "y": zero})

    @pytest.mark.parametrize("crv", ["secp256k1", "P-192", "p-256", "", None, 256, ["P-256"]])
    def test_another_curve_costs_the_key(self, crv: object) -> None:
        assert "is not P-256, P-384 or P-521" in reason_skipped({**jwk(ec_key()), "crv": crv})

    def test_whatever_a_library_makes_of_it_costs_the_key_and_is_not_told(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(_: object) -> None:
            raise ZeroDivisionError("what is in the key")

        monkeypatch.setattr(module, "_rsa", fails)
        reason = reason_skipped(jwk(rsa_key()))
        assert reason == "its material is not usable (ZeroDivisionError)"

    def test_a_point_of_another_curve_costs_the_key(self) -> None:
        assert "bytes long" in reason_skipped({**jwk(ec_key()), "crv": "P-384"})

    @pytest.mark.parametrize(
        ("private", "bits"),
        [
            (rsa_key(), 2048),
            (ec_key("P-256"), 256),
            (ec_key("P-384"), 384),
            (ec_key("P-521"), 521),
            (ed_key(), 256),
        ],
        ids=["RSA", "P-256", "P-384", "P-521", "Ed25519"],
    )
    def test_the_size_of_a_key_is_in_bits(self, private: Any, bits: int) -> None:
        assert only_key(jwk(private)).size == bits

    def test_a_key_is_equal_to_its_like_and_shows_nothing_of_its_inside(self) -> None:
        for private in (rsa_key(), ec_key(), ed_key()):
            one, same = only_key(jwk(private, kid="k")), only_key(jwk(private, kid="k"))
            assert len({one, same, only_key(jwk(private, kid="l"))}) == 2
            assert "_public" not in repr(one)
            assert "_verifiers" not in repr(one)

    @pytest.mark.requirement("R48")
    def test_ed25519_points_of_small_order_cost_the_key(self) -> None:
        """One signature would be good for every message."""
        encodings = [encoding for y in small_order_ys() for encoding in both_signs(y)]
        assert len(encodings) == 10
        for encoding in encodings:
            member = {"kty": "OKP", "crv": "Ed25519", "x": b64(encoding)}
            assert "small order" in reason_skipped(member)

    @pytest.mark.parametrize("excess", range(19))
    def test_ed25519_points_have_one_spelling(self, excess: int) -> None:
        for encoding in both_signs(2**255 - 19 + excess):
            member = {"kty": "OKP", "crv": "Ed25519", "x": b64(encoding)}
            assert "canonical" in reason_skipped(member)

    @pytest.mark.parametrize(
        ("members", "said"),
        [
            ({"crv": "X25519"}, "crv X25519 is not Ed25519"),
            ({"crv": "Ed448"}, "crv Ed448 is not Ed25519"),
            ({"x": b64(b"\5" * 31)}, "32 bytes long"),
            ({"x": b64(b"\5" * 33)}, "32 bytes long"),
        ],
    )
    def test_other_okp_keys_are_left_out(self, members: dict[str, object], said: str) -> None:
        assert said in reason_skipped({**jwk(ed_key()), **members})

    def test_the_thumbprint_of_an_ec_key_is_that_of_rfc_9449(self) -> None:
        member = {
            "kty": "EC",
            "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
            "crv": "P-256",
        }
        assert only_key(member).thumbprint == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"

    @pytest.mark.parametrize("kty", ["AKP", "rsa", "", None, 1, ["RSA"]])
    def test_an_unknown_type_costs_the_key(self, kty: object) -> None:
        assert reason_skipped({**jwk(rsa_key()), "kty": kty}).startswith("kty ")

    @pytest.mark.parametrize("member", [None, 1, "x", [], True, {}])
    def test_a_member_that_is_no_key_costs_itself_only(self, member: object) -> None:
        assert reason_skipped(member)


class TestSecrets:
    @pytest.mark.requirement("R46")
    def test_a_shared_secret_is_never_used(self) -> None:
        secret = "c2VjcmV0LXNlY3JldA"
        assert "shared secret" in reason_skipped({"kty": "oct", "k": secret, "alg": "HS256"})

    @pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
    @pytest.mark.parametrize("private", [rsa_key(), ec_key(), ed_key()], ids=["RSA", "EC", "OKP"])
    def test_a_published_private_key_is_dropped_loudly(self, private: Any, name: str) -> None:
        others = {"use": None, "d": None, "k": None}
        values: list[object] = ["AQAB", "", 0, False, [], {}]
        for value in values:
            given = jwk(private, **{**others, name: value})
            assert reason_skipped(given) == PRIVATE_KEY_PUBLISHED

    def test_no_reason_and_no_repr_shows_key_material(self) -> None:
        secret = "K7gNU3sdo-OL0wNhqoVWhr3g6s1xYv72ol_pe_Unols"
        members: list[dict[str, object]] = [
            {**jwk(rsa_key()), name: secret}
            for name in ("use", "key_ops", "alg", "kty", "d", "n", "e")
        ]
        members += [{**jwk(ec_key()), name: secret} for name in ("crv", "x", "y")]
        members += [{"kty": "OKP", "crv": "Ed25519", "x": secret + "AA"}]
        key_set = parse_key_set({"keys": [*members, GOOD]})
        assert len(key_set.skipped) == len(members)
        assert secret not in "".join(key_set.skipped)
        assert GOOD["x"] not in repr(key_set)


def small_order_ys() -> list[int]:
    """The y of each Ed25519 point whose order divides 8, found by doubling points."""
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p

    def x_of(y: int) -> int | None:
        square = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
        x = pow(square, (p + 3) // 8, p)
        for root in (x, x * pow(2, (p - 1) // 4, p) % p):
            if root * root % p == square:
                return root
        return None

    def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        product = d * a[0] * b[0] * a[1] * b[1] % p
        x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, -1, p) % p
        return x, (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, p) % p

    def times(scalar: int, point: tuple[int, int]) -> tuple[int, int]:
        total = (0, 1)
        while scalar:
            if scalar & 1:
                total = add(total, point)
            point, scalar = add(point, point), scalar >> 1
        return total

    # A random point times the large prime order lands in the subgroup of order 8.
    order = 2**252 + 27742317777372353535851937790883648493
    found: set[int] = set()
    for y in range(2, 40):
        x = x_of(y)
        if x is not None:
            found.add(times(order, (x, y))[1])
    return sorted(found)


def both_signs(y: int) -> list[bytes]:
    return [(y | sign_bit << 255).to_bytes(32, "little") for sign_bit in (0, 1)]


@pytest.mark.parametrize("nothing", [{}, {"kty": None}], ids=["absent", "null"])
def test_a_key_of_no_type_is_said_to_have_none(nothing: dict[str, Any]) -> None:
    member = {name: value for name, value in jwk(rsa_key()).items() if name != "kty"}
    assert reason_skipped(member | nothing) == "kty (absent) is not RSA, EC or OKP"

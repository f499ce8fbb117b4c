"""Keys and tokens of the demo's issuer hold against PyJWT, which did not make them."""

from __future__ import annotations

import json

import jwt
import pytest

from extauthz.demo.minting import ALGORITHMS, SigningKey, compact, signed, thumbprint, without_none


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_of_every_algorithm_verifies_with_the_published_key(alg: str) -> None:
    key = SigningKey.generate(alg)
    token = signed(key, {"sub": "alice"}, {"typ": "at+jwt"})
    published = key.public_jwk()
    name = "EdDSA" if alg == "Ed25519" else alg
    public = jwt.PyJWK({**published, "alg": name})
    verifier = jwt.get_algorithm_by_name(name)
    signing_input, _, signature = token.rpartition(".")
    decoded = jwt.utils.base64url_decode(signature)
    assert verifier.verify(signing_input.encode(), public.key, decoded)
    assert jwt.get_unverified_header(token) == {"alg": alg, "kid": key.kid, "typ": "at+jwt"}


def test_the_private_half_is_never_published() -> None:
    for alg in ("RS256", "ES256", "EdDSA"):
        assert not {"d", "p", "q", "dp", "dq", "qi"} & SigningKey.generate(alg).public_jwk().keys()


def test_a_key_id_is_the_rfc_7638_thumbprint() -> None:
    """The example of RFC 7638 section 3.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP"
        "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY"
        "368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f"
        "M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    jwk = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_headers_may_lie_and_may_be_taken_away() -> None:
    key = SigningKey.generate("ES256")
    token = signed(key, {}, {"alg": "RS256", "kid": None})
    assert jwt.get_unverified_header(token) == {"alg": "RS256"}


def test_a_payload_may_be_anything() -> None:
    key = SigningKey.generate("ES256")
    payload = signed(key, b"[1, NaN", {}).split(".")[1]
    assert jwt.utils.base64url_decode(payload) == b"[1, NaN"


def test_an_unsecured_token_has_an_empty_signature() -> None:
    header, payload, signature = compact({"alg": "none"}, {"sub": "a"}, lambda _: b"").split(".")
    assert json.loads(jwt.utils.base64url_decode(header)) == {"alg": "none"}
    assert json.loads(jwt.utils.base64url_decode(payload)) == {"sub": "a"}
    assert signature == ""


def test_an_unknown_algorithm_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'HS256'; known are RS256, "):
        SigningKey.generate("HS256")


def test_none_takes_a_default_away() -> None:
    assert without_none({"a": None, "b": 0, "c": ""}) == {"b": 0, "c": ""}

"""Key sets as real providers publish them: every signing key counts, no other does."""

from __future__ import annotations

import json

import pytest

from extauthz.core.keyset import KeySetError, parse_key_set
from extauthz.core.model import Allow, NeedKeys
from tests.attacks.provider_key_sets import PROVIDERS, Provider
from tests.policies import asking, engine_for_tests
from tests.tokens import NOW, mint, signer


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS.keys())
def test_exactly_the_signing_keys_are_usable(provider: Provider) -> None:
    keys = parse_key_set(json.dumps(provider.document).encode())
    assert {key.kid for key in keys.keys} == set(provider.signs)
    assert len(keys.skipped) == len(provider.keys) - len(provider.signs)


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS.keys())
def test_tokens_by_them_are_taken_and_by_no_other_member(provider: Provider) -> None:
    # Ours is an issuer named in full: of Entra's keys only those of all tenants sign for it.
    keys = {"corp": parse_key_set(provider.document)}
    for member in provider.keys:
        kid = member["kid"]
        of_one_tenant = "issuer" in member and "{tenantid}" not in member["issuer"]
        algorithm = provider.signs.get(kid, "RS256")
        made_as = "RS256" if algorithm == "PS256" else algorithm
        if member["kty"] == "AKP":
            continue
        token = mint(key=signer(made_as, kid))
        decision = engine_for_tests().decide(asking(token), keys, now=NOW)
        if kid in provider.signs and not of_one_tenant:
            assert isinstance(decision, Allow), kid
        elif kid in provider.signs:
            assert not isinstance(decision, Allow | NeedKeys), kid
        else:
            assert decision == NeedKeys("corp", kid)


def test_a_key_without_alg_verifies_every_algorithm_of_its_type() -> None:
    entra = parse_key_set(PROVIDERS["Entra ID"].document)
    kid = "HS23b7Do7TcaU1RoLHwpIq24VYg"
    for algorithm in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"):
        assert len(entra.candidates(kid, algorithm)) == 1


@pytest.mark.parametrize(
    "document",
    [
        b"", b"null", b"[]", b'"x"', b"1", b"{}", b'{"keys":null}', b'{"keys":{}}',
        b'{"keys":"x"}', b'{"keys":[]}', b'{"keys":[null]}', b'{"keys":[{}]}', b"<html></html>",
        b'{"error":"x"}', b'{"keys":[NaN]}', b'{"keys":[],"keys":[]}', b'\xef\xbb\xbf{"keys":[]}',
        b'{"keys":[{"kty":"RSA","use":"enc"}]}', b'{"issuer":"x","jwks_uri":"https://x"}',
        b"-----BEGIN CERTIFICATE-----", b'{"keys":[' + b"[" * 1000, b'{"keys":[],}',
        b'{"kid-1":"-----BEGIN CERTIFICATE-----"}', b'{"keys":[' + b"{}," * 1001 + b"{}]}",
        '{"keys":[]}'.encode("utf-16"), b'{"keys":["' + b'\\"' * 5000, b'{"keys":' + b"9" * 9999,
    ],
)  # fmt: skip
def test_81_a_document_without_a_usable_key_is_an_error_that_quotes_nothing(
    document: bytes,
) -> None:
    with pytest.raises(KeySetError) as caught:
        parse_key_set(document)
    assert len(str(caught.value)) < 300


def test_84_ten_thousand_keys_are_refused_whole() -> None:
    with pytest.raises(KeySetError, match="1000"):
        parse_key_set({"keys": [signer().public_jwk()] * 10_000})
    assert len(parse_key_set({"keys": [signer().public_jwk()] * 1_000}).keys) == 1

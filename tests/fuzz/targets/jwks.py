"""A key set is read or refused with a short reason, and its keys answer every question.

A key is never a short, a private, a shared or an encryption key.
"""

from __future__ import annotations

import json

from extauthz.core.keyset import KeySet, KeySetError, parse_key_set
from tests.attacks.provider_key_sets import PROVIDERS
from tests.tokens import jwks, signer

SEEDS = (
    *(json.dumps(provider.document).encode() for provider in PROVIDERS.values()),
    json.dumps(jwks(*map(signer, ("ES256", "ES384", "ES512", "EdDSA", "RS256")))).encode(),
    b'{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"RSA","n":"AQAB","e":"AQAB"}]}',
    b'{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}',
    b'{"keys":null}',
)


def one(data: bytes) -> None:
    """Raise where the invariant is broken."""
    keys: KeySet | None = None
    why = ""
    try:
        keys = parse_key_set(data)
    except KeySetError as fault:
        why = str(fault)
    if keys is None:
        assert 0 < len(why) < 500
        return
    assert isinstance(keys, KeySet)
    assert keys.keys
    for key in keys.keys:
        assert key.kty in ("RSA", "EC", "OKP")
        assert key.kty != "RSA" or key.size >= 2048
        assert keys.holds(key)
        assert key.kid is None or keys.has(key.kid)
        for algorithm in (*key.algorithms, "HS256", "none", ""):
            assert not key.verify(algorithm, b"message", b"\0" * 64)
            assert isinstance(keys.candidates(key.kid, algorithm), tuple)
    assert all(len(why) < 300 for why in keys.skipped)

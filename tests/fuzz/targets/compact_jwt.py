"""Only a token that a published key signed, byte for byte, and that is in force, is accepted.

The bytes are either a whole token text, or a header and claims that are signed genuinely.
"""

from __future__ import annotations

import jwt

from extauthz.core.engine import Engine
from extauthz.core.model import Allow, Answer, Deny, NeedKeys
from tests.policies import asking, key_sets, policy_for_tests
from tests.tokens import ISSUER, NOTES, NOW, as_json, good_claims, mint, signer

ENGINE = Engine(policy_for_tests())
KEYS = key_sets()
ALGORITHMS = ("ES256", "ES384", "ES512", "RS256", "EdDSA")
PUBLISHED = {key.kid: key for key in map(signer, ALGORITHMS)}

SEEDS = (
    b"T" + mint().encode(),
    b"T" + mint(key=signer("RS256")).encode(),
    b"T" + mint(key=signer("EdDSA")).encode() + b"=",
    b"T" + mint({"cnf": {}}).encode(),
    b'H{"alg":"ES256","kid":"es256","typ":"at+jwt"}',
    b'H{"alg":"none","crit":["exp"],"jwk":{}}',
    b"C" + as_json(good_claims()),
    b"C" + as_json(good_claims(aud=[NOTES, 1], exp="1", sub=None)),
    b'C{"a":' + b"[" * 70,
)


def one(data: bytes) -> None:
    """Raise where the invariant is broken."""
    kind, rest = data[:1], data[1:]
    if kind == b"H":
        text = mint(header=rest)
    elif kind == b"C":
        text = mint(rest)
    else:
        text = rest.decode("latin-1")
    decision = ENGINE.decide(asking(text), KEYS, now=NOW)
    assert isinstance(decision, Allow | Deny | NeedKeys | Answer)
    if not isinstance(decision, Allow):
        return
    token = text.strip(" ")
    header = jwt.get_unverified_header(token)
    candidates = [PUBLISHED[header["kid"]]] if "kid" in header else list(PUBLISHED.values())
    message, _, signature = token.rpartition(".")
    assert signature
    assert any(_signed(token, key.private.public_key(), key.alg) for key in candidates), message
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] + 30 > NOW
    assert claims["iss"] == ISSUER
    assert NOTES in ([claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"])
    assert "cnf" not in claims or claims["cnf"] is None


def _signed(token: str, public_key: object, algorithm: str) -> bool:
    try:
        jwt.PyJWS().decode(token, public_key, algorithms=[algorithm])  # type: ignore[arg-type]
    except jwt.PyJWTError:
        return False
    return True

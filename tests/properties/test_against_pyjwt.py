"""PyJWT as the oracle: we never accept a token that it refuses.

It is told what we are told (key by kid, algorithms, audience, issuer, leeway, time) and asked
in its strictest way. It accepts much that we refuse; the other way round there is nothing but
differences of habit, which are evened out here:

* fractions of a second, which it cuts off: such tokens are judged with a second more of leeway;
* tokens without a kid, for which it has no rule: it is asked with each key;
* spaces after ``Bearer``, which belong to the header and not to the token.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, tzinfo
from unittest.mock import patch

import jwt
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from extauthz.core.model import Allow
from extauthz.demo.minting import SigningKey
from tests.policies import asking, engine_for_tests, key_sets
from tests.properties.requests import GOOD, TOKENS
from tests.tokens import ISSUER, NOTES, NOW, signer

ENGINE = engine_for_tests()
KEYS = key_sets()
PUBLISHED = {key.kid: key for key in map(signer, ("ES256", "ES384", "ES512", "RS256", "EdDSA"))}
LEEWAY = 30


class FrozenTime(datetime):
    """PyJWT reads the clock itself; here it reads ours."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> FrozenTime:
        return cls.fromtimestamp(NOW, tz or UTC)


def pyjwt_accepts(value: str) -> bool:
    text = value.strip(" ")
    try:
        header = jwt.get_unverified_header(text)
        claims = jwt.decode(text, options={"verify_signature": False})
        keys = [PUBLISHED[header["kid"]]] if "kid" in header else list(PUBLISHED.values())
    except Exception:  # noqa: BLE001  some tokens make it raise what it does not document
        return False
    fractions = any(isinstance(claims.get(name), float) for name in ("exp", "nbf", "iat"))
    return any(_verifies(text, key, LEEWAY + fractions) for key in keys)


def _verifies(text: str, key: SigningKey, leeway: int) -> bool:
    try:
        with patch("jwt.api_jwt.datetime", FrozenTime):
            jwt.decode(
                text,
                key.private.public_key(),
                algorithms=[key.alg],
                audience=NOTES,
                issuer=ISSUER,
                leeway=leeway,
                options={"require": ["exp", "iss", "aud"]},
            )
    except Exception:  # noqa: BLE001  as above
        return False
    return True


def we_accept(text: str) -> bool:
    return isinstance(ENGINE.decide(asking(text), KEYS, now=NOW), Allow)


@pytest.mark.requirement("M6", "R25")
@settings(max_examples=int(os.environ.get("EXTAUTHZ_EXAMPLES", "250")))
@given(st.one_of(TOKENS, GOOD))
def test_we_never_accept_what_pyjwt_refuses(text: str) -> None:
    ours, theirs = we_accept(text), pyjwt_accepts(text)
    event(f"ours {ours}, PyJWT {theirs}")
    assert not (ours and not theirs)


@settings(max_examples=int(os.environ.get("EXTAUTHZ_EXAMPLES", "100")))
@given(GOOD, st.integers(0, 400), st.sampled_from("AB_-.=+/ \n~é"))
def test_nor_one_character_of_it_changed(text: str, at: int, other: str) -> None:
    changed = text[:at] + other + text[at + 1 :]
    assert not (we_accept(changed) and not pyjwt_accepts(changed))

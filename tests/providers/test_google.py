"""Google: opaque access tokens, and ID tokens of service accounts that anyone can have made."""

from __future__ import annotations

import pytest

from extauthz.core.model import Reason
from tests.providers.desk import ABSENT, RESOURCE, Provider, jwk, renamed, signer

ISSUER = "https://accounts.google.com"
CERTS = "https://www.googleapis.com/oauth2/v3/certs"
KEY = renamed(signer("RS256"), "a50f6e70ef4b548a5fd9142eecd1fb8f54dce9ee")
ROBOT = "notes-agent@acme-prod.iam.gserviceaccount.com"

GOOGLE = Provider(
    page="google",
    key=KEY,
    documents={
        ISSUER + "/.well-known/openid-configuration": {
            "issuer": ISSUER,
            "authorization_endpoint": ISSUER + "/o/oauth2/v2/auth",
            "token_endpoint": "https://oauth2.googleapis.com/token",
            "jwks_uri": CERTS,
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["plain", "S256"],
        },
        CERTS: {"keys": [jwk(KEY), jwk(renamed(signer("RS256", "next"), "next"))]},
    },
    claims={
        "iss": ISSUER,
        "aud": RESOURCE,
        "azp": "104029292853099978293",
        "sub": "104029292853099978293",
        "email": ROBOT,
        "email_verified": True,
    },
)


@pytest.mark.parametrize("issuer", [ISSUER, "accounts.google.com"])
def test_a_service_account_is_allowed_under_both_names_of_google(issuer: str) -> None:
    who = GOOGLE.allowed(GOOGLE.token(iss=issuer))
    assert who["subject"] == "104029292853099978293"
    assert who["x-user-email"] == ROBOT


def test_the_keys_may_live_on_another_host() -> None:
    GOOGLE.allowed(GOOGLE.token())
    assert GOOGLE.asked[-1] == CERTS


def test_the_page_shows_an_access_token() -> None:
    assert GOOGLE.on_page("ya29.a0AfB_byC-made-up") is Reason.MALFORMED_TOKEN


def test_the_page_shows_a_service_account_of_somebody_else() -> None:
    """Whoever has a project at Google gets a token for any audience at all."""
    stranger = GOOGLE.token(sub="1", azp="1", email="robot@evil.iam.gserviceaccount.com")
    assert GOOGLE.on_page(stranger) is Reason.MISSING_CLAIM


def test_a_token_that_names_no_account_is_refused() -> None:
    nameless = GOOGLE.token(email=ABSENT, email_verified=ABSENT)
    assert GOOGLE.refused(nameless)[0] is Reason.MISSING_CLAIM


def test_an_id_token_of_a_person_for_some_client_is_refused() -> None:
    token = GOOGLE.token(aud="1234-app.apps.googleusercontent.com", at_hash="x", hd="example.com")
    assert GOOGLE.refused(token)[0] is Reason.WRONG_AUDIENCE


def test_the_short_name_where_it_is_not_accepted_is_named() -> None:
    strict = GOOGLE.edited("[accounts.google.com]", "[]")
    reason, told = strict.refused(strict.token(iss="accounts.google.com"))
    assert reason is Reason.UNKNOWN_ISSUER
    assert "iss differs only in the scheme: add accepted_issuers: [accounts.google.com]" in told

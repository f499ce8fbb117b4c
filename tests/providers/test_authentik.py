"""Authentik: an issuer with a final slash, tokens for a client, and a secret where no key is."""

from __future__ import annotations

from dataclasses import replace

from extauthz.core.model import Reason
from tests.providers.desk import ABSENT, Provider, jwk, renamed, signer

ISSUER = "https://sso.example.com/application/o/notes/"
CLIENT = "Xq8Kz0mC1fVb6Lw3"
KEY = renamed(signer("ES256"), "b5f1e2a0c9d84e7f")

METADATA = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://sso.example.com/application/o/authorize/",
    "token_endpoint": "https://sso.example.com/application/o/token/",
    "jwks_uri": ISSUER + "jwks/",
    "id_token_signing_alg_values_supported": ["ES256"],
}

AUTHENTIK = Provider(
    page="authentik",
    key=KEY,
    documents={
        ISSUER + ".well-known/openid-configuration": METADATA,
        ISSUER + "jwks/": {"keys": [jwk(KEY, x5c=["MIIBmzCCAUG="], x5t="y")]},
    },
    claims={
        "iss": ISSUER,
        "sub": "8a5e",
        "aud": CLIENT,
        "auth_time": 1_799_999_000,
        "acr": "goauthentik.io/providers/oauth2/default",
        "amr": ["pwd"],
        "sid": "3c",
        "email": "zoe@example.com",
        "groups": ["notes-editors"],
        "azp": CLIENT,
        "uid": "u7",
    },
)


def test_a_token_is_allowed() -> None:
    who = AUTHENTIK.allowed(AUTHENTIK.token())
    assert (who["subject"], who["client-id"], who["audience"]) == ("8a5e", CLIENT, CLIENT)
    assert "scopes" not in who


def test_a_group_can_be_demanded() -> None:
    AUTHENTIK.allowed(AUTHENTIK.token(), tool="delete_note")
    other = AUTHENTIK.token(groups=["everybody"])
    assert AUTHENTIK.refused(other, tool="delete_note")[0] is Reason.DENIED_BY_RULE


def test_an_id_token_which_is_for_the_same_audience_is_refused() -> None:
    token = AUTHENTIK.token(azp=ABSENT, uid=ABSENT, nonce="n", at_hash="x")
    reason, told = AUTHENTIK.refused(token)
    assert reason is Reason.MISSING_CLAIM
    assert "it looks like an ID token" in told


def test_a_token_of_another_application_is_refused() -> None:
    other = ISSUER.replace("notes", "wiki")
    assert AUTHENTIK.refused(AUTHENTIK.token(iss=other, aud="wiki"))[0] is Reason.UNKNOWN_ISSUER
    assert AUTHENTIK.refused(AUTHENTIK.token(aud="wiki", azp="wiki"))[0] is Reason.WRONG_AUDIENCE


def test_the_page_shows_a_token_signed_with_the_secret() -> None:
    """Without a signing key authentik signs with the client's secret, and publishes no keys."""
    unsigned = replace(
        AUTHENTIK,
        documents={ISSUER + ".well-known/openid-configuration": METADATA, ISSUER + "jwks/": {}},
    )
    token = unsigned.token(header={"alg": "HS256"})
    assert unsigned.on_page(token) is Reason.UNSUPPORTED_ALGORITHM


def test_the_page_shows_the_issuer_without_its_slash() -> None:
    without = AUTHENTIK.edited("issuer: " + ISSUER, "issuer: " + ISSUER.rstrip("/"))
    assert without.on_page(without.token()) is Reason.UNKNOWN_ISSUER

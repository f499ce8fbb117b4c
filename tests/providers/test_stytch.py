"""Stytch: an issuer that is a domain or no URL at all, and sessions with the same audience."""

from __future__ import annotations

from extauthz.core.model import Reason
from tests.providers.desk import ABSENT, RESOURCE, Provider, jwk, renamed, signer

PROJECT = "project-live-11111111-2222-4333-8444-555555555555"
ISSUER = "https://login.example.com"
KEY = renamed(signer("RS256"), "jwk-live-66666666-7777-4888-8999-000000000000")
NEXT = renamed(signer("RS256", "next"), "jwk-live-next")

STYTCH = Provider(
    page="stytch",
    key=KEY,
    documents={
        ISSUER + "/.well-known/openid-configuration": {
            "issuer": ISSUER,
            "authorization_endpoint": "https://app.example.com/oauth/authorize",
            "token_endpoint": ISSUER + "/v1/oauth2/token",
            "jwks_uri": ISSUER + "/.well-known/jwks.json",
            "registration_endpoint": ISSUER + "/v1/oauth2/register",
            "code_challenge_methods_supported": ["S256"],
            "client_id_metadata_document_supported": True,
        },
        ISSUER + "/.well-known/jwks.json": {"keys": [jwk(KEY), jwk(NEXT)]},
    },
    claims={
        "iss": ISSUER,
        "sub": "user-live-16d9ba61",
        "aud": [PROJECT],
        "client_id": "connected-app-live-d731954d",
        "jti": "LOe49j3s",
        "scope": "openid notes:read",
    },
)
SESSION = {
    "iss": ISSUER,
    "sub": "user-live-16d9ba61",
    "aud": [PROJECT],
    "https://stytch.com/session": {"id": "session-live-1", "authentication_factors": []},
}


def test_a_token_of_a_connected_app_is_allowed() -> None:
    who = STYTCH.allowed(STYTCH.token())
    assert (who["subject"], who["client-id"]) == (
        "user-live-16d9ba61",
        "connected-app-live-d731954d",
    )


def test_both_keys_are_held_while_one_follows_the_other() -> None:
    STYTCH.allowed(STYTCH.token(key=NEXT))
    assert len(STYTCH.keys.keys) == 2


def test_an_audience_of_ones_own_can_be_demanded() -> None:
    own = STYTCH.edited(f"audiences: [{PROJECT}]", f"audiences: ['{RESOURCE}']")
    own.allowed(own.token(aud=[PROJECT, RESOURCE]))
    assert own.refused(own.token())[0] is Reason.WRONG_AUDIENCE


def test_the_page_shows_a_token_asked_for_at_the_common_domain() -> None:
    assert STYTCH.on_page(STYTCH.token(iss=f"stytch.com/{PROJECT}")) is Reason.UNKNOWN_ISSUER


def test_the_page_shows_a_session() -> None:
    assert STYTCH.on_page(STYTCH.signed(SESSION)) is Reason.INSUFFICIENT_SCOPE


def test_a_project_beside_it_is_refused() -> None:
    assert STYTCH.refused(STYTCH.token(aud=["project-live-other"]))[0] is Reason.WRONG_AUDIENCE
    assert STYTCH.refused(STYTCH.token(aud=ABSENT))[0] is Reason.MISSING_CLAIM

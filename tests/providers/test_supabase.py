"""Supabase: every token has the same audience, so the client has to do."""

from __future__ import annotations

from extauthz.core.model import Reason
from tests.providers.desk import ABSENT, Provider, jwk, renamed, signer

ISSUER = "https://abcdefghijklmnopqrst.supabase.co/auth/v1"
CLIENT = "9a8b7c6d-5e4f-4a2b-8c0d-9e8f7a6b5c4d"
KEY = renamed(signer("ES256"), "b81269f1-21d8-4f2e-b719-c2240a840d90")

SUPABASE = Provider(
    page="supabase",
    key=KEY,
    documents={
        ISSUER + "/.well-known/openid-configuration": {
            "issuer": ISSUER,
            "authorization_endpoint": ISSUER + "/oauth/authorize",
            "token_endpoint": ISSUER + "/oauth/token",
            "jwks_uri": ISSUER + "/.well-known/jwks.json",
            "registration_endpoint": ISSUER + "/oauth/clients/register",
            "code_challenge_methods_supported": ["S256", "plain"],
        },
        ISSUER + "/.well-known/jwks.json": {"keys": [jwk(KEY, key_ops=["verify"], ext=True)]},
    },
    claims={
        "iss": ISSUER,
        "sub": "8ccaa7af-909f-44e7-84cb-67cdccb56be6",
        "aud": "authenticated",
        "role": "authenticated",
        "user_id": "8ccaa7af-909f-44e7-84cb-67cdccb56be6",
        "email": "zoe@example.com",
        "client_id": CLIENT,
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": 1_799_999_000}],
        "session_id": "4b938a09-5372-4177-a314-cfa292099ea2",
        "is_anonymous": False,
    },
)


def test_a_token_of_a_listed_client_is_allowed() -> None:
    who = SUPABASE.allowed(SUPABASE.token())
    assert who["subject"] == "8ccaa7af-909f-44e7-84cb-67cdccb56be6"
    assert who["client-id"] == CLIENT
    assert who["audience"] == "authenticated"
    assert who["x-user-email"] == "zoe@example.com"


def test_a_token_of_another_client_is_refused() -> None:
    token = SUPABASE.token(client_id="00000000-5e4f-4a2b-8c0d-9e8f7a6b5c4d")
    assert SUPABASE.refused(token)[0] is Reason.WRONG_AUDIENCE


def test_an_anonymous_user_is_refused() -> None:
    assert SUPABASE.refused(SUPABASE.token(is_anonymous=True))[0] is Reason.MISSING_CLAIM


def test_the_page_shows_a_token_of_the_old_shared_secret() -> None:
    token = SUPABASE.token(header={"alg": "HS256"})
    assert SUPABASE.on_page(token) is Reason.UNSUPPORTED_ALGORITHM


def test_the_page_shows_a_session_of_the_app() -> None:
    assert SUPABASE.on_page(SUPABASE.token(client_id=ABSENT)) is Reason.MISSING_CLAIM


def test_a_project_beside_it_is_refused() -> None:
    token = SUPABASE.token(iss="https://zzzzzzzzzzzzzzzzzzzz.supabase.co/auth/v1")
    reason, told = SUPABASE.refused(token)
    assert reason is Reason.UNKNOWN_ISSUER
    assert "only the host differs" in told

"""Clerk: access tokens that say what they are, and session tokens that must never do."""

from __future__ import annotations

from extauthz.core.model import Reason
from tests.providers.desk import ABSENT, RESOURCE, Provider, jwk, renamed, signer

ISSUER = "https://clerk.example.com"
KEY = renamed(signer("RS256"), "ins_2abcDEFghiJKLmnoPQRstuVWxyz")

CLERK = Provider(
    page="clerk",
    key=KEY,
    documents={
        ISSUER + "/.well-known/openid-configuration": {
            "issuer": ISSUER,
            "authorization_endpoint": ISSUER + "/oauth/authorize",
            "token_endpoint": ISSUER + "/oauth/token",
            "jwks_uri": ISSUER + "/.well-known/jwks.json",
            "registration_endpoint": ISSUER + "/oauth/register",
            "code_challenge_methods_supported": ["S256"],
        },
        ISSUER + "/.well-known/jwks.json": {"keys": [jwk(KEY)]},
    },
    header={"typ": "at+jwt"},
    claims={
        "iss": ISSUER,
        "sub": "user_2xhFjEI5X2qWRvtV13BzSj8H6Dk",
        "aud": RESOURCE,
        "client_id": "client_2xhFjEI5X2",
        "jti": "oat_0ef5a7a33d87ed87",
        "scope": "profile email",
    },
)
SESSION = {
    "iss": ISSUER,
    "sub": "user_2xhFjEI5X2qWRvtV13BzSj8H6Dk",
    "azp": "https://app.example.com",
    "sid": "sess_2abc",
    "v": 2,
}


def test_an_access_token_is_allowed() -> None:
    who = CLERK.allowed(CLERK.token())
    assert who["subject"] == "user_2xhFjEI5X2qWRvtV13BzSj8H6Dk"
    assert (who["client-id"], who["scopes"]) == ("client_2xhFjEI5X2", "profile email")


def test_an_access_token_without_audience_is_refused_unless_clients_are_named() -> None:
    nobody = CLERK.token(aud=ABSENT)
    assert CLERK.refused(nobody)[0] is Reason.MISSING_CLAIM
    clients = CLERK.edited(
        "    token_types:", "    audience_claim: client_id\n    token_types:"
    ).edited("    resource:", "    audiences: [client_2xhFjEI5X2]\n    resource:")
    clients.allowed(nobody)
    assert clients.refused(clients.token(client_id="client_other"))[0] is Reason.WRONG_AUDIENCE
    assert clients.refused(clients.signed(SESSION))[0] is Reason.WRONG_TOKEN_TYPE


def test_the_page_shows_an_opaque_token() -> None:
    assert CLERK.on_page("oat_0ef5a7a33d87ed87ee7954c845d80450") is Reason.MALFORMED_TOKEN


def test_the_page_shows_a_session_token() -> None:
    assert CLERK.on_page(CLERK.signed(SESSION)) is Reason.WRONG_TOKEN_TYPE


def test_a_session_token_is_refused_for_its_lack_of_an_audience_too() -> None:
    lax = CLERK.edited("token_types: [at+jwt, application/at+jwt]", "token_types: [at+jwt, JWT]")
    assert lax.refused(lax.signed(SESSION))[0] is Reason.MISSING_CLAIM


def test_another_instance_is_refused() -> None:
    token = CLERK.token(iss="https://verb-noun-00.clerk.accounts.dev")
    assert CLERK.refused(token)[0] is Reason.UNKNOWN_ISSUER

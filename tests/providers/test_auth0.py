"""Auth0: an issuer with a final slash, tokens for an API by its identifier, and one without."""

from __future__ import annotations

from extauthz.core.model import Reason
from tests.providers.desk import ABSENT, RESOURCE, Provider, jwk, renamed, signer

ISSUER = "https://acme.eu.auth0.com/"
KEY = renamed(signer("RS256"), "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4")

AUTH0 = Provider(
    page="auth0",
    key=KEY,
    documents={
        ISSUER + ".well-known/openid-configuration": {
            "issuer": ISSUER,
            "authorization_endpoint": ISSUER + "authorize",
            "token_endpoint": ISSUER + "oauth/token",
            "jwks_uri": ISSUER + ".well-known/jwks.json",
            "registration_endpoint": ISSUER + "oidc/register",
            "code_challenge_methods_supported": ["S256", "plain"],
            "id_token_signing_alg_values_supported": ["HS256", "RS256", "PS256"],
        },
        ISSUER + ".well-known/jwks.json": {
            "keys": [jwk(KEY, x5t="n4TmVHzqDUrtkYGCZvHoOKt5a6A", x5c=["MIIDBTCCAe2gAwIBAgI="])]
        },
    },
    claims={
        "iss": ISSUER,
        "sub": "auth0|6510f3c0a9c4",
        "aud": [RESOURCE, ISSUER + "userinfo"],
        "azp": "Xa7rQ2mZ",
        "scope": "openid notes:read",
        "permissions": ["notes:read", "notes:write"],
    },
)


def test_a_token_of_the_default_profile_is_allowed() -> None:
    who = AUTH0.allowed(AUTH0.token())
    assert who["subject"] == "auth0|6510f3c0a9c4"
    assert who["client-id"] == "Xa7rQ2mZ"
    assert who["scopes"] == "openid notes:read"
    assert who["issuer"] == ISSUER


def test_a_token_of_the_rfc_9068_profile_is_allowed() -> None:
    token = AUTH0.token(header={"typ": "at+jwt"}, azp=ABSENT, client_id="Xa7rQ2mZ", jti="b1N")
    who = AUTH0.allowed(token)
    assert (who["client-id"], who["token-id"]) == ("Xa7rQ2mZ", "b1N")


def test_scopes_are_demanded_of_every_call_and_of_the_tool() -> None:
    assert AUTH0.refused(AUTH0.token(scope="openid"))[0] is Reason.INSUFFICIENT_SCOPE
    AUTH0.allowed(AUTH0.token(scope="notes:read notes:write"), tool="delete_note")


def test_a_program_is_its_own_subject() -> None:
    token = AUTH0.token(sub="Xa7rQ2mZ@clients", gty="client-credentials")
    assert AUTH0.allowed(token)["subject"] == "Xa7rQ2mZ@clients"


def test_clients_are_sent_to_the_issuer_with_its_slash() -> None:
    assert AUTH0.metadata()["authorization_servers"] == [ISSUER]


def test_an_id_token_is_refused() -> None:
    token = AUTH0.token(aud="Xa7rQ2mZ", azp=ABSENT, scope=ABSENT, nonce="n-0S6", at_hash="77Qmx")
    reason, told = AUTH0.refused(token)
    assert reason is Reason.WRONG_AUDIENCE
    assert "it looks like an ID token" in told


def test_a_token_for_userinfo_only_is_refused() -> None:
    assert AUTH0.refused(AUTH0.token(aud=ISSUER + "userinfo"))[0] is Reason.WRONG_AUDIENCE


def test_a_token_of_another_tenant_is_refused() -> None:
    token = AUTH0.token(iss="https://evil.eu.auth0.com/")
    assert AUTH0.refused(token)[0] is Reason.UNKNOWN_ISSUER


def test_a_token_signed_with_the_secret_of_an_api_is_refused() -> None:
    token = AUTH0.token(header={"alg": "HS256"})
    assert AUTH0.refused(token)[0] is Reason.UNSUPPORTED_ALGORITHM


def test_the_page_shows_the_issuer_without_its_slash() -> None:
    without = AUTH0.edited(
        "issuer: https://acme.eu.auth0.com/ ", "issuer: https://acme.eu.auth0.com "
    )
    assert without.on_page(without.token()) is Reason.UNKNOWN_ISSUER


def test_the_page_shows_the_token_that_was_asked_for_without_an_api() -> None:
    opaque = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..bm9uY2Utb2YtMTI.Y2lwaGVy.dGFn"
    assert AUTH0.on_page(opaque) is Reason.MALFORMED_TOKEN


def test_explain_finds_a_scope_among_the_permissions() -> None:
    reason, told = AUTH0.refused(AUTH0.token(), tool="delete_note")
    assert reason is Reason.INSUFFICIENT_SCOPE
    assert "permissions: write scope_claims: [scope, scp, permissions] for the issuer" in told


def test_explain_finds_an_audience_that_differs_by_its_slash() -> None:
    reason, told = AUTH0.refused(AUTH0.token(aud=[RESOURCE + "/"]))
    assert reason is Reason.WRONG_AUDIENCE
    assert f"differs from {RESOURCE} only by the final slash" in told

"""Keycloak: an encryption key among the keys, kinds of token in the payload, roles below."""

from __future__ import annotations

from extauthz.core.model import Reason
from tests.providers.desk import ABSENT, RESOURCE, Provider, jwk, renamed, signer

ISSUER = "https://sso.example.com/realms/acme"
CERTS = ISSUER + "/protocol/openid-connect/certs"
KEY = renamed(signer("RS256"), "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE")
ENCRYPTION = renamed(signer("RS256", "enc"), "bSZG7e4dHsDq7ZnI5K0VYFhYUq8")
ED25519 = signer("EdDSA", "ed25519")

KEYCLOAK = Provider(
    page="keycloak",
    key=KEY,
    documents={
        ISSUER + "/.well-known/openid-configuration": {
            "issuer": ISSUER,
            "authorization_endpoint": ISSUER + "/protocol/openid-connect/auth",
            "token_endpoint": ISSUER + "/protocol/openid-connect/token",
            "jwks_uri": CERTS,
            "registration_endpoint": ISSUER + "/clients-registrations/openid-connect",
            "code_challenge_methods_supported": ["plain", "S256"],
        },
        CERTS: {
            "keys": [
                jwk(ENCRYPTION, use="enc", alg="RSA-OAEP", x5t="s8", x5c=["MIICmzCCAYMCBgE="]),
                jwk(KEY, x5t="s9", x5c=["MIICmzCCAYMCBgE="]),
                jwk(ED25519),
            ]
        },
    },
    claims={
        "jti": "onrtac:7d5e5b0e",
        "iss": ISSUER,
        "aud": [RESOURCE, "account"],
        "sub": "f1f0f1c2-1111-4222-8333-444444444444",
        "typ": "Bearer",
        "azp": "mcp-inspector",
        "sid": "a3",
        "acr": "1",
        "realm_access": {"roles": ["offline_access", "notes-editor"]},
        "resource_access": {"account": {"roles": ["view-profile"]}},
        "scope": "openid email notes:read",
        "preferred_username": "zoe",
        "email": "zoe@example.com",
    },
)


def test_a_token_is_allowed() -> None:
    who = KEYCLOAK.allowed(KEYCLOAK.token())
    assert who["subject"] == "f1f0f1c2-1111-4222-8333-444444444444"
    assert who["client-id"] == "mcp-inspector"
    assert who["scopes"] == "openid email notes:read"
    assert who["x-user-name"] == "zoe"


def test_a_client_that_marks_access_tokens_is_allowed() -> None:
    """`access.token.header.type.rfc9068`, which is off by default."""
    KEYCLOAK.allowed(KEYCLOAK.token(header={"typ": "at+jwt"}))


def test_a_realm_that_signs_with_ed25519_is_allowed() -> None:
    KEYCLOAK.allowed(KEYCLOAK.token(key=ED25519))


def test_the_encryption_key_is_skipped_and_spoils_nothing() -> None:
    assert [key.kid for key in KEYCLOAK.keys.keys] == [KEY.kid, ED25519.kid]
    assert KEYCLOAK.keys.skipped == ("member 1: use is enc, not sig",)
    assert KEYCLOAK.refused(KEYCLOAK.token(key=ENCRYPTION))[0] is Reason.UNKNOWN_KEY


def test_a_realm_role_can_be_demanded() -> None:
    KEYCLOAK.allowed(KEYCLOAK.token(), tool="delete_note")
    reader = KEYCLOAK.token(realm_access={"roles": ["offline_access"]})
    assert KEYCLOAK.refused(reader, tool="delete_note")[0] is Reason.DENIED_BY_RULE


def test_an_id_token_is_refused_even_if_it_is_for_this_audience() -> None:
    own = KEYCLOAK.token(aud="mcp-inspector", typ="ID", at_hash="x", scope=ABSENT)
    assert KEYCLOAK.refused(own)[0] is Reason.WRONG_AUDIENCE
    reason, told = KEYCLOAK.refused(KEYCLOAK.token(typ="ID"))
    assert reason is Reason.MISSING_CLAIM
    assert "it looks like an ID token" in told
    assert "final slash" not in told


def test_a_refresh_token_is_refused() -> None:
    token = KEYCLOAK.token(typ="Refresh", aud=ISSUER, header={"alg": "HS512"})
    assert KEYCLOAK.refused(token)[0] is Reason.UNSUPPORTED_ALGORITHM


def test_a_token_of_another_realm_is_refused() -> None:
    reason, told = KEYCLOAK.refused(KEYCLOAK.token(iss="https://sso.example.com/realms/master"))
    assert reason is Reason.UNKNOWN_ISSUER
    assert "the host is right, the issuer is not" in told


def test_the_page_shows_a_token_without_the_audience_mapper() -> None:
    assert KEYCLOAK.on_page(KEYCLOAK.token(aud="account")) is Reason.WRONG_AUDIENCE
    assert KEYCLOAK.refused(KEYCLOAK.token(aud=ABSENT))[0] is Reason.MISSING_CLAIM


def test_the_page_shows_a_token_asked_for_under_another_host_name() -> None:
    inside = KEYCLOAK.token(iss="http://keycloak:8080/realms/acme")
    assert KEYCLOAK.on_page(inside) is Reason.UNKNOWN_ISSUER


def test_explain_finds_a_role_where_a_scope_is_demanded() -> None:
    wanting = KEYCLOAK.edited("scopes: [notes:read]", "scopes: [notes-editor]")
    reason, told = wanting.refused(wanting.token())
    assert reason is Reason.INSUFFICIENT_SCOPE
    assert "notes-editor is in the claim /realm_access/roles: write scope_claims: " in told

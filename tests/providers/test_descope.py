"""Descope: an issuer for each MCP server, keys of the project, an audience shared by both."""

from __future__ import annotations

from extauthz.core.model import Reason
from tests.providers.desk import Provider, jwk, renamed, signer

PROJECT = "P2abcDEFghiJKLmnoPQRstuVWxyz"
SERVER = "MS2notesDEFghiJKLmnoPQRstuVWx"
APPS = "https://api.descope.com/v1/apps"
ISSUER = f"{APPS}/agentic/{PROJECT}/{SERVER}"
JWKS = f"https://api.descope.com/{PROJECT}/.well-known/jwks.json"
KEY = renamed(signer("RS256"), "SK2abcDEFghiJKLmnoPQRstuVWxyz")

DESCOPE = Provider(
    page="descope",
    key=KEY,
    documents={
        ISSUER + "/.well-known/openid-configuration": {
            "issuer": ISSUER,
            "authorization_endpoint": ISSUER.replace(".com/v1", ".com/oauth2/v1") + "/authorize",
            "token_endpoint": ISSUER.replace(".com/v1", ".com/oauth2/v1") + "/token",
            "jwks_uri": JWKS,
            "registration_endpoint": f"https://api.descope.com/v1/mgmt/inboundapp/{PROJECT}/register",
            "code_challenge_methods_supported": ["S256"],
            "client_id_metadata_document_supported": True,
        },
        JWKS: {"keys": [jwk(KEY)]},
    },
    claims={
        "iss": ISSUER,
        "aud": ["UDJhYmNERUY6VFBB", PROJECT],
        "sub": "U2abcDEFghiJKLmnoPQRstuVWxyz",
        "azp": "UDJhYmNERUY6VFBB",
        "scope": "notes:read",
        "permissions": ["notes:read"],
        "roles": [],
        "tenants": {"T2acme": {"roles": ["editor"]}},
    },
)


def test_a_token_of_the_mcp_server_is_allowed() -> None:
    who = DESCOPE.allowed(DESCOPE.token())
    assert who["subject"] == "U2abcDEFghiJKLmnoPQRstuVWxyz"
    assert who["client-id"] == "UDJhYmNERUY6VFBB"
    assert who["scopes"] == "notes:read"


def test_a_role_within_a_tenant_can_be_demanded() -> None:
    both = "notes:read notes:write"
    DESCOPE.allowed(DESCOPE.token(scope=both), tool="delete_note")
    token = DESCOPE.token(scope=both, tenants={"T2other": {"roles": ["editor"]}})
    assert DESCOPE.refused(token, tool="delete_note")[0] is Reason.DENIED_BY_RULE


def test_scopes_are_demanded_of_every_call_and_of_the_tool() -> None:
    assert DESCOPE.refused(DESCOPE.token(scope=""))[0] is Reason.INSUFFICIENT_SCOPE
    assert DESCOPE.refused(DESCOPE.token(), tool="delete_note")[0] is Reason.INSUFFICIENT_SCOPE


def test_the_page_shows_a_token_for_another_mcp_server_of_the_project() -> None:
    sibling = DESCOPE.token(iss=f"{APPS}/agentic/{PROJECT}/MS2wikiDEFghiJKLmnoPQRstuVWxy")
    assert DESCOPE.on_page(sibling) is Reason.UNKNOWN_ISSUER


def test_the_page_shows_a_session_token() -> None:
    session = {
        "iss": PROJECT,
        "aud": [PROJECT],
        "sub": "U2abcDEFghiJKLmnoPQRstuVWxyz",
        "drn": "DS",
        "amr": ["email"],
    }
    assert DESCOPE.on_page(DESCOPE.signed(session)) is Reason.UNKNOWN_ISSUER


def test_a_session_token_of_the_project_as_an_app_is_refused() -> None:
    assert DESCOPE.refused(DESCOPE.token(iss=f"{APPS}/{PROJECT}"))[0] is Reason.UNKNOWN_ISSUER

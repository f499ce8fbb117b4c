"""WorkOS AuthKit: tokens bound to a resource, and session tokens of another issuer."""

from __future__ import annotations

from extauthz.core.model import Reason
from tests.providers.desk import ABSENT, RESOURCE, Provider, jwk, renamed, signer

ISSUER = "https://acme.authkit.app"
ENVIRONMENT = "client_01HXYZENVIRONMENT"
KEY = renamed(signer("RS256"), "sso_oidc_key_pair_01HXYZ")
METADATA = {
    "issuer": ISSUER,
    "authorization_endpoint": ISSUER + "/oauth2/authorize",
    "token_endpoint": ISSUER + "/oauth2/token",
    "jwks_uri": ISSUER + "/oauth2/jwks",
    "registration_endpoint": ISSUER + "/oauth2/register",
    "code_challenge_methods_supported": ["S256"],
    "client_id_metadata_document_supported": True,
}

WORKOS = Provider(
    page="workos",
    key=KEY,
    documents={
        ISSUER + "/.well-known/oauth-authorization-server": METADATA,
        ISSUER + "/oauth2/jwks": {"keys": [jwk(KEY, x5c=["MIIC="])]},
    },
    claims={
        "iss": ISSUER,
        "aud": RESOURCE,
        "sub": "user_01HXYZUSER",
        "client_id": "client_01HXYZAGENT",
        "org_id": "org_01HXYZORG",
        "sid": "app_consent_01HXYZ",
        "jti": "01HXYZJTI",
        "scope": "openid profile email",
    },
)


def test_a_token_for_the_resource_is_allowed() -> None:
    who = WORKOS.allowed(WORKOS.token())
    assert (who["subject"], who["client-id"]) == ("user_01HXYZUSER", "client_01HXYZAGENT")
    assert who["x-user-org"] == "org_01HXYZORG"


def test_the_oauth_metadata_is_enough() -> None:
    WORKOS.allowed(WORKOS.token())
    assert WORKOS.asked[:2] == [
        ISSUER + "/.well-known/openid-configuration",
        ISSUER + "/.well-known/oauth-authorization-server",
    ]


def test_another_organization_is_refused() -> None:
    token = WORKOS.token(org_id="org_01HXYZOTHER")
    assert WORKOS.refused(token)[0] is Reason.MISSING_CLAIM
    assert WORKOS.refused(WORKOS.token(org_id=ABSENT))[0] is Reason.MISSING_CLAIM


def test_the_page_shows_a_session_token() -> None:
    session = WORKOS.token(
        iss="https://api.workos.com/user_management/" + ENVIRONMENT,
        aud=ABSENT,
        client_id=ABSENT,
        scope=ABSENT,
        permissions=["notes:read"],
    )
    assert WORKOS.on_page(session) is Reason.UNKNOWN_ISSUER


def test_the_page_shows_a_token_without_resource_indicator() -> None:
    assert WORKOS.on_page(WORKOS.token(aud=ENVIRONMENT)) is Reason.WRONG_AUDIENCE


def test_an_environment_beside_it_is_refused() -> None:
    token = WORKOS.token(iss="https://acme-staging.authkit.app")
    assert WORKOS.refused(token)[0] is Reason.UNKNOWN_ISSUER

"""Zitadel: no scopes in the token, roles as an object, one audience for both kinds of token."""

from __future__ import annotations

from extauthz.core.model import Reason
from tests.providers.desk import ABSENT, Provider, jwk, renamed, signer

ISSUER = "https://acme-x1y2z3.us1.zitadel.cloud"
PROJECT = "270000000000000002"
CLIENT = "280000000000000003"
ORG = "260000000000000001"
OTHER_ORG = "260000000000000009"
ROLES = "urn:zitadel:iam:org:project:roles"
KEY = renamed(signer("RS256"), "290000000000000004")

ZITADEL = Provider(
    page="zitadel",
    key=KEY,
    documents={
        ISSUER + "/.well-known/openid-configuration": {
            "issuer": ISSUER,
            "authorization_endpoint": ISSUER + "/oauth/v2/authorize",
            "token_endpoint": ISSUER + "/oauth/v2/token",
            "jwks_uri": ISSUER + "/oauth/v2/keys",
            "code_challenge_methods_supported": ["S256"],
        },
        ISSUER + "/oauth/v2/keys": {"keys": [jwk(KEY)]},
    },
    claims={
        "iss": ISSUER,
        "sub": "250000000000000005",
        "aud": [CLIENT, PROJECT],
        "client_id": CLIENT,
        "jti": "V2_300000000000000006-at_1",
        ROLES: {"reader": {ORG: "acme.us1.zitadel.cloud"}},
    },
)


def with_roles(**roles: str) -> str:
    """A token of somebody who has these roles in these organizations."""
    held = {name: {org: "acme.us1.zitadel.cloud"} for name, org in roles.items()}
    return ZITADEL.signed({**ZITADEL.claims, ROLES: held})


def test_somebody_with_the_role_is_allowed() -> None:
    who = ZITADEL.allowed(ZITADEL.token())
    assert (who["subject"], who["client-id"]) == ("250000000000000005", CLIENT)
    assert "scopes" not in who


def test_a_rule_looks_below_the_role() -> None:
    assert ZITADEL.refused(ZITADEL.token(), tool="delete_note")[0] is Reason.DENIED_BY_RULE
    ZITADEL.allowed(with_roles(reader=ORG, editor=ORG), tool="delete_note")


def test_the_same_role_in_another_organization_is_refused() -> None:
    assert ZITADEL.refused(with_roles(reader=OTHER_ORG))[0] is Reason.MISSING_CLAIM
    guest = with_roles(reader=ORG, editor=OTHER_ORG)
    assert ZITADEL.refused(guest, tool="delete_note")[0] is Reason.DENIED_BY_RULE


def test_an_id_token_is_refused_for_it_brings_no_roles() -> None:
    claims = {name: value for name, value in ZITADEL.claims.items() if name not in {ROLES, "jti"}}
    reason, told = ZITADEL.refused(ZITADEL.signed(claims | {"azp": CLIENT, "at_hash": "x"}))
    assert reason is Reason.MISSING_CLAIM
    assert "it looks like an ID token" in told


def test_the_page_shows_an_opaque_token() -> None:
    opaque = "W2qfC0pQ3u1b7f6d4o9m_made-up_kS5hJ8rT"
    assert ZITADEL.on_page(opaque) is Reason.MALFORMED_TOKEN


def test_the_page_shows_a_token_for_another_project() -> None:
    token = ZITADEL.token(aud=[CLIENT, "270000000000000099"])
    assert ZITADEL.on_page(token) is Reason.WRONG_AUDIENCE


def test_explain_finds_a_role_where_a_scope_is_demanded() -> None:
    wanting = ZITADEL.edited("tools:\n", "scopes: [reader]\n    tools:\n")
    reason, told = wanting.refused(wanting.token())
    assert reason is Reason.INSUFFICIENT_SCOPE
    assert f"reader is a member of the claim {ROLES}: write a rule for /{ROLES}/reader" in told


def test_a_token_without_roles_is_refused() -> None:
    claims = {name: value for name, value in ZITADEL.claims.items() if name != ROLES}
    assert ZITADEL.refused(ZITADEL.signed(claims))[0] is Reason.MISSING_CLAIM
    assert ZITADEL.refused(ZITADEL.token(aud=ABSENT))[0] is Reason.MISSING_CLAIM

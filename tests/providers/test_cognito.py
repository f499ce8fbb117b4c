"""AWS Cognito: access tokens without audience, one with it, and two kinds told by a claim."""

from __future__ import annotations

from dataclasses import replace

from extauthz.core.model import Reason
from tests.providers.desk import ABSENT, RESOURCE, Provider, jwk, renamed, signer

POOL = "eu-central-1_AbCdEf123"
ISSUER = f"https://cognito-idp.eu-central-1.amazonaws.com/{POOL}"
DOMAIN = "https://acme.auth.eu-central-1.amazoncognito.com"
CLIENT = "1example23456789abcdefghij"
FOR_IDS = renamed(signer("RS256", "ids"), "0ids/R9uN3pV0m1c=")
FOR_ACCESS = renamed(signer("RS256"), "1acc/wxKfQ2v1m1c=")

COGNITO = Provider(
    page="cognito",
    key=FOR_ACCESS,
    documents={
        ISSUER + "/.well-known/openid-configuration": {
            "issuer": ISSUER,
            "authorization_endpoint": DOMAIN + "/oauth2/authorize",
            "token_endpoint": DOMAIN + "/oauth2/token",
            "jwks_uri": ISSUER + "/.well-known/jwks.json",
            "id_token_signing_alg_values_supported": ["RS256"],
        },
        ISSUER + "/.well-known/jwks.json": {"keys": [jwk(FOR_IDS), jwk(FOR_ACCESS)]},
    },
    header={"typ": ABSENT},
    claims={
        "sub": "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
        "cognito:groups": ["editors"],
        "iss": ISSUER,
        "version": 2,
        "client_id": CLIENT,
        "origin_jti": "o1",
        "token_use": "access",
        "scope": f"openid {RESOURCE}/read",
        "auth_time": 1_799_999_000,
        "jti": "j1",
        "username": "zoe",
    },
)
BOUND = replace(COGNITO, config=1, claims={**COGNITO.claims, "aud": RESOURCE})


def id_token(**changes: object) -> str:
    claims = {
        "sub": COGNITO.claims["sub"],
        "iss": ISSUER,
        "aud": CLIENT,
        "cognito:username": "zoe",
        "token_use": "id",
        "at_hash": "x",
        "email": "zoe@example.com",
    }
    return COGNITO.signed(claims | changes, key=FOR_IDS, header={"typ": ABSENT})


def test_an_access_token_is_allowed_by_its_client() -> None:
    who = COGNITO.allowed(COGNITO.token())
    assert who["subject"] == "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
    assert who["client-id"] == CLIENT
    assert "audience" not in who
    assert who["scopes"] == f"openid {RESOURCE}/read"
    assert who["x-user-name"] == "zoe"


def test_a_group_can_be_demanded_though_its_claim_has_a_colon() -> None:
    both = f"{RESOURCE}/read {RESOURCE}/write"
    COGNITO.allowed(COGNITO.token(scope=both), tool="delete_note")
    token = COGNITO.signed({**COGNITO.claims, "scope": both, "cognito:groups": ["readers"]})
    assert COGNITO.refused(token, tool="delete_note")[0] is Reason.DENIED_BY_RULE


def test_scopes_are_demanded_of_every_call_and_of_the_tool() -> None:
    assert COGNITO.refused(COGNITO.token(scope="openid"))[0] is Reason.INSUFFICIENT_SCOPE
    assert COGNITO.refused(COGNITO.token(), tool="delete_note")[0] is Reason.INSUFFICIENT_SCOPE
    assert BOUND.refused(BOUND.token(scope="openid"))[0] is Reason.INSUFFICIENT_SCOPE


def test_a_token_of_another_client_of_the_pool_is_refused() -> None:
    token = COGNITO.token(client_id="2another98765432zyxwvutsrq")
    assert COGNITO.refused(token)[0] is Reason.WRONG_AUDIENCE


def test_a_token_of_another_pool_is_refused() -> None:
    other = ISSUER.replace(POOL, "eu-central-1_Other9999")
    assert COGNITO.refused(COGNITO.token(iss=other))[0] is Reason.UNKNOWN_ISSUER


def test_the_page_shows_an_id_token() -> None:
    assert COGNITO.on_page(id_token()) is Reason.MISSING_CLAIM


def test_an_id_token_that_says_it_has_a_client_is_refused_by_its_use() -> None:
    reason, told = COGNITO.refused(id_token(client_id=CLIENT))
    assert reason is Reason.MISSING_CLAIM
    assert "FAIL required claim token_use" in told


def test_the_page_shows_a_scope_without_its_resource_server() -> None:
    short = COGNITO.edited('scopes: ["https://mcp.example.com/notes/mcp/read"]', "scopes: [read]")
    assert short.on_page(short.token()) is Reason.INSUFFICIENT_SCOPE


def test_a_token_bound_to_the_resource_is_allowed_whatever_its_client() -> None:
    who = BOUND.allowed(BOUND.token(client_id="2another98765432zyxwvutsrq"))
    assert who["audience"] == RESOURCE


def test_where_binding_is_demanded_an_unbound_token_and_an_id_token_are_refused() -> None:
    assert BOUND.refused(BOUND.token(aud=ABSENT))[0] is Reason.MISSING_CLAIM
    assert BOUND.refused(id_token())[0] is Reason.WRONG_AUDIENCE
    assert BOUND.refused(id_token(aud=RESOURCE))[0] is Reason.MISSING_CLAIM

"""PingOne and PingFederate: one about to change `typ`, the other configured claim by claim."""

from __future__ import annotations

import pytest

from extauthz.core.model import Reason
from tests.providers.desk import ABSENT, RESOURCE, Provider, jwk, renamed, signer

ENVIRONMENT = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
PINGONE_ISSUER = f"https://auth.pingone.eu/{ENVIRONMENT}/as"
PINGONE_KEY = renamed(signer("RS256"), "1ba8a2f0-0d4a-11ef-9f47-0242ac120002")

PINGONE = Provider(
    page="pingone",
    key=PINGONE_KEY,
    documents={
        PINGONE_ISSUER + "/.well-known/openid-configuration": {
            "issuer": PINGONE_ISSUER,
            "authorization_endpoint": PINGONE_ISSUER + "/authorize",
            "token_endpoint": PINGONE_ISSUER + "/token",
            "jwks_uri": PINGONE_ISSUER + "/jwks",
            "code_challenge_methods_supported": ["plain", "S256"],
        },
        PINGONE_ISSUER + "/jwks": {"keys": [jwk(PINGONE_KEY, alg=ABSENT, x5t="x")]},
    },
    header={"typ": ABSENT},
    claims={
        "client_id": "b7c1f0de-client",
        "iss": PINGONE_ISSUER,
        "jti": "6c2f7a2e",
        "aud": [RESOURCE],
        "scope": "notes:read",
        "sub": "9d3b1c52-user",
        "sid": "5d4c",
        "acr": "Single_Factor",
        "env": ENVIRONMENT,
        "org": "0a1b2c3d-org",
    },
)

FEDERATE_ISSUER = "https://sso.example.com"
FEDERATE_KEY = renamed(signer("ES256"), "notes-es256")

FEDERATE = Provider(
    page="pingfederate",
    key=FEDERATE_KEY,
    documents={
        FEDERATE_ISSUER + "/.well-known/openid-configuration": {
            "issuer": FEDERATE_ISSUER,
            "authorization_endpoint": FEDERATE_ISSUER + "/as/authorization.oauth2",
            "token_endpoint": FEDERATE_ISSUER + "/as/token.oauth2",
            "jwks_uri": FEDERATE_ISSUER + "/pf/JWKS",
            "registration_endpoint": FEDERATE_ISSUER + "/as/clients.oauth2",
        },
        FEDERATE_ISSUER + "/pf/JWKS": {
            "keys": [
                {"kty": "RSA", "kid": "old", "use": "sig", "n": "AQAB", "e": "AQAB"},
                jwk(FEDERATE_KEY, alg=ABSENT),
            ]
        },
    },
    header={"typ": "at+jwt"},
    claims={
        "scope": ["openid", "notes:read"],
        "client_id": "mcp-inspector",
        "iss": FEDERATE_ISSUER,
        "aud": RESOURCE,
        "sub": "zoe",
        "jti": "kq3",
    },
)


@pytest.mark.parametrize("typ", [ABSENT, "JWT", "at+jwt"])
def test_pingone_is_allowed_before_and_after_march_2027(typ: object) -> None:
    who = PINGONE.allowed(PINGONE.token(header={"typ": typ}))
    assert (who["subject"], who["client-id"]) == ("9d3b1c52-user", "b7c1f0de-client")
    assert who["scopes"] == "notes:read"


def test_scopes_of_pingone_are_demanded_of_every_call_and_of_the_tool() -> None:
    assert PINGONE.refused(PINGONE.token(scope=ABSENT))[0] is Reason.INSUFFICIENT_SCOPE
    assert PINGONE.refused(PINGONE.token(), tool="delete_note")[0] is Reason.INSUFFICIENT_SCOPE
    PINGONE.allowed(PINGONE.token(scope="notes:read notes:write"), tool="delete_note")


def test_the_page_shows_a_pingone_token_for_its_own_api() -> None:
    token = PINGONE.token(aud=["https://api.pingone.eu"], scope="p1:read:user")
    assert PINGONE.on_page(token) is Reason.WRONG_AUDIENCE


def test_the_page_shows_a_pingone_token_of_another_environment() -> None:
    sibling = PINGONE_ISSUER.replace(ENVIRONMENT, "99999999-5717-4562-b3fc-2c963f66afa6")
    assert PINGONE.on_page(PINGONE.token(iss=sibling)) is Reason.UNKNOWN_ISSUER


def test_an_id_token_of_pingone_is_refused() -> None:
    token = PINGONE.token(aud="b7c1f0de-client", scope=ABSENT, nonce="n", at_hash="x")
    assert PINGONE.refused(token)[0] is Reason.WRONG_AUDIENCE


def test_pingfederate_is_allowed_with_scopes_as_a_list() -> None:
    who = FEDERATE.allowed(FEDERATE.token())
    assert (who["subject"], who["client-id"]) == ("zoe", "mcp-inspector")
    assert who["scopes"] == "openid notes:read"


def test_pingfederate_is_allowed_with_scopes_as_a_text() -> None:
    assert FEDERATE.allowed(FEDERATE.token(scope="openid notes:read"))["scopes"]


def test_a_scope_of_pingfederate_is_demanded() -> None:
    assert FEDERATE.refused(FEDERATE.token(scope=["openid"]))[0] is Reason.INSUFFICIENT_SCOPE


def test_a_short_key_of_pingfederate_is_skipped_and_spoils_nothing() -> None:
    assert [key.kid for key in FEDERATE.keys.keys] == ["notes-es256"]
    assert "RSA of" in FEDERATE.keys.skipped[0]


def test_the_page_shows_a_reference_token() -> None:
    assert FEDERATE.on_page("0001c0nN3cTrEf3r3nC3") is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize("claim", ["iss", "aud", "exp"])
def test_what_the_token_manager_leaves_out_is_missed(claim: str) -> None:
    claims = {name: value for name, value in FEDERATE.claims.items() if name != claim}
    token = FEDERATE.signed(claims | ({"exp": None} if claim == "exp" else {}))
    assert FEDERATE.refused(token)[0] is Reason.MISSING_CLAIM


def test_the_page_shows_a_token_manager_without_issuer() -> None:
    claims = {name: value for name, value in FEDERATE.claims.items() if name != "iss"}
    assert FEDERATE.on_page(FEDERATE.signed(claims)) is Reason.MISSING_CLAIM

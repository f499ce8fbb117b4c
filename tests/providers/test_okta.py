"""Okta: scopes are an array, the client is `cid`, and the org's own tokens are not for us."""

from __future__ import annotations

from extauthz.core.model import Reason
from tests.providers.desk import ABSENT, RESOURCE, Provider, jwk, renamed, signer

ORG = "https://acme.okta.com"
ISSUER = ORG + "/oauth2/aus7notes4x7"
KEY = renamed(signer("RS256"), "U5R8cHbGw445Qbq8zVO1PcCpXL8yG6IcovVa3laCoxM")

OKTA = Provider(
    page="okta",
    key=KEY,
    documents={
        ISSUER + "/.well-known/openid-configuration": {
            "issuer": ISSUER,
            "authorization_endpoint": ISSUER + "/v1/authorize",
            "token_endpoint": ISSUER + "/v1/token",
            "jwks_uri": ISSUER + "/v1/keys",
            "registration_endpoint": ORG + "/oauth2/v1/clients",
            "code_challenge_methods_supported": ["S256"],
        },
        ISSUER + "/v1/keys": {"keys": [jwk(KEY)]},
    },
    header={"typ": ABSENT},
    claims={
        "ver": 1,
        "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
        "iss": ISSUER,
        "aud": RESOURCE,
        "sub": "zoe@example.com",
        "cid": "0oa7client4x7",
        "uid": "00u7user4x7",
        "scp": ["openid", "notes.read"],
        "groups": ["Everyone", "editors"],
    },
)


def test_a_token_is_allowed_with_its_scopes_from_the_array() -> None:
    who = OKTA.allowed(OKTA.token())
    assert who["subject"] == "zoe@example.com"
    assert who["client-id"] == "0oa7client4x7"
    assert who["scopes"] == "openid notes.read"


def test_a_group_can_be_demanded_beside_the_scope() -> None:
    both = ["notes.read", "notes.write"]
    OKTA.allowed(OKTA.token(scp=both), tool="delete_note")
    outsider = OKTA.token(scp=both, groups=["Everyone"])
    assert OKTA.refused(outsider, tool="delete_note")[0] is Reason.DENIED_BY_RULE


def test_scopes_are_demanded_of_every_call_and_of_the_tool() -> None:
    assert OKTA.refused(OKTA.token(scp=["openid"]))[0] is Reason.INSUFFICIENT_SCOPE
    assert OKTA.refused(OKTA.token(), tool="delete_note")[0] is Reason.INSUFFICIENT_SCOPE


def test_an_id_token_is_refused() -> None:
    token = OKTA.token(aud="0oa7client4x7", cid=ABSENT, scp=ABSENT, at_hash="6vIW", ver=1)
    reason, told = OKTA.refused(token)
    assert reason is Reason.WRONG_AUDIENCE
    assert "it looks like an ID token" in told


def test_a_token_of_another_authorization_server_of_the_org_is_refused() -> None:
    assert OKTA.refused(OKTA.token(iss=ORG + "/oauth2/default"))[0] is Reason.UNKNOWN_ISSUER


def test_the_page_shows_a_token_of_the_org_server() -> None:
    assert OKTA.on_page(OKTA.token(iss=ORG, aud=ORG)) is Reason.UNKNOWN_ISSUER


def test_the_page_shows_a_server_with_another_audience() -> None:
    assert OKTA.on_page(OKTA.token(aud="api://default")) is Reason.WRONG_AUDIENCE


def test_explain_finds_an_audience_that_differs_by_its_scheme() -> None:
    _, told = OKTA.refused(OKTA.token(aud="api://mcp.example.com/notes/mcp"))
    assert f"differs from {RESOURCE} only by api://" in told

"""Entra ID: versions 1 and 2, tenants, keys without `alg` and with an `issuer` of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from extauthz.core.model import Reason
from tests.providers.desk import ABSENT, NOW, Provider, jwk, renamed, signer

LOGIN = "https://login.microsoftonline.com"
TENANT = "11111111-aaaa-4aaa-8aaa-111111111111"
PARTNER = "22222222-bbbb-4bbb-8bbb-222222222222"
STRANGER = "33333333-cccc-4ccc-8ccc-333333333333"
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
API = "44444444-dddd-4ddd-8ddd-444444444444"
CLIENT = "55555555-eeee-4eee-8eee-555555555555"
TEMPLATE = LOGIN + "/{tenantid}/v2.0"
V1 = f"https://sts.windows.net/{TENANT}/"
V2 = f"{LOGIN}/{TENANT}/v2.0"

KEY = renamed(signer("RS256"), "H9nj5AOSswMphg1SFx7jaV-lB9w")
CONSUMER_KEY = signer("RS256", "consumers")
WRITE = "https://mcp.example.com/notes/mcp/Notes.Write"


def published(issuer: str) -> dict[str, object]:
    """A key as Entra publishes it: no `alg`, certificates, an `issuer`."""
    certificates = {"x5t": KEY.kid, "x5c": ["MIIC/TCCAeWgAwIBAgI="]}
    return jwk(KEY, alg=ABSENT, **certificates, issuer=issuer)


def metadata(issuer: str, tenant: str, keys: str) -> dict[str, object]:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{LOGIN}/{tenant}/oauth2/v2.0/authorize",
        "token_endpoint": f"{LOGIN}/{tenant}/oauth2/v2.0/token",
        "jwks_uri": keys,
        "cloud_instance_name": "microsoftonline.com",
    }


ENTRA = Provider(
    page="entra",
    key=KEY,
    documents={
        V2 + "/.well-known/openid-configuration": metadata(
            V2, TENANT, f"{LOGIN}/{TENANT}/discovery/v2.0/keys"
        ),
        f"{LOGIN}/{TENANT}/discovery/v2.0/keys": {"keys": [published(V2)]},
    },
    claims={
        "aud": API,
        "iss": V2,
        "nbf": int(NOW) - 10,
        "azp": CLIENT,
        "azpacr": "0",
        "name": "Zoe",
        "oid": "66666666-ffff-4fff-8fff-666666666666",
        "rh": "0.AbcA",
        "scp": "Notes.Read",
        "sub": "pairwise-7yHk",
        "tid": TENANT,
        "uti": "fkY",
        "ver": "2.0",
    },
)

ENTRA_V1 = replace(
    ENTRA,
    config=1,
    documents={
        V1 + ".well-known/openid-configuration": metadata(
            V1, TENANT, f"{LOGIN}/common/discovery/keys"
        ),
        f"{LOGIN}/common/discovery/keys": {
            "keys": [published("https://sts.windows.net/{tenantid}/")]
        },
    },
    header={"x5t": KEY.kid},
    claims={
        "aud": f"api://{API}",
        "iss": V1,
        "nbf": int(NOW) - 10,
        "appid": CLIENT,
        "appidacr": "0",
        "scp": "Notes.Read",
        "sub": "pairwise-7yHk",
        "tid": TENANT,
        "unique_name": "zoe@example.com",
        "upn": "zoe@example.com",
        "ver": "1.0",
    },
)

TENANTS = replace(
    ENTRA,
    config=2,
    documents={
        f"{LOGIN}/common/v2.0/.well-known/openid-configuration": metadata(
            TEMPLATE, "common", f"{LOGIN}/common/discovery/v2.0/keys"
        ),
        f"{LOGIN}/common/discovery/v2.0/keys": {
            "keys": [
                published(TEMPLATE),
                jwk(CONSUMER_KEY, alg=ABSENT, issuer=f"{LOGIN}/{CONSUMERS}/v2.0"),
            ]
        },
    },
)


def of(tenant: str) -> dict[str, Any]:
    """The claims that differ in a token of another tenant."""
    return {"iss": f"{LOGIN}/{tenant}/v2.0", "tid": tenant}


def test_a_token_of_a_user_is_allowed() -> None:
    who = ENTRA.allowed(ENTRA.token())
    assert (who["subject"], who["client-id"], who["scopes"]) == (
        "pairwise-7yHk",
        CLIENT,
        "Notes.Read",
    )
    assert who["x-user-id"] == "66666666-ffff-4fff-8fff-666666666666"


def test_a_token_of_a_program_brings_its_roles() -> None:
    token = ENTRA.token(scp=ABSENT, roles=["Notes.Read.All"], idtyp="app")
    assert ENTRA.allowed(token)["scopes"] == "Notes.Read.All"


@pytest.mark.parametrize("configured", ["version 2", "version 1", "several tenants"])
def test_a_program_without_a_role_is_refused(configured: str) -> None:
    entra = {"version 2": ENTRA, "version 1": ENTRA_V1, "several tenants": TENANTS}[configured]
    entra.allowed(entra.token())
    assert entra.refused(entra.token(scp=ABSENT, idtyp="app"))[0] is Reason.INSUFFICIENT_SCOPE
    entra.allowed(entra.token(scp=ABSENT, idtyp="app", roles=["Notes.Read.All"]))


def test_clients_ask_for_scopes_by_their_full_names_and_tokens_bring_short_ones() -> None:
    told = ENTRA.metadata()["scopes_supported"]
    assert told == ["https://mcp.example.com/notes/mcp/Notes.Read", WRITE]
    assert 'scope="https://mcp.example.com/notes/mcp/Notes.Read"' in ENTRA.challenge()
    assert ENTRA.refused(ENTRA.token(), tool="delete_note")[0] is Reason.INSUFFICIENT_SCOPE
    ENTRA.allowed(ENTRA.token(scp="Notes.Read Notes.Write"), tool="delete_note")


def test_a_key_without_alg_is_for_every_algorithm_of_its_type() -> None:
    (key,) = ENTRA.keys.keys
    assert key.algorithms == {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
    assert key.issuer == V2


def test_an_id_token_is_refused() -> None:
    reason, told = ENTRA.refused(ENTRA.token(aud=CLIENT, azp=ABSENT, scp=ABSENT, nonce="n"))
    assert reason is Reason.WRONG_AUDIENCE
    assert "it looks like an ID token" in told


def test_a_guest_tenant_that_signs_with_the_same_keys_is_refused() -> None:
    assert ENTRA.refused(ENTRA.token(**of(STRANGER)))[0] is Reason.UNKNOWN_ISSUER


def test_a_token_that_says_another_tenant_than_its_issuer_is_refused() -> None:
    assert ENTRA.refused(ENTRA.token(tid=STRANGER))[0] is Reason.MISSING_CLAIM


def test_the_page_shows_a_token_for_microsoft_graph() -> None:
    token = ENTRA.token(header={"nonce": "hashed"}, aud="00000003-0000-0000-c000-000000000000")
    assert ENTRA.on_page(token) is Reason.WRONG_AUDIENCE


def test_the_page_shows_a_token_of_version_1() -> None:
    assert ENTRA.on_page(ENTRA_V1.token()) is Reason.UNKNOWN_ISSUER


def test_version_1_is_allowed_with_its_own_issuer_and_the_client_from_appid() -> None:
    who = ENTRA_V1.allowed(ENTRA_V1.token())
    assert (who["issuer"], who["client-id"]) == (V1, CLIENT)


def test_version_1_that_says_another_tenant_or_version_is_refused() -> None:
    assert ENTRA_V1.refused(ENTRA_V1.token(tid=STRANGER))[0] is Reason.MISSING_CLAIM
    assert ENTRA_V1.refused(ENTRA_V1.token(ver="2.0"))[0] is Reason.MISSING_CLAIM


def test_version_1_sends_clients_to_the_address_of_version_2() -> None:
    assert ENTRA_V1.metadata()["authorization_servers"] == [V2]


def test_the_page_shows_the_audience_without_its_scheme() -> None:
    assert ENTRA_V1.on_page(ENTRA_V1.token(aud=API)) is Reason.WRONG_AUDIENCE


def test_version_2_where_version_1_is_configured_is_named() -> None:
    reason, told = ENTRA_V1.refused(ENTRA.token())
    assert reason is Reason.UNKNOWN_ISSUER
    assert "a v2.0 token of the same Entra tenant, but v1.0 is configured" in told


@pytest.mark.parametrize("tenant", [TENANT, PARTNER])
def test_listed_tenants_are_allowed(tenant: str) -> None:
    who = TENANTS.allowed(TENANTS.token(**of(tenant)))
    assert who["issuer"] == f"{LOGIN}/{tenant}/v2.0"


def test_the_metadata_of_all_tenants_is_taken_though_its_issuer_is_a_template() -> None:
    TENANTS.allowed(TENANTS.token())
    assert f"{LOGIN}/common/v2.0/.well-known/openid-configuration" in TENANTS.asked
    assert TENANTS.metadata()["authorization_servers"] == [f"{LOGIN}/organizations/v2.0"]


def test_the_page_shows_a_tenant_that_is_not_listed() -> None:
    assert TENANTS.on_page(TENANTS.token(**of(STRANGER))) is Reason.UNKNOWN_ISSUER


def test_one_tenant_cannot_pass_for_another() -> None:
    lying = TENANTS.token(iss=f"{LOGIN}/{PARTNER}/v2.0", tid=TENANT)
    assert TENANTS.refused(lying)[0] is Reason.UNKNOWN_ISSUER


def test_the_key_of_personal_accounts_signs_for_no_tenant() -> None:
    forged = TENANTS.token(key=CONSUMER_KEY, **of(TENANT))
    reason, _ = TENANTS.refused(forged)
    assert reason is Reason.UNKNOWN_KEY


def test_personal_accounts_are_refused_where_their_tenant_is_not_listed() -> None:
    token = TENANTS.token(key=CONSUMER_KEY, **of(CONSUMERS))
    assert TENANTS.refused(token)[0] is Reason.UNKNOWN_ISSUER


def test_version_1_of_a_listed_tenant_is_named() -> None:
    reason, told = TENANTS.refused(ENTRA_V1.token())
    assert reason is Reason.UNKNOWN_ISSUER
    assert "a v1.0 token of the same Entra tenant, but v2.0 is configured" in told


def test_groups_that_did_not_fit_grant_nothing() -> None:
    """Beyond 200 groups the token only says where they can be asked for."""
    member = ENTRA.token(groups=["77777777-9999-4999-8999-777777777777"])
    ENTRA.allowed(member, tool="purge_notes")
    overage = ENTRA.token(
        _claim_names={"groups": "src1"},
        _claim_sources={"src1": {"endpoint": "https://graph.microsoft.com/v1.0/me"}},
    )
    assert ENTRA.on_page(overage, tool="purge_notes") is Reason.DENIED_BY_RULE
    assert "groups is not in the token" not in ENTRA.refused(ENTRA.token(), tool="purge_notes")[1]


def test_explain_finds_a_short_scope_where_the_long_one_is_demanded() -> None:
    bare = ENTRA.edited("Notes.Read: [", "Notes.Other: [")
    reason, told = bare.refused(bare.token())
    assert reason is Reason.INSUFFICIENT_SCOPE
    long = "https://mcp.example.com/notes/mcp/Notes.Read"
    assert f"add scope_implies: {{Notes.Read: [{long}]}}" in told

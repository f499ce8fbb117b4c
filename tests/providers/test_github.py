"""GitHub Actions: everyone's workflows have the same issuer, and choose their audience."""

from __future__ import annotations

import pytest

from extauthz.core.model import Reason
from tests.providers.desk import NOW, RESOURCE, Provider, jwk, renamed, signer

ISSUER = "https://token.actions.githubusercontent.com"
KEY = renamed(signer("RS256"), "38826B17-6A30-5F9B-B169-8BEB8202F723")

GITHUB = Provider(
    page="github-actions",
    key=KEY,
    documents={
        ISSUER + "/.well-known/openid-configuration": {
            "issuer": ISSUER,
            "jwks_uri": ISSUER + "/.well-known/jwks",
            "subject_types_supported": ["public", "pairwise"],
            "response_types_supported": ["id_token"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
        },
        ISSUER + "/.well-known/jwks": {"keys": [jwk(KEY, x5t="OIJrF2owX5uxaYvrggL3Iw")]},
    },
    header={"x5t": "OIJrF2owX5uxaYvrggL3Iw"},
    claims={
        "jti": "00000000-0000-4000-8000-000000000001",
        "sub": "repo:acme/notes:ref:refs/heads/main",
        "aud": RESOURCE,
        "ref": "refs/heads/main",
        "sha": "0a1b2c",
        "repository": "acme/notes",
        "repository_id": "123456",
        "repository_owner": "acme",
        "repository_owner_id": "9876",
        "run_id": "42",
        "actor": "zoe",
        "event_name": "push",
        "job_workflow_ref": "acme/notes/.github/workflows/agent.yml@refs/heads/main",
        "iss": ISSUER,
        "nbf": int(NOW) - 310,
    },
)


def test_a_workflow_of_the_repository_is_allowed() -> None:
    who = GITHUB.allowed(GITHUB.token())
    assert who["subject"] == "repo:acme/notes:ref:refs/heads/main"
    assert who["x-repository"] == "acme/notes"
    assert "client-id" not in who


def test_a_branch_can_be_demanded() -> None:
    GITHUB.allowed(GITHUB.token(), tool="delete_note")
    branch = GITHUB.token(ref="refs/heads/try", sub="repo:acme/notes:ref:refs/heads/try")
    assert GITHUB.refused(branch, tool="delete_note")[0] is Reason.DENIED_BY_RULE


@pytest.mark.parametrize(
    "changes",
    [
        {"repository": "acme/other"},
        {"repository": "evil/notes", "repository_owner_id": "666"},
        # The name was given up and somebody else has taken it.
        {"repository_owner_id": "666"},
    ],
)
def test_workflows_of_other_repositories_are_refused(changes: dict[str, str]) -> None:
    token = GITHUB.signed({**GITHUB.claims, **changes})
    assert GITHUB.refused(token)[0] is Reason.MISSING_CLAIM


def test_the_page_shows_the_audience_that_comes_by_default() -> None:
    assert GITHUB.on_page(GITHUB.token(aud="https://github.com/acme")) is Reason.WRONG_AUDIENCE


def test_the_page_shows_a_workflow_of_somebody_else() -> None:
    token = GITHUB.token(repository="evil/notes", repository_owner_id="666")
    assert GITHUB.on_page(token) is Reason.MISSING_CLAIM


def test_an_enterprise_with_an_issuer_of_its_own_is_another_issuer() -> None:
    reason, told = GITHUB.refused(GITHUB.token(iss=ISSUER + "/acme-enterprise"))
    assert reason is Reason.UNKNOWN_ISSUER
    assert "the host is right, the issuer is not" in told

"""Kubernetes: any pod of a cluster may have a token for any audience, so that names decide."""

from __future__ import annotations

from typing import Any

import pytest

from extauthz.core.model import Reason
from tests.providers.desk import NOW, RESOURCE, Provider, jwk, renamed, signer
from tests.tokens import ABSENT

ISSUER = "https://kubernetes.default.svc.cluster.local"
MANAGED = "https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
KEY = renamed(signer("RS256"), "Zk9uX4h1lQ0nX2Jm0oYq1rJd3wU7bq8s5tVxN6aPz_c")
KEYS = {"keys": [jwk(KEY)]}


def account(namespace: str, name: str) -> dict[str, Any]:
    """The claims that name a service account."""
    return {
        "sub": f"system:serviceaccount:{namespace}:{name}",
        "kubernetes.io": {
            "namespace": namespace,
            "node": {"name": "node-1", "uid": "11111111-0000-4000-8000-000000000001"},
            "pod": {"name": f"{name}-5d4f", "uid": "11111111-0000-4000-8000-000000000002"},
            "serviceaccount": {"name": name, "uid": "11111111-0000-4000-8000-000000000003"},
            "warnafter": int(NOW) + 3607,
        },
    }


CLAIMS = {
    "aud": [RESOURCE],
    "iss": ISSUER,
    "jti": "00000000-0000-4000-8000-000000000001",
    "nbf": int(NOW) - 10,
    **account("agents", "planner"),
}
CLUSTER = Provider(
    page="kubernetes",
    key=KEY,
    documents={"https://kubernetes.default.svc/openid/v1/jwks": KEYS},
    header={"typ": ABSENT},
    claims=CLAIMS,
)
EKS = Provider(
    page="kubernetes",
    config=1,
    key=KEY,
    documents={
        MANAGED + "/.well-known/openid-configuration": {
            "issuer": MANAGED,
            "jwks_uri": MANAGED + "/keys",
            "authorization_endpoint": "urn:kubernetes:programmatic_authorization",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        },
        MANAGED + "/keys": KEYS,
    },
    header={"typ": ABSENT},
    claims=CLAIMS | {"iss": MANAGED},
)


def test_a_service_account_of_a_listed_namespace_is_allowed() -> None:
    who = CLUSTER.allowed(CLUSTER.token())
    assert who["subject"] == "system:serviceaccount:agents:planner"
    assert who["x-pod"] == "planner-5d4f"
    assert "client-id" not in who


def test_the_metadata_is_not_asked_for_where_the_keys_are_given() -> None:
    CLUSTER.allowed(CLUSTER.token())
    assert CLUSTER.asked == ["https://kubernetes.default.svc/openid/v1/jwks"]


@pytest.mark.parametrize(("name", "allowed"), [("editor", True), ("planner", False)])
def test_one_account_can_be_demanded(name: str, allowed: bool) -> None:
    token = CLUSTER.token(**account("agents", name))
    if allowed:
        CLUSTER.allowed(token, tool="delete_note")
    else:
        assert CLUSTER.refused(token, tool="delete_note")[0] is Reason.DENIED_BY_RULE


def test_the_page_shows_an_account_of_another_namespace() -> None:
    token = CLUSTER.token(**account("default", "planner"))
    assert CLUSTER.on_page(token) is Reason.DENIED_BY_RULE


def test_the_page_shows_the_token_that_every_pod_has() -> None:
    assert CLUSTER.on_page(CLUSTER.token(aud=[ISSUER])) is Reason.WRONG_AUDIENCE


def test_a_token_from_a_secret_is_refused() -> None:
    old = CLUSTER.token(iss="kubernetes/serviceaccount", aud=ABSENT, exp=ABSENT)
    assert CLUSTER.refused(old)[0] is Reason.UNKNOWN_ISSUER


def test_a_managed_cluster_is_found_by_discovery() -> None:
    EKS.allowed(EKS.token())
    assert EKS.asked[0] == MANAGED + "/.well-known/openid-configuration"
    other = EKS.token(**account("agents", "other"))
    assert EKS.refused(other)[0] is Reason.DENIED_BY_RULE


def test_a_token_of_another_cluster_is_refused() -> None:
    assert EKS.refused(CLUSTER.token())[0] is Reason.UNKNOWN_ISSUER

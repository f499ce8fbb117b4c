"""Near misses that belong to no provider in particular; those of providers are with them."""

from __future__ import annotations

from typing import Any

import pytest

from extauthz.config.yaml_source import parse_yaml
from extauthz.core.engine import Engine
from extauthz.core.explain import explain
from extauthz.core.model import Reason
from tests.policies import ISSUERS, asking, key_sets, policy_for_tests, policy_with
from tests.tokens import ABSENT, CALCULATOR, ISSUER, NOTES, NOW, mint


def hints(**claims: object) -> tuple[Reason | None, tuple[str, ...]]:
    request = asking(mint(claims))
    told = explain(Engine(policy_for_tests()), request, key_sets(), now=NOW)
    return told.reason, told.hints


@pytest.mark.parametrize(
    "odd",
    [
        {"resource": [NOTES]},
        {"resource": {"a": NOTES}},
        {"tid": "{tenantid}"},
        {"token_use": ["id"], "typ": {"ID": 1}},
        {"scp": [["notes"], {"notes": 1}, None, ""]},
        {"roles": {"a": {"b": {"c": {"d": {"e": ["notes"]}}}}}},
        {"": ["notes"], "/": ["notes"], "~": {"/": ["notes"]}},
    ],
)
@pytest.mark.parametrize(
    "wrong",
    [
        {"aud": "elsewhere"},
        {"aud": ABSENT},
        {"scope": "none"},
        {"iss": "https://[broken"},
        {"iss": "https://idp.example.com:port/"},
    ],
)
def test_odd_claims_of_a_refused_token_never_stop_the_explanation(
    odd: dict[str, object], wrong: dict[str, object]
) -> None:
    reason, _ = hints(**odd, **wrong)
    assert reason is not None


def test_a_nested_claim_is_named_as_the_configuration_would() -> None:
    reason, (told,) = hints(scope=ABSENT, access={"a/b": {"c~d": ["notes"]}})
    assert reason is Reason.INSUFFICIENT_SCOPE
    assert told == (
        "notes is in the claim /access/a~1b/c~0d: write "
        "scope_claims: [scope, scp, /access/a~1b/c~0d] for the issuer"
    )


def test_an_audience_that_is_right_is_no_near_miss() -> None:
    assert hints(aud=[NOTES, NOTES + "/"], scope="none")[1] == ()


def test_the_audience_is_no_place_for_scopes() -> None:
    assert hints(aud=[NOTES, "notes"], scope="none")[1] == ()


def test_a_token_for_another_server_is_said_to_be_so_and_gets_no_advice_to_take_it() -> None:
    assert hints(aud=[CALCULATOR])[1] == (
        "it is for the server calculator: the client must ask for a token for this one",
    )
    origin = NOTES.removesuffix("/notes/mcp")
    reason, (told,) = hints(aud=[origin])
    assert reason is Reason.WRONG_AUDIENCE
    assert "if it means this server alone, write audiences: " in told


def test_less_than_five_minutes_may_be_a_clock() -> None:
    assert hints(exp=NOW - 299)[1] == ("it expired 299 s ago: clocks may differ; see leeway",)
    assert hints(exp=NOW - 300) == (Reason.TOKEN_EXPIRED, ())
    for name in ("nbf", "iat"):
        told = f"{name} is 299 s ahead: clocks may differ; see leeway"
        assert hints(**{name: NOW + 299})[1] == (told,)
        assert hints(**{name: NOW + 300}) == (Reason.TOKEN_NOT_YET_VALID, ())


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"iss": ISSUER.upper()}, "iss differs only in upper and lower case: write issuer: "),
        ({"aud": NOTES.upper()}, f"the token's audience differs from {NOTES} only by upper and"),
        (
            {"aud": "x", "azp": NOTES},
            "the expected audience is in the claim azp: set audience_claim:",
        ),
        ({"scope": "Notes"}, "Notes differs from notes only in upper and lower case"),
    ],
)
def test_what_differs_little_is_said(claims: dict[str, object], told: str) -> None:
    assert any(hint.startswith(told) for hint in hints(**claims)[1])


@pytest.mark.parametrize("named", [[], [NOTES], [NOTES, "api"]])
def test_audiences_written_as_the_hint_says_take_the_token_and_those_taken_before(
    named: list[str],
) -> None:
    def told(audiences: list[str], audience: str) -> tuple[Reason | None, tuple[str, ...]]:
        engine = Engine(policy_with("notes", audiences=audiences))
        found = explain(engine, asking(mint({"aud": audience})), key_sets(), now=NOW)
        return found.reason, found.hints

    reason, (hint,) = told(named, NOTES + "/")
    assert reason is Reason.WRONG_AUDIENCE
    written = hint.rpartition("audiences: [")[2].rstrip("]").split(", ")
    assert [told(written, one)[0] for one in (NOTES, NOTES + "/")] == [None, None]


@pytest.mark.parametrize(
    "name", ["permissions", "/realm_access/roles", "https://example.com/roles", "a, b", "#", "é"]
)
def test_scope_claims_written_as_the_hint_says_take_the_token_and_those_taken_before(
    name: str,
) -> None:
    claims: dict[str, object] = {"scope": ABSENT, name: ["notes"]}
    if name.startswith("/"):
        claims = {"scope": ABSENT, "realm_access": {"roles": ["notes"]}}
    assert written_as_told(claims, "scope_claims") == [None, None]


@pytest.mark.parametrize("typ", ["access+jwt", "application/vnd.example.token+jwt", "123"])
def test_token_types_written_as_the_hint_says_take_the_token_and_those_taken_before(
    typ: str,
) -> None:
    assert written_as_told({}, "token_types", {"typ": typ}) == [None, None]


def written_as_told(
    claims: dict[str, object], member: str, header: dict[str, object] | None = None
) -> list[Reason | None]:
    """What becomes of the token, and of a usual one, once the issuer is as the hint has it."""
    tokens = mint(claims, header=header), mint()

    def told(token: str, **issuer: object) -> tuple[Reason | None, tuple[str, ...]]:
        corp, *others = ISSUERS
        engine = Engine(policy_for_tests(issuers=[{**corp, **issuer}, *others]))
        found = explain(engine, asking(token), key_sets(), now=NOW)
        return found.reason, found.hints

    reason, (hint,) = told(tokens[0])
    assert reason is not None
    start, end = hint.index(f"{member}: ["), hint.rindex("]")
    root = parse_yaml(hint[start : end + 1].encode(), "hint").root
    written: Any = root and root.plain()
    return [told(token, **written)[0] for token in tokens]

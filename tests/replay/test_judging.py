"""One request, one change of the file, one verdict: what can be told, and what cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from extauthz.core.engine import Engine
from extauthz.core.model import Reason, Request
from extauthz.core.policy import Policy
from extauthz.replay.caller import Caller, Readers
from extauthz.replay.judge import Change, Judge, Kept
from extauthz.replay.stand_in import NOW, StandIn
from tests.policies import (
    ENTRA_ISSUER,
    ISSUERS,
    MODERN,
    ORIGIN,
    SERVERS,
    TENANT,
    asking,
    key_sets,
    policy_for_tests,
    policy_with,
)
from tests.replay.logs import log_of, record_of, replayed
from tests.tokens import ABSENT, CALCULATOR, ISSUER, NOTES, mint, signer

OLD = policy_for_tests()
AT_CALCULATOR = "/calculator/mcp"
AUDITED = "https://mcp.example.com/audited/mcp"
BOTH = {"aud": [NOTES, CALCULATOR], "scope": "notes calculator calculator.add"}


def calling(tool: str, token: str | None = None, **more: Any) -> Request:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}}
    body = json.dumps(message).encode()
    return asking(token or mint(BOTH), target=AT_CALCULATOR, body=body, **more)


def told(method: str, name: str | None = None) -> dict[str, object]:
    """What Envoy's MCP filter says of a call."""
    return {"is_mcp_request": True, "method": method, "params": {"name": name, "uri": name}}


def first_issuer(**changes: Any) -> Policy:
    return policy_for_tests(issuers=[ISSUERS[0] | changes, *ISSUERS[1:]])


# Its rule reads the very claim that the scopes are read from.
OVERLAPPING = policy_for_tests(
    issuers=[ISSUERS[0] | {"scope_claims": ["scope"]}, *ISSUERS[1:]],
    servers=[
        server | {"tools": {"add": {"claims": {"scope": "a"}}}}
        if server["name"] == "audited"
        else server
        for server in SERVERS
    ],
)


CERTAIN: dict[str, tuple[Policy, Request, Policy, Change, Reason | None]] = {
    "a scope more for a tool": (
        OLD, calling("sub"), policy_with("calculator", tools={"sub": ["more"]}),
        Change.LOST, Reason.INSUFFICIENT_SCOPE,
    ),
    "a tool that is denied": (
        OLD, calling("add"), policy_with("calculator", tools={"add": "deny"}),
        Change.LOST, Reason.DENIED_BY_RULE,
    ),
    "a tool that is denied no more": (
        OLD, calling("danger_zone"), policy_with("calculator", tools={"*": "allow"}),
        Change.GAINED, None,
    ),
    "a scope that another implies": (
        policy_with("notes", scopes=["read"]), asking(mint()),
        policy_with("notes", scopes=["read"], scope_implies={"notes": ["read"]}),
        Change.GAINED, None,
    ),
    "another audience": (
        OLD, asking(mint()), policy_with("notes", audiences=["https://other.example/x"]),
        Change.LOST, Reason.WRONG_AUDIENCE,
    ),
    "an issuer less": (
        OLD, asking(mint()), policy_with("notes", issuers=["other"]),
        Change.LOST, Reason.UNKNOWN_ISSUER,
    ),
    "a path that is not matched": (
        OLD, asking(mint()), policy_with("notes", match={"paths": ["/elsewhere"]}, public_paths=[]),
        Change.LOST, Reason.NO_MATCHING_SERVER,
    ),
    "a server that the proxy names by its old name": (
        OLD, asking(mint(), server="notes"), policy_with("notes", name="papers"),
        Change.LOST, Reason.NO_MATCHING_SERVER,
    ),
    "a public path, for somebody without a token": (
        OLD, asking(None), policy_with("notes", public_paths=["/notes/mcp"]),
        Change.GAINED, None,
    ),
    "a public path, for a token that is expired": (
        OLD, asking(mint({"exp": 1})), policy_with("notes", public_paths=["/notes/mcp"]),
        Change.GAINED, None,
    ),
    "a path that is public no more": (
        OLD, asking(None, target="/notes/health"), policy_with("notes", public_paths=[]),
        Change.LOST, Reason.MISSING_TOKEN,
    ),
    "an origin that is allowed no more": (
        OLD, asking(mint(), headers={"origin": ORIGIN}), policy_with("notes", origins=[]),
        Change.LOST, Reason.BAD_ORIGIN,
    ),
    "an origin that no file can name, where any is allowed": (
        policy_with("notes", origins=["*"]), asking(mint(), headers={"origin": "x"}), OLD,
        Change.LOST, Reason.BAD_ORIGIN,
    ),
    "the end of audit mode": (
        OLD, asking(mint({"aud": AUDITED}), target="/audited/mcp"),
        policy_with("audited", mode="enforce"), Change.LOST, Reason.INSUFFICIENT_SCOPE,
    ),
    "the end of audit mode, for a token that never verified": (
        OLD, asking(mint({"aud": AUDITED, "exp": 1}), target="/audited/mcp"),
        policy_with("audited", mode="enforce"), Change.LOST, Reason.TOKEN_EXPIRED,
    ),
    "audit mode": (
        OLD, asking(mint({"scope": "x"})), policy_with("notes", mode="audit"),
        Change.GAINED, Reason.INSUFFICIENT_SCOPE,
    ),
    "headers of a client that are believed no more": (
        policy_with("calculator", header_versions=[MODERN]),
        asking(mint(BOTH), target=AT_CALCULATOR, headers={
            "mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "add"}),
        OLD, Change.LOST, Reason.UNVERIFIED_CALL,
    ),
    "unverified calls that are let through": (
        OLD, asking(mint(BOTH), target=AT_CALCULATOR),
        policy_with("calculator", unverified_calls="allow_without_rules"), Change.GAINED, None,
    ),
    "unverified calls that are let through, and one that the proxy could not read": (
        OLD, asking(mint(BOTH), target=AT_CALCULATOR, mcp_metadata={}),
        policy_with("calculator", unverified_calls="allow_without_rules"),
        Change.UNCHANGED, Reason.UNVERIFIED_CALL,
    ),
    "the same with a body besides, at which nobody looked": (
        OLD, asking(mint(BOTH), target=AT_CALCULATOR, mcp_metadata={}, body=b"{}"),
        policy_with("calculator", unverified_calls="allow_without_rules"),
        Change.UNCHANGED, Reason.UNVERIFIED_CALL,
    ),
    "a call that is not told, whatever its rules ask of the caller": (
        OVERLAPPING, asking(mint({"aud": AUDITED, "scope": "audited"}), target="/audited/mcp"),
        OVERLAPPING, Change.UNCHANGED, Reason.UNVERIFIED_CALL,
    ),
    "unverified calls that are let through no more": (
        policy_with("calculator", unverified_calls="allow_without_rules"),
        asking(mint(BOTH), target=AT_CALCULATOR), OLD, Change.LOST, Reason.UNVERIFIED_CALL,
    ),
    "a batch, where there are no rules any more": (
        OLD, asking(mint(BOTH), target=AT_CALCULATOR, body=b"[]"),
        policy_with("calculator", tools={}, methods={}), Change.GAINED, None,
    ),
    "a batch, where there are other rules": (
        OLD, asking(mint(BOTH), target=AT_CALCULATOR, body=b"[]"),
        policy_with("calculator", tools={"*": "allow"}), Change.UNCHANGED, Reason.BATCH_REFUSED,
    ),
    "rules where there were none, of a call that the proxy told in passing": (
        OLD, asking(mint(), mcp_metadata=told("tools/call", "write")),
        policy_with("notes", tools={"write": "deny"}), Change.LOST, Reason.DENIED_BY_RULE,
    ),
    "rules where there were none, for somebody who lacks a scope of the server": (
        OLD, asking(mint()), policy_with("notes", scopes=["new"], tools={"*": "allow"}),
        Change.LOST, Reason.INSUFFICIENT_SCOPE,
    ),
    "rules where there were none, for a GET": (
        OLD, asking(mint(), method="GET"), policy_with("notes", tools={"*": "deny"}),
        Change.UNCHANGED, None,
    ),
    "a claim of a rule with other values": (
        policy_with("calculator", tools={"add": {"claims": {"groups": "a"}}}),
        calling("add", mint(BOTH | {"groups": ["a", {"x": 1}]})),
        policy_with("calculator", tools={"add": {"claims": {"groups": "b"}}}),
        Change.LOST, Reason.DENIED_BY_RULE,
    ),
    "a claim of the server with other values": (
        policy_with("notes", claims={"groups": "a"}), asking(mint({"groups": ["a"]})),
        policy_with("notes", claims={"groups": "b"}), Change.LOST, Reason.DENIED_BY_RULE,
    ),
    "a claim of the server that is asked for no more": (
        policy_with("notes", claims={"groups": "a"}), asking(mint()), OLD, Change.GAINED, None,
    ),
    "true is not 1": (
        policy_with("calculator", tools={"add": {"claims": {"n": [True]}}}),
        calling("add", mint(BOTH | {"n": True})),
        policy_with("calculator", tools={"add": {"claims": {"n": [1]}}}),
        Change.LOST, Reason.DENIED_BY_RULE,
    ),
    "a rule on the subject, which is in every line": (
        OLD, calling("add"), policy_with("calculator", tools={"add": {"claims": {"sub": "bob"}}}),
        Change.LOST, Reason.DENIED_BY_RULE,
    ),
    "a rule on client_id, which cannot be another than the client": (
        OLD, calling("add"),
        policy_with("calculator", tools={"add": {"claims": {"client_id": "cli"}}}),
        Change.LOST, Reason.DENIED_BY_RULE,
    ),
    "a rule on a claim that is not in the log, where a scope is lacking besides": (
        OLD, calling("sub"),
        policy_with("calculator", tools={"sub": {"claims": {"x": "y"}, "scopes": ["more"]}}),
        Change.LOST, Reason.INSUFFICIENT_SCOPE,
    ),
    "a tenant of a template": (
        OLD,
        asking(mint({"iss": ENTRA_ISSUER.replace("{tenantid}", TENANT), "tid": TENANT},
                    key=signer("ES256", "entra"))),
        policy_with("notes", scopes=["more"]), Change.LOST, Reason.INSUFFICIENT_SCOPE,
    ),
    "a required claim with another value": (
        first_issuer(required_claims={"token_use": ["access", "id"]}),
        asking(mint({"token_use": "id"})), first_issuer(required_claims={"token_use": "access"}),
        Change.LOST, Reason.MISSING_CLAIM,
    ),
    "algorithms are not judged": (
        OLD, asking(mint()), first_issuer(algorithms=["RS256"]), Change.UNCHANGED, None,
    ),
    "a name in disguise": (
        OLD, asking(mint(), mcp_metadata=told("tools/CALL")),
        policy_with("notes", tools={"*": "allow"}), Change.LOST, Reason.MALFORMED_REQUEST,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("old", "request_", "new", "change", "reason"), CERTAIN.values(), ids=CERTAIN.keys()
)
def test_what_can_be_told(
    old: Policy, request_: Request, new: Policy, change: Change, reason: Reason | None
) -> None:
    verdict = replayed(old, request_, new)
    assert (verdict.change, verdict.reason) == (change, reason)


UNCERTAIN: dict[str, tuple[Policy, Request, Policy, str]] = {
    "a claim that no rule read": (
        OLD, calling("add"), policy_with("calculator", tools={"add": {"claims": {"x": "y"}}}),
        "the claim x",
    ),
    "a claim that no rule read, which is 1 to one rule and true to another": (
        OLD, calling("add"),
        policy_with("calculator", tools={
            "sub": {"claims": {"n": 1}}, "add": {"claims": {"n": True}}}),
        "the claim n",
    ),
    "azp, where the client may come from client_id": (
        OLD, calling("add"),
        policy_with("calculator", tools={"add": {"claims": {"azp": "inspector"}}}),
        "the claim azp",
    ),
    "a required claim": (
        OLD, asking(mint()), first_issuer(required_claims={"token_use": "access"}),
        "the claim token_use",
    ),
    "a claim of the server that nothing read": (
        OLD, asking(mint()), policy_with("notes", claims={"groups": "a"}), "the claim groups",
    ),
    "another audience claim": (
        OLD, asking(mint()), first_issuer(audience_claim="client_id"),
        "the audience, which is read from another claim now",
    ),
    "other scope claims": (
        OLD, asking(mint()), first_issuer(scope_claims=["roles"]),
        "the scopes, which are read from other claims now",
    ),
    "a call that nobody looked for": (
        OLD, asking(mint()), policy_with("notes", tools={"*": "allow"}), "the call",
    ),
    "a call that headers told which did not count": (
        OLD, asking(mint(BOTH), target=AT_CALCULATOR, headers={
            "mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "add"}),
        policy_with("calculator", header_versions=[MODERN]), "the call",
    ),
    "a resource of which the query is not written": (
        OLD, asking(mint(BOTH), target=AT_CALCULATOR,
                    mcp_metadata=told("resources/read", "file:///a?b")),
        policy_with("calculator", resources={"file:///a*": "deny", "*": "allow"}), "the call",
    ),
    "an origin that no header can hold, where pages of any origin are welcome": (
        policy_with("notes", origins=["*"]), asking(mint(), headers={"origin": "a b"}),
        policy_with("notes", origins=["*"]), "the Origin, which is an odd one",
    ),
    "an odd origin where pages of any origin are welcome now": (
        OLD, asking(mint(), headers={"origin": "odd"}), policy_with("notes", origins=["*"]),
        "the Origin, which is an odd one",
    ),
    "a token on a path that was public": (
        OLD, asking(mint(), target="/notes/health"), policy_with("notes", public_paths=[]),
        "the token, at which nobody looked",
    ),
    "a token where no server matched": (
        OLD, asking(mint(), target="/new"),
        policy_with("notes", match={"paths": ["/new"]}, public_paths=[]),
        "the token, at which nobody looked",
    ),
    "a path that may go on": (
        OLD, asking(mint(), target="/notes/" + "a" * 600),
        policy_with("notes", public_paths=["/notes/*"]), "the end of the path",
    ),
    "a line that was cut": (
        OLD, asking(mint({"scope": "notes " + "s" * 5000})), OLD,
        "the rest: the line was too long and was cut",
    ),
    "identity headers that could not be sent": (
        OLD, asking(mint({"email": "a\nb"})), OLD, "the claims that are forwarded as headers",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("old", "request_", "new", "missing"), UNCERTAIN.values(), ids=UNCERTAIN.keys()
)
def test_what_cannot_be_told_is_said_to_be_missing(
    old: Policy, request_: Request, new: Policy, missing: str
) -> None:
    verdict = replayed(old, request_, new)
    assert (verdict.change, verdict.detail) == (Change.CANNOT_TELL, missing)


KEPT: dict[str, tuple[Request, Kept]] = {
    "an expired token": (asking(mint({"exp": 1})), Kept.NO_TOKEN_TO_JUDGE),
    "a forged one": (asking(mint(sign=lambda _: b"x" * 64)), Kept.NO_TOKEN_TO_JUDGE),
    "one for another audience": (asking(mint({"aud": "x"})), Kept.NO_TOKEN_TO_JUDGE),
    "two credentials": (
        asking(mint(), repeated=frozenset({"authorization"})), Kept.NO_TOKEN_TO_JUDGE,
    ),
    "an ambiguous path": (asking(mint(), target="/notes/../x"), Kept.NO_REQUEST_TO_JUDGE),
    "a host that is none": (asking(mint(), host="a,b"), Kept.NO_REQUEST_TO_JUDGE),
    "a document": (
        asking(None, method="GET", target="/.well-known/oauth-protected-resource/notes/mcp"),
        Kept.NO_ACCESS_ASKED,
    ),
    "a preflight that only the listener may answer": (
        asking(None, method="OPTIONS", in_band=False,
               headers={"origin": ORIGIN, "access-control-request-method": "POST"}),
        Kept.NO_ACCESS_ASKED,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "kept"), KEPT.values(), ids=KEPT.keys())
def test_what_is_not_judged_again(request_: Request, kept: Kept) -> None:
    verdict = replayed(OLD, request_, policy_with("notes", audiences=["x"]))
    assert (verdict.change, verdict.kept) == (Change.UNCHANGED, kept)


def test_a_look_alike_is_refused_again_also_where_nobody_else_is() -> None:
    request = asking(mint(), headers={"x_auth_subject": "root"}, refuse_lookalikes=True)
    for new in (OLD, policy_with("notes", mode="audit", public_paths=["/notes/*"])):
        verdict = replayed(OLD, request, new)
        assert (verdict.change, verdict.reason) == (Change.UNCHANGED, Reason.MALFORMED_REQUEST)


def test_what_an_audited_server_would_report_is_not_made_up() -> None:
    token = mint({"aud": AUDITED, "scope": "audited"})
    request = asking(token, target="/audited/mcp", body=calling("add").body)
    assert record_of(log_of(OVERLAPPING, [request])[0]).reason is Reason.DENIED_BY_RULE
    verdict = replayed(OVERLAPPING, request, OVERLAPPING)
    assert (verdict.change, verdict.reason) == (Change.UNCHANGED, None)
    assert verdict.detail == "not in the log: the claim scope"


@pytest.mark.parametrize("style", ["plain", "hash"])
def test_a_hashed_claim_is_compared_as_well_as_a_plain_one(style: Any) -> None:
    rule = {"claims": {"email": ["alice@example.com"], "/realm/roles": "admin"}}
    old = policy_with("calculator", tools={"add": rule})
    token = mint(BOTH | {"email": "alice@example.com", "realm": {"roles": ["user", "admin"]}})
    assert replayed(old, calling("add", token), old, subject=style).change is Change.UNCHANGED
    other = policy_with(
        "calculator", tools={"add": rule | {"claims": {"email": "bob@example.com"}}}
    )
    assert replayed(old, calling("add", token), other, subject=style).change is Change.LOST


def test_without_subjects_nothing_is_said_of_claims() -> None:
    old = policy_with("calculator", tools={"add": {"claims": {"email": "a@example.com"}}})
    request = calling("add", mint(BOTH | {"email": "a@example.com"}))
    verdict = replayed(old, request, old, subject="off")
    assert (verdict.change, verdict.detail) == (Change.CANNOT_TELL, "the claim email")


@pytest.mark.parametrize(
    ("wanted", "change"),
    [("g0001", Change.UNCHANGED), ("g0999", Change.CANNOT_TELL), ("g9999", Change.CANNOT_TELL)],
)
def test_of_a_claim_that_was_cut_what_is_there_counts(wanted: str, change: Change) -> None:
    groups = [f"g{number:04}" for number in range(1000)]
    old = policy_with("calculator", tools={"add": {"claims": {"groups": "g0000"}}})
    new = policy_with("calculator", tools={"add": {"claims": {"groups": wanted}}})
    assert replayed(old, calling("add", mint(BOTH | {"groups": groups})), new).change is change


def test_a_line_of_an_older_version_is_not_guessed_at() -> None:
    members = json.loads(log_of(OLD, [asking(mint())])[0])
    del members["config"]
    verdict = Judge(OLD).judge(record_of(json.dumps(members).encode()))
    assert verdict.change is Change.CANNOT_TELL


def test_nothing_but_a_stand_in_of_its_own_is_believed_by_the_engine_of_a_replay() -> None:
    """Nor does what a replay mints open any other door."""
    person = record_of(log_of(OLD, [asking(mint())])[0]).person
    assert person is not None
    caller, stand_in = Caller(person, Readers(OLD)), StandIn(OLD.issuers)
    token = stand_in.token(caller.issuer, caller.least())
    decide = Engine(OLD).decide
    served = decide(asking(token), key_sets(), now=NOW, missing_key=Reason.UNKNOWN_KEY)
    assert getattr(served, "reason", None) is Reason.UNKNOWN_KEY
    real = decide(asking(mint()), stand_in.keys, now=NOW, missing_key=Reason.UNKNOWN_KEY)
    assert getattr(real, "reason", None) in (Reason.UNKNOWN_KEY, Reason.TOKEN_NOT_YET_VALID)


def test_a_person_without_a_subject_or_a_client() -> None:
    request = asking(mint({"sub": ABSENT, "client_id": ABSENT}))
    assert replayed(OLD, request, OLD).change is Change.UNCHANGED


def test_the_issuer_may_go_by_another_name() -> None:
    issuers = [{"name": "renamed", "issuer": ISSUER}, *ISSUERS[1:]]
    servers = [{"name": "notes", "resource": NOTES, "issuers": ["renamed"], "scopes": ["notes"]}]
    new = policy_for_tests(issuers=issuers, servers=servers)
    assert replayed(OLD, asking(mint()), new).change is Change.UNCHANGED


def test_a_rule_that_no_call_meets_has_a_claim_written() -> None:
    """The way that the guide shows."""
    tools = {"add": "allow"}
    reading = {"no/such": {"claims": {"department": "x"}}}
    request = calling("add", mint(BOTH | {"department": "sales"}))
    old, new = (
        policy_with("calculator", tools=tools, methods=reading),
        policy_with("calculator", tools={"add": {"claims": {"department": "law"}}}),
    )
    assert replayed(old, request, old).reason is None
    assert replayed(old, request, new).change is Change.LOST


def test_a_rule_that_no_call_meets_has_calls_written() -> None:
    looking = {"methods": {"no/such": "deny"}, "unverified_calls": "allow_without_rules"}
    old = policy_with("notes", **looking)
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "write"}}
    request = asking(mint(), body=json.dumps(message).encode())
    assert replayed(old, request, old).reason is None
    assert replayed(old, asking(mint()), old).reason is None
    new = policy_with("notes", tools={"write": "deny"})
    assert replayed(old, request, new).change is Change.LOST

"""The last refusals: which are kept, and above all what is never among them."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import Any

import pytest

from extauthz.core.engine import Engine
from extauthz.core.model import Reason, Request
from extauthz.telemetry.decision_log import DOCTOR, LineStyle
from extauthz.telemetry.refusals import EACH, SERVERS, LastRefusals, Refusal
from extauthz.telemetry.replayable import InForce
from tests.policies import asking, policy_for_tests
from tests.telemetry.listening import Listening
from tests.telemetry.test_decision_log import CANARY, REFUSED_TOKENS, calculating
from tests.tokens import CALCULATOR, NOW, b64, mint, signer

CALLER = {"aud": CALCULATOR, "scope": "calculator"}
WHOM = ("alice", "inspector", "token-1", "idp.example.com", "es256")


def told(service: Listening) -> tuple[Refusal, ...]:
    return service.observer.log.refusals.told()


def only(service: Listening) -> Refusal:
    (refusal,) = told(service)
    return refusal


def numbered(number: int, **more: Any) -> Request:
    return asking(None, headers={"x-request-id": f"request-{number}", **more})


def made(number: int = 0, **changes: Any) -> Refusal:
    whole: dict[str, Any] = dict.fromkeys(Refusal.__dataclass_fields__)
    whole |= {"decided_at": NOW + number, "decision": "deny", "reason": Reason.MISSING_TOKEN}
    return Refusal(**{**whole, "transport": "grpc", "request_id": f"request-{number}", **changes})


def test_a_refused_call_is_told_as_its_line_tells_it() -> None:
    style = LineStyle(in_force=InForce("0123456789ab"))
    service = Listening(style)
    request = calculating(mint(CALLER), "danger_zone")
    request.headers |= {"x-request-id": "5a1c7a8e"}
    service.ask(request)
    assert only(service) == Refusal(
        decided_at=NOW,
        decision="deny",
        server="calculator",
        reason=Reason.DENIED_BY_RULE,
        status=403,
        detail="rule danger_*",
        http_method="POST",
        host="mcp.example.com",
        path="/calculator/mcp",
        method="tools/call",
        name="danger_zone",
        transport="grpc",
        request_id="5a1c7a8e",
        agent=None,
        config="0123456789ab",
    )


def test_what_audit_would_refuse_is_told_as_such() -> None:
    service = Listening()
    service.ask(asking(None, target="/audited/mcp"))
    refusal = only(service)
    assert (refusal.decision, refusal.reason) == ("audit_deny", "missing_token")
    assert refusal.server == "audited"
    assert refusal.status is None


def test_what_is_allowed_or_answered_is_no_refusal() -> None:
    service = Listening()
    service.ask(asking(mint()))
    service.ask(asking(None, target="/notes/health"))
    service.ask(asking(None, method="GET", target="/register"))
    assert [line["decision"] for line in service.lines()] == ["allow", "public", "answer"]
    assert told(service) == ()


def test_the_last_of_a_reason_and_a_server_are_kept_and_the_one_before_is_not() -> None:
    service = Listening()
    for number in range(EACH):
        service.ask(numbered(number))
    assert [one.request_id for one in told(service)] == ["request-2", "request-1", "request-0"]
    service.ask(numbered(EACH))
    assert [one.request_id for one in told(service)] == ["request-3", "request-2", "request-1"]


def test_a_flood_of_one_kind_pushes_out_no_other() -> None:
    service = Listening()
    service.ask(calculating(mint(CALLER), "danger_zone"))
    for number in range(1000):
        service.ask(numbered(number))
    reasons = [one.reason for one in told(service)]
    assert sorted(reasons) == ["denied_by_rule", *["missing_token"] * EACH]


def test_of_a_reason_so_many_servers_are_remembered_and_one_more_takes_the_oldest_ones_place() -> (
    None
):
    kept = LastRefusals()
    kept.add_told(made(server="other", reason=Reason.BAD_ORIGIN))
    for number in range(SERVERS):
        kept.add_told(made(number, server=f"server-{number}"))
    kept.add_told(made(SERVERS, server="server-0"))
    servers = {one.server for one in kept.told()}
    assert servers == {"other", *(f"server-{number}" for number in range(SERVERS))}
    kept.add_told(made(SERVERS + 1, server="one more"))
    assert {one.server for one in kept.told()} == servers - {"server-1"} | {"one more"}


def test_the_newest_comes_first_whoever_told_of_it() -> None:
    kept = LastRefusals()
    for number, reason in ((2, "a"), (5, "b"), (1, "b"), (4, "a")):
        kept.add_told(made(number, reason=reason))
    assert [one.decided_at - NOW for one in kept.told()] == [5, 4, 2, 1]


def test_what_was_taken_is_kept_no_longer() -> None:
    service = Listening()
    service.ask(asking(None))
    refusals = service.observer.log.refusals
    assert [one.reason for one in refusals.take()] == ["missing_token"]
    assert refusals.take() == ()


@pytest.mark.parametrize("server", ["notes", "audited"])
@pytest.mark.parametrize("token", REFUSED_TOKENS.values(), ids=REFUSED_TOKENS.keys())
def test_nothing_of_a_token_that_did_not_verify_is_kept(token: str, server: str) -> None:
    service = Listening()
    service.ask(asking(token, target=f"/{server}/mcp"))
    everything = json.dumps(asdict(only(service)))
    for part in (CANARY, b64(CANARY), *token.split(".")):
        assert part not in everything
    assert CANARY not in repr(service.observer.log.refusals._kept)


@pytest.mark.parametrize("subject", ["plain", "hash", "off"])
def test_whom_a_verified_token_names_is_neither_told_nor_kept(subject: Any) -> None:
    service = Listening(LineStyle(subject=subject))
    service.ask(calculating(mint(CALLER), "danger_zone"))
    service.ask(asking(mint({"scope": "other"})))
    assert len(told(service)) == 2
    for whom in WHOM:
        assert whom not in json.dumps(list(map(asdict, told(service))))
        assert whom not in repr(service.observer.log.refusals._kept)


def test_nothing_is_told_that_the_line_does_not_hold() -> None:
    service = Listening(LineStyle(in_force=InForce("0123456789ab")))
    odd = {"x-request-id": "<b>", "origin": "https://evil.example", "cookie": "canary"}
    for request in (
        asking(None, target="/notes/mcp?canary=canary", headers={**odd, "user-agent": DOCTOR}),
        asking(None, host="<script>", target="/%zz", headers=odd),
        asking("a.b.c", target="/notes/<script>", headers=odd),
        calculating(mint(CALLER), "danger_zone"),
        calculating(mint(CALLER), "add"),
    ):
        service.ask(request)
    refusals = told(service)
    lines = service.lines()
    assert len(lines) == len(refusals) == 5
    for refusal in refusals:
        said = asdict(refusal)
        assert said.pop("decided_at") == NOW
        name = said.pop("name")
        wanted = {key: value for key, value in said.items() if value is not None}
        assert any(wanted.items() <= line.items() and line.get("tool") == name for line in lines), (
            refusal
        )


@pytest.mark.parametrize(
    "odd", ["<script>alert(1)</script>", "a\nb", "a\r\nx: y", 'a"b', "a" * 129]
)
def test_a_request_id_that_is_no_plain_word_is_not_told(odd: str) -> None:
    service = Listening()
    service.ask(asking(None, headers={"x-request-id": odd}))
    assert only(service).request_id is None


@pytest.mark.parametrize(
    ("tool", "shown"),
    [
        ("danger_\n\r\x00\x1b[31m", "danger_\\n\\r\\x00\\x1b[31m"),
        ("danger_\u202e", "danger_\\u202e"),
        ("danger_ü", "danger_ü"),
        ("danger_" + "a" * 249, "danger_" + "a" * 249),
        ("danger_" + "a" * 250, "danger_" + "a" * 248 + "…"),
        ("danger_" + "a" * 1_000_000, "danger_" + "a" * 248 + "…"),
    ],
    ids=["controls", "direction", "letters", "just short enough", "just too long", "a megabyte"],
)
def test_a_tools_name_is_one_short_printable_line(tool: str, shown: str) -> None:
    service = Listening()
    service.ask(calculating(mint(CALLER), tool))
    assert only(service).name == shown
    assert len(repr(service.observer.log.refusals._kept)) < 10_000


def test_a_token_in_a_path_or_a_tools_name_is_cut_out() -> None:
    token = mint({"sub": "x" * 300})
    service = Listening()
    service.ask(asking(None, target=f"/notes/{token[:400]}"))
    service.ask(calculating(mint(CALLER), f"danger_{'a' * 200}{token}"))
    everything = json.dumps(list(map(asdict, told(service))))
    assert everything.count("[token]") == 2
    assert token[:24] not in everything


def test_the_call_that_the_proxy_tells_in_passing_is_told() -> None:
    service = Listening()
    said = {"is_mcp_request": True, "method": "tools/call", "params": {"name": "add_note"}}
    service.ask(asking(mint({"scope": "other"}), mcp_metadata=said))
    refusal = only(service)
    assert (refusal.reason, refusal.method, refusal.name) == (
        "insufficient_scope",
        "tools/call",
        "add_note",
    )


@pytest.mark.parametrize(
    "agent", [f"{DOCTOR}/2", f"x {DOCTOR}", "", "curl/8", f"{DOCTOR},{DOCTOR}"]
)
def test_doctor_is_told_by_its_own_name_alone(agent: str) -> None:
    service = Listening()
    service.ask(asking(None, headers={"user-agent": DOCTOR}))
    service.ask(asking(None, headers={"user-agent": agent}))
    assert {one.agent for one in told(service)} == {DOCTOR, None}
    assert [line.get("agent") for line in service.lines()] == [DOCTOR, None]


def test_whoever_calls_himself_doctor_is_judged_like_anybody() -> None:
    engine = Engine(policy_for_tests())
    service = Listening(engine=engine)
    for token in (None, "a.b.c", mint(), mint({"scope": "other"})):
        plain, named = (
            service.ask(asking(token, headers=headers)) for headers in ({}, {"user-agent": DOCTOR})
        )
        assert plain == named


def test_doctor_pushes_nobody_out() -> None:
    service = Listening()
    service.ask(numbered(0))
    for number in range(1, 50):
        service.ask(numbered(number, **{"user-agent": DOCTOR}))
    assert [one.request_id for one in told(service) if one.agent is None] == ["request-0"]
    assert len(told(service)) == 1 + EACH


def test_doctor_pushes_no_server_out() -> None:
    kept = LastRefusals()
    for agent in (None, DOCTOR):
        for number in range(SERVERS):
            kept.add_told(made(number, server=f"server-{number}", agent=agent))
    told = [one.server for one in kept.told() if one.agent is None]
    assert len(told) == SERVERS


def test_lines_of_what_is_allowed_do_not_tell_doctor_apart() -> None:
    service = Listening()
    service.ask(asking(mint(), headers={"user-agent": DOCTOR}))
    assert "agent" not in service.lines()[0]


def test_what_has_no_line_is_not_kept() -> None:
    service = Listening(LineStyle(level=logging.ERROR))
    service.ask(asking(None))
    assert told(service) == ()
    unheard_of = mint(key=signer("ES256", "unheard-of"))
    service.ask(asking(unheard_of), missing_key=Reason.KEYS_UNAVAILABLE)
    assert only(service).reason == "keys_unavailable"


def test_a_refusal_about_no_request_is_told_too() -> None:
    service = Listening()
    decision = service.ask(asking(None, host="\0"))
    service.observer.decided(None, decision, "http", 0.0)
    assert [one.transport for one in told(service)] == ["http", "grpc"]
    assert told(service)[0].http_method is None

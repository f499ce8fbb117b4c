"""Decision lines: what they say, and above all what they never say."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.core.engine import Engine
from extauthz.core.model import Reason
from extauthz.telemetry.decision_log import DOCTOR, LineStyle
from extauthz.telemetry.formats import text_line
from extauthz.telemetry.replayable import InForce
from tests.policies import ISSUERS, SERVERS, asking, engine_for_tests, policy_for_tests
from tests.telemetry.listening import Listening
from tests.tokens import CALCULATOR, ISSUER, b64, mint, signer

GUIDE = Path(__file__).parents[2] / "docs/operations/logs.md"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def call_of(tool: str = "", prompt: str = "", resource: str = "") -> bytes:
    method = "resources/read" if resource else "prompts/get" if prompt else "tools/call"
    arguments = {"a": 1, "secret": "canary-argument"}
    params: dict[str, Any] = {"name": tool or prompt, "uri": resource, "arguments": arguments}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return json.dumps(message).encode()


def calculating(token: str, tool: str) -> Any:
    return asking(token, target="/calculator/mcp", body=call_of(tool))


def decisions(service: Listening) -> list[dict[str, Any]]:
    return [line for line in service.lines() if line["event"] == "decision"]


def only(service: Listening) -> dict[str, Any]:
    (line,) = decisions(service)
    return line


def test_the_line_of_an_allowed_call_says_who_called_what() -> None:
    service = Listening()
    claims = {"aud": CALCULATOR, "scope": "calculator calculator.add"}
    request = calculating(mint(claims), "add")
    request.headers |= {
        "x-request-id": "5a1c7a8e-0000-4000-8000-000000000000",
        "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
    }
    service.ask(request)
    assert only(service) == {
        "ts": "2027-01-15T08:00:00.000Z",
        "level": "info",
        "msg": "allow",
        "event": "decision",
        "decision": "allow",
        "server": "calculator",
        "issuer": "https://idp.example.com/realms/acme",
        "client_id": "inspector",
        "subject": "alice",
        "scopes": ["calculator", "calculator.add"],
        "audience": [CALCULATOR],
        "jti": "token-1",
        "kid": "es256",
        "method": "tools/call",
        "tool": "add",
        "call_source": "body",
        "http_method": "POST",
        "host": "mcp.example.com",
        "path": "/calculator/mcp",
        "request_id": "5a1c7a8e-0000-4000-8000-000000000000",
        "trace_id": TRACE,
        "transport": "grpc",
        "duration_ms": 0.123,
    }


@pytest.mark.requirement("M26")
def test_a_refused_caller_who_is_verified_is_named() -> None:
    service = Listening()
    service.ask(calculating(mint({"aud": CALCULATOR, "scope": "calculator"}), "danger_zone"))
    line = only(service)
    assert (line["decision"], line["reason"]) == ("deny", "denied_by_rule")
    assert (line["level"], line["status"], line["subject"]) == ("warning", 403, "alice")
    assert line["tool"] == "danger_zone"
    assert line["detail"] == "rule danger_*"


def test_an_audited_refusal_says_what_would_have_happened() -> None:
    service = Listening()
    service.ask(asking(None, target="/audited/mcp"))
    line = only(service)
    assert (line["decision"], line["reason"]) == ("audit_deny", "missing_token")
    assert (line["level"], line["server"]) == ("warning", "audited")


def test_a_decision_about_no_request_has_a_line_too() -> None:
    service = Listening()
    decision = service.ask(asking(None, host="\0"))
    service.observer.decided(None, decision, "grpc", 0.0)
    assert [line.get("host") for line in decisions(service)] == [None, None]


def test_missing_keys_are_our_fault_and_logged_as_an_error() -> None:
    service = Listening()
    token = mint(key=signer("ES256", "unheard-of"))
    service.ask(asking(token), missing_key=Reason.KEYS_UNAVAILABLE)
    line = only(service)
    assert (line["level"], line["reason"], line["status"]) == ("error", "keys_unavailable", 503)
    assert "kid" not in line


CANARY = "canary7f3a"
REFUSED_TOKENS = {
    "garbage": f"{CANARY}.{CANARY}.{CANARY}",
    "not a JWT": CANARY,
    "other issuer": mint({"iss": f"https://{CANARY}.example", "sub": CANARY}),
    "other audience": mint({"aud": f"https://{CANARY}.example", "sub": CANARY, "jti": CANARY}),
    "expired": mint({"exp": 1, "sub": CANARY, "client_id": CANARY, "scope": CANARY}),
    "future": mint({"nbf": 9_000_000_000, "sub": CANARY}),
    "unknown key": mint({"sub": CANARY}, key=signer("ES256", CANARY)),
    "algorithm": mint({"sub": CANARY}, header={"alg": CANARY}),
    "type": mint({"sub": CANARY}, header={"typ": CANARY}),
    "forged": mint({"sub": CANARY}, sign=lambda _: CANARY.encode()),
    "no exp": mint({"exp": None, "sub": CANARY}),
    "bound": mint({"sub": CANARY, "cnf": {"jkt": CANARY}}),
    "odd claims": mint({"sub": {CANARY: CANARY}, "scope": [CANARY, {"x": CANARY}]}),
    "too large": mint({"sub": CANARY * 2000}),
}


@pytest.mark.requirement("M20", "R43")
@pytest.mark.parametrize("server", ["notes", "audited"])
@pytest.mark.parametrize("token", REFUSED_TOKENS.values(), ids=REFUSED_TOKENS.keys())
def test_nothing_of_a_token_that_did_not_verify_is_written(token: str, server: str) -> None:
    """Neither as JSON nor as text, nor as a metric; audited servers included."""
    service = Listening()
    service.ask(asking(token, target=f"/{server}/mcp"))
    everything = service.log_text() + service.exposition()
    everything += "".join(map(text_line, map(json.loads, service.log_text().splitlines())))
    assert "decision" in everything
    for part in (CANARY, b64(CANARY), *token.split(".")):
        assert part not in everything


@pytest.mark.requirement("M20", "R43")
def test_no_header_value_query_body_or_token_of_a_good_request_is_written() -> None:
    service = Listening()
    token = mint({"aud": CALCULATOR, "scope": "calculator calculator.add"})
    request = calculating(token, "add")
    request.target = "/calculator/mcp?session=canary-query"
    request.headers |= {"cookie": "canary-cookie", "x-odd": "canary-odd", "accept": "canary/accept"}
    service.ask(request)
    text = service.log_text()
    assert '"decision":"allow"' in text
    assert "canary" not in text
    assert token not in text
    assert token.split(".")[2] not in text


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/notes/mcp?token=canary", "/notes/mcp"),
        ("/notes/mcp%3Ftoken=canary", "/notes/mcp"),
        ("/notes/mcp%3ftoken=canary", "/notes/mcp"),
        ("/notes/mcp%253Ftoken=canary", "/notes/mcp"),
        ("/notes/mcp;token=canary", "/notes/mcp"),
        ("/notes/mcp%3Btoken=canary", "/notes/mcp"),
        ("/notes/mcp#token=canary", "/notes/mcp"),
        ("https://user:canary@mcp.example.com/notes", None),
        ("/" + "a" * 600, "/" + "a" * 511),
    ],
)
def test_a_path_ends_where_any_server_might_see_a_query(target: str, path: str | None) -> None:
    service = Listening()
    service.ask(asking(None, target=target))
    line = only(service)
    assert line.get("path") == path
    assert "canary" not in json.dumps(line)


def test_a_token_put_into_a_path_is_cut_out() -> None:
    """A habit of some clients; the path alone would be fit to log."""
    token = mint()
    service = Listening()
    service.ask(asking(None, target=f"/notes/{token}/mcp"))
    assert only(service)["path"] == "/notes/[token]/mcp"


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("x-request-id", "a" * 128, "a" * 129),
        ("x-request-id", "a.b-c_d/1:2=3+4@5", "a b"),
        ("x-request-id", "é".encode().hex(), "é"),
    ],
)
def test_a_request_id_is_a_plain_word_or_not_there(name: str, good: str, bad: str) -> None:
    service = Listening()
    service.ask(asking(None, headers={name: good}))
    service.ask(asking(None, headers={name: bad}))
    assert [line.get("request_id") for line in decisions(service)] == [good, None]


@pytest.mark.parametrize(
    "traceparent", ["", "canary", f"00-{TRACE.upper()}-b7ad6b7169203331-01", f"00-{TRACE}-b7ad-01"]
)
def test_a_traceparent_that_is_none_is_left_out(traceparent: str) -> None:
    service = Listening()
    service.ask(asking(None, headers={"traceparent": traceparent}))
    assert "trace_id" not in only(service)


def test_control_characters_cannot_forge_a_line() -> None:
    service = Listening()
    sub = 'eve"}\n{"decision":"allow"'
    service.ask(asking(mint({"sub": sub})))
    service.ask(asking(None, target='/notes/mcp\n{"event":"decision"}'))
    assert len(service.log_text().splitlines()) == 2


def test_a_subject_can_be_hashed_so_that_replicas_agree() -> None:
    service = Listening(LineStyle(subject="hash"))
    service.ask(asking(mint()))
    assert only(service)["subject"] == hashlib.sha256(b"alice").hexdigest()[:16]


def test_a_subject_can_be_left_out() -> None:
    service = Listening(LineStyle(subject="off"))
    service.ask(asking(mint()))
    assert "alice" not in json.dumps(only(service))


def test_lines_without_refusal_are_sampled_and_refusals_never() -> None:
    service = Listening(LineStyle(allow_sample=0.25))
    token = mint()
    for _ in range(400):
        service.ask(asking(token))
        service.ask(asking(None))
        service.ask(asking(None, target="/audited/mcp"))
    words = [line["decision"] for line in decisions(service)]
    assert words.count("deny") == words.count("audit_deny") == 400
    assert 60 < words.count("allow") < 140


def test_a_share_of_nothing_writes_no_allow_line_at_all() -> None:
    service = Listening(LineStyle(allow_sample=0.0))
    service.ask(asking(mint()))
    service.ask(asking(None, target="/notes/health"))
    service.ask(asking(None, target="/.well-known/oauth-protected-resource/notes/mcp"))
    assert decisions(service) == []


@pytest.mark.parametrize(
    ("level", "words"),
    [
        (logging.INFO, ["allow", "deny", "deny"]),
        (logging.WARNING, ["deny", "deny"]),
        (logging.ERROR, ["deny"]),
    ],
)
def test_the_level_leaves_out_what_is_less_severe(level: int, words: list[str]) -> None:
    service = Listening(LineStyle(level=level))
    service.ask(asking(mint()))
    service.ask(asking(None))
    service.ask(asking(mint(key=signer("ES256", "x"))), missing_key=Reason.KEYS_UNAVAILABLE)
    assert [line["decision"] for line in decisions(service)] == words


def test_the_style_can_change_while_running() -> None:
    service = Listening()
    service.ask(asking(mint()))
    service.observer.log.style = LineStyle(level=logging.WARNING)
    service.ask(asking(mint()))
    assert len(decisions(service)) == 1


def test_identity_headers_that_are_too_large_get_a_line_with_the_cure() -> None:
    service = Listening(engine=engine_for_tests(tokens={"max_bytes": "64KiB"}))
    service.ask(asking(mint({"email": "m" * 16 * 1024})))
    first, second = service.lines()
    assert (first["event"], first["reason"]) == ("decision", "denied_by_rule")
    assert (second["event"], second["level"]) == ("identity_too_large", "warning")
    assert (second["server"], second["client_id"]) == ("notes", "inspector")
    assert "forward.headers" in second["msg"]


def test_other_refusals_by_rule_get_no_second_line() -> None:
    service = Listening()
    service.ask(calculating(mint({"aud": CALCULATOR, "scope": "calculator"}), "danger_zone"))
    assert [line["event"] for line in service.lines()] == ["decision"]


def test_values_of_a_long_line_are_cut() -> None:
    service = Listening()
    service.ask(asking(mint({"sub": "s" * 6000, "jti": "short"})))
    line = only(service)
    assert line["subject"] == "s" * 255 + "…"
    assert line["jti"] == "short"


def test_every_field_is_explained_in_the_guide_and_no_other() -> None:
    section = GUIDE.read_text().split("## Decision lines")[1].split("\n## ")[0]
    explained = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    rule = {"claims": {"groups": "a", "/realm/roles": "b"}}
    servers = [one | {"resources": {"*": "allow"}, "prompts": {"*": rule}} for one in SERVERS]
    issuer = {"name": "corp", "issuer": ISSUER, "audience_claim": "/a/b", "scope_claims": ["s"]}
    policy = policy_for_tests(issuers=[issuer, *ISSUERS[1:]], servers=servers)
    in_force = replace(InForce.of(policy), digest="0" * 12)
    service = Listening(LineStyle(in_force=in_force, allow_sample=0.999), Engine(policy))
    claims = {"a": {"b": CALCULATOR}, "s": "calculator calculator.add", "groups": ["a" * 200]}
    headers = {
        "x-request-id": "1",
        "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
        "origin": "https://mcp.example.com",
    }
    for params in ({"tool": "add"}, {"prompt": "p"}, {"resource": "file:///a?q"}):
        body = call_of(**params)
        service.ask(asking(mint(claims), target="/calculator/mcp", body=body, headers=headers))
    doctor = {"user-agent": DOCTOR}
    service.ask(asking(None, server="calculator", target="/calculator/mcp", headers=doctor))
    modern = {"mcp-method": "ping", "mcp-protocol-version": "2026-07-28"}
    service.ask(asking(mint(claims), target="/calculator/mcp", headers=modern))
    preflight = {"origin": "https://x.example", "access-control-request-method": "POST"}
    service.ask(asking(None, method="OPTIONS", headers=preflight))
    service.ask(asking(mint(claims | {"sub": "s" * 5000}), target="/calculator/mcp"))
    written = {name for line in decisions(service) for name in line}
    assert written == explained


def test_every_event_is_explained_in_the_guide() -> None:
    source = Path(__file__).parents[2] / "extauthz/telemetry"
    events = {
        event
        for file in source.glob("*.py")
        for event in re.findall(r'"event": "(\w+)"', file.read_text())
    }
    assert events >= {"decision", "log_dropped", "identity_too_large"}
    assert {event for event in events if f"`{event}`" not in GUIDE.read_text()} == set()


TEXTS = st.text(max_size=40) | st.text(alphabet=string.printable, max_size=40)


@given(method=TEXTS, host=TEXTS, target=TEXTS, headers=st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_whatever_is_asked_there_is_one_line_of_json(
    method: str, host: str, target: str, headers: dict[str, str]
) -> None:
    service = Listening()
    names = {"x-request-id": host, "traceparent": target}
    service.ask(asking(None, method=method, host=host, target=target, headers=headers | names))
    assert len(service.lines()) == 1

"""Refusals as clients see them: exact, deterministic, safe to parse (contract, section 8)."""

import json
import re

import pytest

from extauthz.core.challenge import Challenger
from extauthz.core.model import Call, Reason, Refusal, Request
from extauthz.core.policy import Server
from tests.refusals import CODES, STATUSES

SERVER = Server(
    name="calc", resource="https://h/calc/mcp", hosts=(), paths=(), issuers=(), audiences=None,
    scopes=("mcp:use", "mcp:read"),
)  # fmt: skip
URL = "https://h/.well-known/oauth-protected-resource/calc/mcp"

ROWS = [(status, reason) for reason, status in STATUSES.items()]


def _request(method="POST", **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method=method, host="h", target="/", headers=names)


def _deny(reason, request=None, **more):
    return Challenger(SERVER, URL).deny(Refusal(Reason(reason)), request, **more)


def _challenge(denial):
    return dict(denial.headers).get("www-authenticate")


def test_the_table_is_the_whole_list_of_reasons():
    assert sorted(reason for _, reason in ROWS) == sorted(Reason)


@pytest.mark.requirement("M8", "M12", "R19")
@pytest.mark.parametrize(("status", "reason"), ROWS)
def test_every_reason_has_its_status_code_and_body(status, reason):
    denial = _deny(reason)
    body = json.loads(denial.body)
    assert denial.status == status
    assert body["reason"] == reason
    assert body["code"] == CODES[reason]
    assert set(body) == {"error", "code", "reason", "details"}
    headers = dict(denial.headers)
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert headers.get("retry-after") == ("5" if status == 503 else None)


@pytest.mark.parametrize("reason", list(Reason))
def test_people_are_told_in_sentences_what_is_wrong_and_what_to_do(reason):
    body = json.loads(_deny(reason).body)
    assert re.fullmatch(r"[A-Z][a-zA-Z' -]*[a-z]", body["error"])
    assert re.fullmatch(r"[A-Z][^X]*\.", body["details"])


@pytest.mark.requirement("M4", "M13", "R9", "R17", "R19", "R20")
@pytest.mark.parametrize(("status", "reason"), ROWS)
def test_the_challenge_is_for_those_whom_a_token_can_help(status, reason):
    challenge = _challenge(_deny(reason))
    if reason == "missing_token":
        assert challenge == f'Bearer scope="mcp:use mcp:read", resource_metadata="{URL}"'
    elif status == 401:
        start = f'Bearer error="invalid_token", scope="mcp:use mcp:read", resource_metadata="{URL}"'
        assert challenge.startswith(start + ', error_description="')
    elif reason == "insufficient_scope":
        assert challenge.startswith('Bearer error="insufficient_scope", scope="mcp:use mcp:read"')
    else:
        assert challenge is None


@pytest.mark.requirement("M14")
def test_a_challenge_lists_all_scopes_of_the_operation():
    challenge = _challenge(_deny("insufficient_scope", scopes=("a", "b")))
    assert ', scope="a b", ' in challenge


def test_what_is_empty_is_left_out():
    bare = Challenger(None, None)
    assert _challenge(bare.deny(Refusal(Reason.MISSING_TOKEN), None)) == "Bearer"
    invalid = _challenge(bare.deny(Refusal(Reason.TOKEN_EXPIRED), None))
    assert (
        invalid == 'Bearer error="invalid_token", error_description="The access token has expired"'
    )


@pytest.mark.requirement("M12", "R19")
def test_a_malformed_request_is_challenged_only_for_its_credentials():
    assert _challenge(_deny("malformed_request")) is None
    challenge = _challenge(_deny("malformed_request", credentials_at_fault=True))
    assert challenge == f'Bearer error="invalid_request", resource_metadata="{URL}"'


@pytest.mark.parametrize("reason", [one for one in Reason if one != "malformed_request"])
def test_credentials_at_fault_change_no_other_refusal(reason):
    assert _deny(reason, credentials_at_fault=True) == _deny(reason)


def test_a_refusal_carries_what_is_told_of_it_and_what_a_browser_needs():
    refusal = Refusal(Reason.BAD_ORIGIN, "a detail")
    cors = (("vary", "Origin"),)
    denial = Challenger(SERVER, URL).deny(refusal, None, client_headers=cors)
    assert (denial.reason, denial.server, denial.detail) == (Reason.BAD_ORIGIN, "calc", "a detail")
    assert denial.headers[-1:] == cors
    assert Challenger(None, None).deny(refusal, None).server is None


def test_a_refusal_tells_the_log_who_was_refused_which_call():
    token, call = object(), Call("tools/call", "add")
    denial = _deny("denied_by_rule", token=token, call=call)
    assert denial.token is token
    assert denial.call is call


@pytest.mark.requirement("R17", "R18")
@pytest.mark.parametrize("reason", list(Reason))
def test_descriptions_hold_nothing_a_client_could_take_for_a_parameter(reason):
    challenge = _challenge(_deny(reason)) or ""
    assert re.fullmatch(r"[\x20-\x7e]*", challenge)
    names = re.findall(r"(\w+)=", challenge.replace(URL, ""))
    assert len(names) == len(set(names))
    assert challenge.count('"') == 2 * len(names)


@pytest.mark.parametrize(
    ("request_", "json_rpc"),
    [
        (_request(accept="application/json, text/event-stream"), True),
        (_request(accept="Text/Event-Stream"), True),
        (_request(accept="application/json,text/event-stream ;q=0.5"), True),
        (_request(accept="text/event-streams"), False),
        (_request(accept='a/b;c="text/event-stream"'), False),
        (_request(accept="text/event-stream/x, x-text/event-stream"), False),
        (_request(mcp_protocol_version="2025-11-25"), True),
        (_request(mcp_method="ping"), True),
        (_request(accept="application/json"), False),
        (_request(), False),
        (_request("GET", accept="text/event-stream"), False),
    ],
)
def test_an_mcp_post_gets_a_json_rpc_error(request_, json_rpc):
    body = json.loads(_deny("token_expired", request_).body)
    assert ("jsonrpc" in body) is json_rpc
    if json_rpc:
        assert set(body) == {"jsonrpc", "id", "error"}
        assert body["jsonrpc"] == "2.0"
        assert body["id"] is None
        assert body["error"]["code"] == -32010
        assert body["error"]["data"]["reason"] == "token_expired"
        assert body["error"]["message"] == body["error"]["data"]["error"]


@pytest.mark.parametrize("reason", list(Reason))
def test_a_body_fits_a_header_of_one_kibibyte(reason):
    body = _deny(reason, _request(mcp_method="x")).body
    assert len(body) <= 1024
    assert body.isascii()
    assert b"\n" not in body
    assert body == json.dumps(json.loads(body), separators=(",", ":")).encode()

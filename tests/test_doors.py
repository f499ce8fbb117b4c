"""One table of requests; the engine, the gRPC door and the HTTP door must agree on each.

The gRPC door is asked with raw header lines and with joined ones, the HTTP door as nginx, as
a forward-auth proxy and as Envoy ask it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from extauthz.adapters.envoy import to_request
from extauthz.core.model import Allow, Answer, Deny, Reason, Request
from extauthz.core.policy import IDENTITY_HEADERS
from tests.adapters.door_cases import CASES, METADATA, POLICY, Want
from tests.adapters.doors import (
    Asked,
    Doors,
    Keys,
    authorizer,
    check_request,
    header_options,
    open_doors,
    reason_in,
)
from tests.e2e.rawhttp import Response
from tests.refusals import STATUSES

GRPC_CODES = {200: 7, 204: 7, 307: 7, 404: 5, 400: 3, 401: 16, 403: 7, 503: 14}


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    with open_doors(POLICY) as opened:
        opened.keys.answers["other"] = Reason.KEYS_UNAVAILABLE
        yield opened


def cases(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [CASES[name] for name in names], ids=names)


every_case = cases(*CASES)
# Proxies other than Envoy over gRPC send no metadata, and whole bodies; only nginx names a server.
by_http = cases(*(name for name, (asked, _) in CASES.items() if asked.by_http))
by_forwarder = cases(
    *(
        name
        for name, (asked, _) in CASES.items()
        if asked.by_http and asked.server is None and asked.method != "HEAD"
    )
)
by_envoy_over_http = cases(
    *(
        name
        for name, (asked, _) in CASES.items()
        if asked.mcp is None and asked.server is None and asked.method != "HEAD"
    )
)


def test_the_table_has_every_reason_but_those_of_other_tests():
    met = {want for _, want in CASES.values() if isinstance(want, Reason)}
    # An untrusted peer and a revoked token have no place in this table.
    assert set(Reason) - met == {Reason.UNTRUSTED_PROXY, Reason.REVOKED}
    assert len(CASES) >= 60


@every_case
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "joined"])
async def test_the_engine(case: tuple[Asked, Want], raw: bool):
    asked, want = case
    request = to_request(check_request(asked, raw=raw))
    assert isinstance(request, Request)
    keys = Keys()
    keys.answers["other"] = Reason.KEYS_UNAVAILABLE
    door = authorizer(POLICY, keys)
    decision = await door.check(request, "none")
    match decision:
        case Allow():
            assert want == decision.server
            set_ = {name for name, _ in decision.headers}
            assert set_.isdisjoint(decision.remove)
            assert set_.union(decision.remove) >= set(IDENTITY_HEADERS)
        case Deny():
            assert want == decision.reason
        case Answer():
            assert want == decision.status


@every_case
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "joined"])
def test_the_grpc_door(doors: Doors, case: tuple[Asked, Want], raw: bool):
    asked, want = case
    reply = doors.check(check_request(asked, raw=raw))
    about = {name: value.string_value for name, value in reply.dynamic_metadata.fields.items()}
    assert reply.HasField("status")
    if isinstance(want, str) and not isinstance(want, Reason):
        assert reply.status.code == 0
        set_ = header_options(reply.ok_response.headers)
        removed = set(reply.ok_response.headers_to_remove)
        assert set_.keys().isdisjoint(removed)
        assert set_.keys() | removed >= set(IDENTITY_HEADERS)
        assert about["server"] == want
        return
    denied = reply.denied_response
    headers = header_options(denied.headers)
    assert reply.WhichOneof("http_response") == "denied_response"
    if isinstance(want, Reason):
        assert (about["reason"], reason_in(denied.body)) == (want.value, want.value)
        assert denied.status.code == STATUSES[want]
        _is_a_refusal(want, denied.status.code, headers)
    else:
        assert denied.status.code == want
        assert reply.status.code != 0
        assert bool(denied.body) == (want in (200, 404) and asked.method != "HEAD")
    assert reply.status.code == GRPC_CODES[denied.status.code]


@by_http
def test_nginx(doors: Doors, case: tuple[Asked, Want]):
    """200, 401 and 403 only; what else was wanted stands in two headers."""
    asked, want = case
    answer = doors.nginx(asked)
    assert answer.status in (200, 401, 403)
    if isinstance(want, int):
        want = Reason.NO_MATCHING_SERVER
    if _allowed(want, answer):
        return
    assert isinstance(want, Reason)
    status = int(answer.get("x-extauthz-status") or 0)
    body = answer.get("x-extauthz-body") or ""
    assert (status, reason_in(body)) == (STATUSES[want], want.value)
    assert body.isascii()
    assert len(body) <= 1024
    assert body.encode() == answer.body
    assert answer.status == (401 if status == 401 else 403)
    _is_a_refusal(want, status, dict(answer.headers))


@by_forwarder
def test_forward_auth(doors: Doors, case: tuple[Asked, Want]):
    asked, want = case
    _is_a_plain_verdict(doors.forward(asked), want)


@by_envoy_over_http
def test_envoys_http_flavour(doors: Doors, case: tuple[Asked, Want]):
    asked, want = case
    answer = doors.envoy(asked)
    _is_a_plain_verdict(answer, want)
    if answer.status == 200:
        set_ = {name for name, _ in answer.headers}
        removed = set((answer.get("x-envoy-auth-headers-to-remove") or "").split(","))
        assert set_.isdisjoint(removed)
        assert set_ | removed >= set(IDENTITY_HEADERS)


@by_http
def test_the_http_listener_itself_answers_documents_and_preflights_only(
    doors: Doors, case: tuple[Asked, Want]
):
    asked, want = case
    answer = doors.direct(Asked(asked.lines, asked.method, asked.target, asked.host))
    if not isinstance(want, int):
        assert answer.status == 404
        assert not any(name.startswith("x-auth-") for name, _ in answer.headers)
        return
    assert answer.status == want
    by_grpc = doors.check(check_request(asked)).denied_response
    assert answer.body.decode() == by_grpc.body
    assert header_options(by_grpc.headers).items() <= dict(answer.headers).items()


def _is_a_plain_verdict(answer: Response, want: Want) -> None:
    if isinstance(want, int):
        want = Reason.NO_MATCHING_SERVER
    if _allowed(want, answer):
        return
    assert isinstance(want, Reason)
    assert (answer.status, reason_in(answer.body)) == (STATUSES[want], want.value)
    assert answer.get("x-extauthz-body") is None
    _is_a_refusal(want, answer.status, dict(answer.headers))


def _allowed(want: Want, answer: Response) -> bool:
    if isinstance(want, Reason):
        return False
    assert answer.status == 200
    assert answer.body == b""
    if want != "audited":
        assert answer.get("x-auth-server") == want
    return True


def _is_a_refusal(reason: Reason, status: int, headers: dict[str, str]) -> None:
    """Contract, section 8: which refusals carry a challenge, and of which kind."""
    challenge = headers.get("www-authenticate", "")
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert ("retry-after" in headers) == (status == 503)
    if reason is Reason.MALFORMED_REQUEST:
        assert challenge == "" or 'error="invalid_request"' in challenge
    elif status == 401:
        assert challenge.startswith("Bearer ")
        assert ("error=" in challenge) == (reason is not Reason.MISSING_TOKEN)
        assert METADATA in challenge
    else:
        assert ("insufficient_scope" in challenge) == (reason is Reason.INSUFFICIENT_SCOPE)
        assert (challenge == "") == (reason is not Reason.INSUFFICIENT_SCOPE)

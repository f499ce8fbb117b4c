"""Whatever an edge does: few requests, in time, to nobody else, and the token is not told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection
from http.server import BaseHTTPRequestHandler

import pytest

from extauthz.config.compile import compile_policy
from extauthz.doctor.catalogue import Code
from extauthz.doctor.edge import Edge, Visitor, Wire
from extauthz.doctor.examine import PARTS, Part, examine
from extauthz.doctor.expectations import Expectations, expectations
from extauthz.doctor.findings import Report
from extauthz.doctor.telling import document, table
from tests.doctor.clinic import MOST_REQUESTS
from tests.doctor.odd_edges import edge, refused, say
from tests.generate.inventories import loaded

NOW = 1_800_000_000.0
TOKEN = "aaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbb.cccccccccccccccccccccccc"
OURS = b'{"error": "", "code": "INVALID_REQUEST", "reason": "malformed_request", "details": ""}'


def examined(
    port: int,
    *,
    timeout: float = 5.0,
    expected: Expectations | None = None,
    parts: Collection[Part] = PARTS,
) -> Report:
    where = Edge(url=f"http://127.0.0.1:{port}/notes/mcp", timeout=timeout)
    return examine(
        where, expected or Expectations(), now=NOW, token=TOKEN, echo_tool="get_me", parts=parts
    )


def codes(report: Report) -> set[Code]:
    return {finding.code for finding in report.findings}


def test_an_edge_that_repeats_what_it_gets_does_not_make_doctor_tell_the_token() -> None:
    def repeat(to: BaseHTTPRequestHandler) -> None:
        told = (to.headers.get("authorization") or "").removeprefix("Bearer ")
        result = {"headers": {"x-auth-subject": told, "authorization": told}}
        body = {"jsonrpc": "2.0", "id": 1, "result": result, "reason": told, "resource": told}
        say(to, 200, json.dumps(body).encode(), Access_Control_Allow_Origin=told)

    with edge(repeat) as (port, _):
        report = examined(port)
    assert Code.OPEN_WITHOUT_TOKEN in codes(report)
    assert Code.TOKEN_ARRIVES in codes(report)
    for told in (table(report), document(report)):
        assert not any(part in told for part in TOKEN.split("."))


def test_a_reason_that_is_none_is_not_told() -> None:
    def odd(to: BaseHTTPRequestHandler) -> None:
        say(to, 403, b'{"error": "", "reason": "\\u001b[2Jgo away"}')

    with edge(odd) as (port, _):
        report = examined(port)
    assert "go away" not in table(report) + document(report)


@pytest.mark.parametrize(
    ("body", "lost"),
    [(b"<h1>too large</h1>", True), (b'{"reason": "nothing_of_ours"}', True), (OURS, False)],
)
def test_a_long_token_is_lost_where_the_refusal_is_not_of_extauthz(body: bytes, lost: bool) -> None:
    def short(to: BaseHTTPRequestHandler) -> None:
        if len(to.headers.get("authorization") or "") > 10_000:
            say(to, 403, body)
        else:
            refused(to)

    with edge(short) as (port, _):
        report = examined(port, parts=["intruder"])
    assert (Code.LONG_TOKEN_LOST in codes(report)) is lost


@pytest.mark.parametrize(
    ("reason", "code"),
    [("no_matching_server", Code.NO_SERVER), ("untrusted_proxy", Code.UNTRUSTED_PROXY)],
)
def test_what_makes_all_else_pointless_is_the_only_finding(reason: str, code: Code) -> None:
    with edge(lambda to: say(to, 403, json.dumps({"reason": reason}).encode())) as (port, asked):
        report = examined(port)
    assert codes(report) == {code}
    assert len(asked) == 1


def test_an_edge_that_says_nothing_is_left_soon() -> None:
    """Silence is suffered a few times, not hundreds of times."""
    release = threading.Event()

    def silent_with_a_token(to: BaseHTTPRequestHandler) -> None:
        if to.headers.get("authorization") is None:
            refused(to)
        else:
            release.wait(10)

    with edge(silent_with_a_token) as (port, _):
        report = examined(port, timeout=0.1)
        release.set()
    assert Code.UNREACHABLE in codes(report)
    assert "5 requests got no answer in 0.1 s each" in table(report)
    assert report.requests < MOST_REQUESTS


def test_an_answer_without_an_end_is_left_in_time() -> None:
    release = threading.Event()

    def drip(to: BaseHTTPRequestHandler) -> None:
        to.send_response_only(401)
        to.end_headers()
        while not release.wait(0.02):
            to.wfile.write(b" ")
            to.wfile.flush()

    with edge(drip) as (port, _):
        where = Edge(url=f"http://127.0.0.1:{port}/notes/mcp", timeout=0.1)
        started = time.monotonic()
        report = examine(where, Expectations(), now=NOW, parts=["walk"])
        release.set()
    assert time.monotonic() - started < 30
    assert 0 < report.requests < 40


ANSWER = b'data: {"jsonrpc": "2.0", "id": 1, "result": {}}'
LEADS = {
    "nothing": b"",
    "a comment": b": ping\n\n",
    "an event without data": b"id: 1\nretry: 1000\ndata:\n\n",
    "a notification": b'data: {"jsonrpc": "2.0", "method": "notifications/message"}\n\n',
    "lines that end in CR LF": b"event: message\r\n",
}


def streamed(*parts: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """What sends these parts of a stream of events, and then nothing, without an end."""

    def answer(to: BaseHTTPRequestHandler) -> None:
        to.send_response_only(200)
        to.send_header("Content-Type", "text/event-stream")
        to.end_headers()
        for part in parts:
            to.wfile.write(part)
            to.wfile.flush()
        to.connection.settimeout(10)
        to.rfile.read(1)

    return answer


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("lead", LEADS.values(), ids=list(LEADS))
def test_of_a_stream_the_first_answer_is_waited_for_and_no_more(lead: bytes, end: bytes) -> None:
    with edge(streamed(lead, ANSWER[:20], ANSWER[20:], end)) as (port, _):
        where = Edge(url=f"http://127.0.0.1:{port}/mcp", timeout=20)
        visitor = Visitor(where)
        try:
            started = time.monotonic()
            for reply in (Wire(where).send("POST", "/mcp"), visitor.ask("POST", "/mcp")):
                assert reply.body == lead + ANSWER + end
            assert time.monotonic() - started < 10
        finally:
            visitor.close()


@pytest.mark.parametrize("lead", LEADS.values(), ids=list(LEADS))
def test_a_stream_without_an_answer_is_left_in_time(lead: bytes) -> None:
    with edge(streamed(lead)) as (port, _):
        where = Edge(url=f"http://127.0.0.1:{port}/mcp", timeout=0.2)
        assert Wire(where).send("POST", "/mcp").body == lead


def test_only_the_edge_and_the_issuers_of_its_metadata_are_asked() -> None:
    """Not what a challenge names: that could be anybody's."""

    def misleading(to: BaseHTTPRequestHandler) -> None:
        url = f"http://127.0.0.1:{other}/.well-known/oauth-protected-resource/notes/mcp"
        say(to, 401, b"{}", WWW_Authenticate=f'Bearer resource_metadata="{url}"')

    with edge(refused) as (other, asked), edge(misleading) as (port, _):
        report = examined(port)
    assert asked == []
    assert Code.METADATA_WRONG in codes(report)


def test_issuers_without_number_are_not_all_asked() -> None:
    with edge(lambda to: say(to, 404, b"")) as (issuer, asked):
        issuers = [f"http://127.0.0.1:{issuer}/{number}" for number in range(100)]

        def generous(to: BaseHTTPRequestHandler) -> None:
            if to.path.startswith("/.well-known"):
                say(to, 200, json.dumps({"authorization_servers": issuers}).encode())
            else:
                refused(to)

        with edge(generous) as (port, _):
            where = Edge(url=f"http://127.0.0.1:{port}/notes/mcp", timeout=5)
            examine(where, Expectations(), now=NOW, parts=["walk"])
    assert 20 <= len(asked) <= 80  # twenty issuers, each at four places


def test_many_servers_and_headers_do_not_mean_many_requests() -> None:
    def takes_all(to: BaseHTTPRequestHandler) -> None:
        refused(to) if to.headers.get("authorization") is None else say(to, 200, b"{}")

    with edge(takes_all) as (port, _):
        servers = [
            {
                "name": name,
                "resource": f"http://127.0.0.1:{port}/{name}/mcp",
                "match": {"hosts": ["*"], "paths": [f"/{name}"]},
                "forward": {"headers": {f"x-{name}-{n}": f"claim{n}" for n in range(40)}},
            }
            for name in ("notes", *(f"server{n}" for n in range(80)))
        ]
        config = {"version": 1, "issuers": [{"issuer": "https://i.example"}], "servers": servers}
        policy = compile_policy(loaded(config))
        report = examined(port, expected=expectations(policy, f"127.0.0.1:{port}", "/notes/mcp"))
    assert report.requests < 700


def test_an_edge_that_sends_elsewhere_is_not_followed() -> None:
    with edge(refused) as (other, asked):
        there = f"http://127.0.0.1:{other}/notes/mcp"
        with edge(lambda to: say(to, 308, b"", Location=there)) as (port, _):
            report = examined(port)
    assert asked == []
    assert f"308, to {there}" in " ".join(table(report).split())


ODD = [
    "http://[::1",
    "http://127.0.0.1:99999999/x y",
    "https://\u00e9\ud83d\ude00.example/\u00e9",
    "not a url",
    "http://\r\nX-Injected: yes",
    17,
    None,
    [["deep"]],
    {},
]


@pytest.mark.parametrize("odd", ODD)
def test_odd_values_are_findings_and_no_failures(odd: object) -> None:
    told = odd if isinstance(odd, str) else str(odd)
    header = told.encode("latin-1", "replace").decode("latin-1").replace("\r\n", " ")

    def answer(to: BaseHTTPRequestHandler) -> None:
        if "oauth-protected-resource" in to.path:
            names = {"resource": odd, "authorization_servers": [odd, told], "scopes_supported": odd}
            say(to, 200, json.dumps(names).encode())
        elif to.headers.get("authorization") is None:
            body = json.dumps({"reason": odd, "error": odd}).encode()
            say(to, 401, body, WWW_Authenticate=f'Bearer resource_metadata="{header}"')
        else:
            headers = {f"x-auth-{told}": odd, "x-auth-subject": odd}
            result = {"protocolVersion": odd, "headers": headers, "more": odd}
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()
            say(to, 200, body, Mcp_Session_Id=header)

    with edge(answer) as (port, _):
        report = examined(port)
    assert Code.METADATA_WRONG in codes(report)
    assert all(line.isprintable() for line in table(report).splitlines())
    json.loads(document(report))

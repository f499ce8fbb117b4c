"""Questions that come again: the same answer as to the first, for as long as that one holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from extauthz._pb.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.adapters import recurring
from extauthz.adapters.check_words import CheckWords
from extauthz.adapters.envoy import MCP_NAMESPACE
from extauthz.adapters.grpc_door import CheckServicer
from extauthz.adapters.http_door import HttpDoor
from extauthz.adapters.http_message import HttpRequest, HttpResponse
from extauthz.adapters.recurring import FLEETING, LONGEST, MOST_FLEETING
from extauthz.adapters.trust import TrustedPeers
from extauthz.authorizer import Authorizer
from extauthz.core.engine import Engine
from extauthz.core.keyset import parse_key_set
from extauthz.core.model import Allow, Reason, Request
from tests.adapters.doors import LOOPBACK, Asked, Keys, Observer, check_request
from tests.policies import ORIGIN, SERVERS, compiled, document, policy_for_tests
from tests.tokens import NOW, jwks, mint, signer

PEER = "127.0.0.1"
CALCULATOR = "https://mcp.example.com/calculator/mcp"
CALL = {"is_mcp_request": True, "method": "tools/call"}
STREAM = {
    "name": "stream",
    "resource": "https://mcp.example.com/stream/mcp",
    "issuers": ["corp"],
    "forward": {"token": "keep", "stream_lease": "token"},
}


class Place:
    """An authorizer with a clock that can be set, and how often it judged a request."""

    def __init__(self) -> None:
        self.now = float(NOW)
        self.keys, self.observer = Keys(), Observer()
        self.authorizer = Authorizer(
            Engine(compiled(document(servers=[*SERVERS, STREAM]))),
            self.keys,
            self.observer,
            wall=lambda: self.now,
            monotonic=lambda: 5.0,
        )
        self.judged = 0
        check_now = self.authorizer.check_now

        def counted(request: Request, transport: str) -> Any:
            self.judged += 1
            return check_now(request, transport)

        self.authorizer.check_now = counted  # type: ignore[method-assign]

    def replace_engine(self, **changes: Any) -> None:
        """As a reload does."""
        self.authorizer.engine = Engine(policy_for_tests(**changes), self.authorizer.engine)


class ByGrpc(Place):
    """Envoy's gRPC door; each check tells another time and another connection."""

    def __init__(self) -> None:
        super().__init__()
        self.servicer = CheckServicer(self.authorizer)
        self._asked = 0

    def message(self, asked: Asked) -> CheckRequest:
        message = check_request(asked)
        self._asked += 1
        message.attributes.request.time.seconds = self._asked
        message.attributes.request.http.id = str(self._asked)
        message.attributes.source.address.socket_address.port_value = self._asked
        return message

    def send(self, data: bytes) -> CheckResponse:
        answered = self.servicer.answer(data, lambda: None)
        if isinstance(answered, Request):
            answered = asyncio.run(self.servicer.wait(answered, None))
        return CheckResponse.FromString(answered)

    def ask(self, asked: Asked) -> CheckResponse:
        return self.send(self.message(asked).SerializeToString())

    def allows(self, asked: Asked) -> bool:
        return self.ask(asked).status.code == 0


class ByHttp(Place):
    """nginx's door, behind a connection that hands on what it read."""

    def __init__(self) -> None:
        super().__init__()
        self.door = HttpDoor(self.authorizer, TrustedPeers(LOOPBACK))

    @staticmethod
    def raw(asked: Asked) -> bytes:
        told = (
            ("X-Original-URI", asked.target),
            ("X-Original-Method", asked.method),
            ("X-Original-Host", asked.host),
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in (*told, *asked.lines))
        return f"GET /auth/nginx HTTP/1.1\r\nHost: extauthz\r\n{lines}\r\n".encode("latin-1")

    def send(self, raw: bytes, asked: Asked, peer: str | None = PEER) -> HttpResponse:
        known = self.door.again(raw, peer)
        if known is not None:
            return known
        headers = {
            "host": "extauthz",
            "x-original-uri": asked.target,
            "x-original-method": asked.method,
            "x-original-host": asked.host,
            **{name.lower(): value for name, value in asked.lines},
        }
        answer = self.door(HttpRequest("GET", "/auth/nginx", headers, peer=peer, raw=raw))
        return answer if isinstance(answer, HttpResponse) else asyncio.run(_wait(answer))

    def ask(self, asked: Asked, peer: str | None = PEER) -> HttpResponse:
        return self.send(self.raw(asked), asked, peer)

    def allows(self, asked: Asked) -> bool:
        return self.ask(asked).status == 200


async def _wait(answer: Awaitable[HttpResponse]) -> HttpResponse:
    return await answer


def _entry(name: bytes, value: bytes) -> bytes:
    return _field(1, _field(1, name) + _field(2, value))


def _text(text: bytes) -> bytes:
    return _field(3, text)


def _field(number: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + content


Door = ByGrpc | ByHttp


@pytest.fixture(params=[ByGrpc, ByHttp])
def door(request: pytest.FixtureRequest) -> Door:
    made: Door = request.param()
    return made


def good(**changes: Any) -> Asked:
    token = mint({"scope": "notes calculator", **changes})
    return Asked((("Authorization", f"Bearer {token}"), ("Accept", "application/json")))


def looked_for(door: Door) -> Any:
    """The fleeting headers that it has noticed."""
    memory: Any = door.servicer._recurring if isinstance(door, ByGrpc) else door.door._recurring
    return memory._words._marks


def known(door: Door, asked: Asked, times: int = 4) -> Asked:
    """Ask until the question is one that is known, and see that it is."""
    for _ in range(times):
        assert door.allows(asked)
    before = door.judged
    assert door.allows(asked)
    assert door.judged == before
    return asked


def is_judged(door: Door, asked: Asked, *, allowed: bool, times: int = 4) -> None:
    """Each time it comes, not only once."""
    for _ in range(times):
        before = door.judged
        assert door.allows(asked) is allowed
        assert door.judged == before + 1


# ---- what is remembered, and what comes of it


def test_a_question_that_comes_again_is_answered_as_before_and_told_of(door: Door):
    asked = good()
    first = door.ask(asked)
    known(door, asked)
    assert door.ask(asked) == first
    requests = [request for request, _, _ in door.observer.told]
    assert all(isinstance(request, Request) for request in requests)
    texts = [(one.method, one.host, one.target, "accept" in one.headers) for one in requests if one]
    assert set(texts) == {("POST", "mcp.example.com", "/notes/mcp", True)}
    assert len({id(decision) for _, decision, _ in door.observer.told[-3:]}) == 1


def test_what_comes_once_takes_no_place(door: Door):
    asked = good()
    for _ in range(2):
        assert door.allows(asked)  # verified; then seen for the first time with a known token
    before = door.judged
    assert door.allows(asked)
    assert door.judged == before + 1
    assert door.allows(asked)
    assert door.judged == before + 1


def test_hits_are_counted_as_hits_of_the_memory_for_tokens(door: Door):
    asked = known(door, good())
    before = door.authorizer.engine.cache.hits
    door.allows(asked)
    assert door.authorizer.engine.cache.hits == before + 1


def test_no_credentials_are_kept(door: Door):
    asked = known(door, replace(good(), target="/notes/mcp?key=secret"))
    token = asked.lines[0][1].removeprefix("Bearer ")
    memory = door.servicer._recurring if isinstance(door, ByGrpc) else door.door._recurring
    [kept] = memory._known._kept.values()
    assert token not in repr(kept.precedent.request)
    assert "secret" not in repr(kept.precedent.request)
    assert token.encode() not in b"".join((*memory._known._kept, *memory._seen))
    assert kept.precedent.request.headers["authorization"] == ""


def test_no_other_value_is_kept_but_those_that_a_line_in_the_log_is_made_of(door: Door):
    names = ("Cookie", "X-Api-Key", "Mcp-Session-Id", "Anything", "Baggage", "Tracestate")
    shown = ("Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version", "X-Request-Id", "Traceparent")
    lines = [*((name, "secret") for name in names), *((name, name) for name in shown)]
    known(door, good().plus(*lines), times=8)
    memory = door.servicer._recurring if isinstance(door, ByGrpc) else door.door._recurring
    [kept] = memory._known._kept.values()
    assert "secret" not in repr(kept.precedent.request)
    assert kept.precedent.request.headers.keys() > {name.lower() for name in names}
    assert all(kept.precedent.request.headers[name.lower()] == name for name in shown)
    assert kept.precedent.request.headers["anything"] == ""


# ---- what changes by itself


def test_it_is_refused_once_the_token_has_expired(door: Door):
    asked = known(door, good())  # expires at NOW + 300, and the issuer has a leeway of 30 s
    before = door.judged
    door.now = NOW + 329.5
    assert door.allows(asked)
    assert door.judged == before
    door.now = NOW + 330.0
    is_judged(door, asked, allowed=False, times=2)


def test_it_is_refused_before_the_token_is_valid_where_the_clock_was_set_back(door: Door):
    asked = known(door, good(nbf=NOW))
    before = door.judged
    door.now = NOW - 30.0
    assert door.allows(asked)
    assert door.judged == before
    door.now = NOW - 30.5
    is_judged(door, asked, allowed=False, times=2)


def test_it_is_refused_once_its_key_is_gone(door: Door):
    asked = known(door, good())
    rotated = parse_key_set(jwks(signer("ES256"), signer("RS256")))
    door.keys.sets = {**door.keys.sets, "corp": rotated}
    assert door.allows(asked)
    door.keys.sets = {**door.keys.sets, "corp": parse_key_set(jwks(signer("RS256")))}
    assert not door.allows(asked)


def test_it_is_refused_once_the_issuer_has_no_usable_keys(door: Door):
    asked = known(door, good())
    door.keys.sets = {name: kept for name, kept in door.keys.sets.items() if name != "corp"}
    assert not door.allows(asked)


def test_another_configuration_judges_it_anew(door: Door):
    asked = known(door, good())
    door.replace_engine()
    before = door.judged
    assert door.allows(asked)
    assert door.judged == before + 1
    known(door, asked)
    stricter = [{**SERVERS[0], "scopes": ["notes", "more"]}, *SERVERS[1:]]
    door.replace_engine(servers=stricter)
    is_judged(door, asked, allowed=False)


def test_nothing_is_kept_of_a_configuration_that_was_replaced(door: Door):
    asked, other = known(door, good()), known(door, good(sub="other"))
    memory = door.servicer._recurring if isinstance(door, ByGrpc) else door.door._recurring
    assert len(memory._known) == 2
    door.replace_engine()
    known(door, asked)
    assert len(memory._known) == 1
    known(door, other)


def test_a_failure_judges_it_anew(door: Door, monkeypatch: pytest.MonkeyPatch):
    asked = known(door, good())

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("of the test")

    monkeypatch.setattr(Engine, "still", broken)
    is_judged(door, asked, allowed=True)


# ---- what is another question


@pytest.mark.parametrize(
    "other",
    [
        lambda asked: asked.plus(("X_Auth_Subject", "root")),
        lambda asked: asked.plus(("X-Auth-Role", "root")),
        lambda asked: replace(asked, target="/calculator/mcp"),
        lambda asked: replace(asked, target="/notes/other"),
        lambda asked: replace(asked, host="mcp.example.com:443"),
        lambda asked: replace(asked, method="GET"),
        lambda asked: replace(asked, lines=asked.lines[::-1]),
        lambda asked: replace(asked, lines=(asked.lines[0], ("Accept", "text/event-stream"))),
    ],
)
def test_a_question_in_other_words_is_judged(door: Door, other: Callable[[Asked], Asked]):
    asked = known(door, good())
    before = door.judged
    door.ask(other(asked))
    assert door.judged == before + 1


@pytest.mark.parametrize("target", ["/notes/mcp", "/calculator/mcp"])
def test_without_the_token_it_is_refused(door: Door, target: str):
    asked = known(door, replace(good(), target="/notes/mcp"))
    is_judged(door, replace(asked, lines=asked.lines[1:], target=target), allowed=False)


def test_another_token_is_another_question(door: Door):
    known(door, good())
    is_judged(door, good(exp=NOW - 100), allowed=False)
    asked = good(sub="somebody-else")
    known(door, asked)
    assert "somebody-else" in str(door.ask(asked))


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        (good().plus(("Origin", ORIGIN)), True),
        (replace(good(), target="/notes/health"), True),
        (replace(good(aud=STREAM["resource"]), target="/stream/mcp"), True),
        (replace(good(), target="/audited/mcp"), True),
        (replace(good(), target="/calculator/mcp"), False),
    ],
    ids=["of a browser", "public", "with a lease", "audited", "without a source for the call"],
)
def test_an_answer_that_depends_on_more_than_the_token_is_made_each_time(
    door: Door, asked: Asked, allowed: bool
):
    is_judged(door, asked, allowed=allowed)


def test_without_a_memory_for_tokens_there_is_none_for_questions(door: Door):
    door.replace_engine(tokens={"cache_entries": 0})
    is_judged(door, good(), allowed=True)


def test_with_a_body_it_is_judged_each_time(door: Door):
    if isinstance(door, ByGrpc):
        is_judged(door, replace(good(), body=b"{}"), allowed=True)
        is_judged(door, replace(good(), body=b""), allowed=True)


def test_a_call_that_is_told_is_judged_each_time():
    door, asked = ByGrpc(), replace(good(aud=CALCULATOR), target="/calculator/mcp")
    for _ in range(4):
        assert door.allows(replace(asked, mcp=CALL | {"params": {"name": "mul"}}))
        assert not door.allows(replace(asked, mcp=CALL | {"params": {"name": "danger_x"}}))


@pytest.mark.parametrize("more", [0, 1])
def test_a_long_question_is_judged_each_time(door: Door, more: int):
    asked, length = good(), 0
    for _ in range(3):
        asked = replace(asked, lines=(*asked.lines[:2], ("User-Agent", "a" * length)))
        data = door.message(asked).SerializeToString() if isinstance(door, ByGrpc) else b""
        length += LONGEST + more - len(data or ByHttp.raw(asked))
    if more:
        is_judged(door, asked, allowed=True)
    else:
        known(door, asked)


@pytest.mark.parametrize("more", [0, 1])
def test_a_question_with_many_headers_is_judged_each_time(door: Door, more: int):
    names = [f"h{number}" for number in range(64 + more - 2)]
    asked = good().plus(*((name, "") for name in names))
    if more:
        is_judged(door, asked, allowed=True)
    else:
        known(door, asked)


def test_a_question_with_a_lookalike_is_judged_each_time(door: Door):
    # Envoy removes it on our word; behind nginx it refuses the request.
    is_judged(door, good().plus(("X_Auth_Subject", "root")), allowed=isinstance(door, ByGrpc))


def test_what_was_known_is_learned_anew_once_a_header_more_is_left_out(door: Door):
    asked = known(door, good())
    assert door.allows(fleeting(good(), "x-request-id", 1))  # verified in its turn
    one = good()
    for number in range(2):
        assert door.allows(fleeting(one, "x-request-id", number))
    before = door.judged
    assert door.allows(asked)
    assert door.judged == before + 1


def test_a_caller_who_is_refused_is_refused_alike_each_time(door: Door):
    asked = good(scope="nothing")
    first = door.ask(asked)
    for _ in range(4):
        assert door.ask(asked) == first
    assert {getattr(told, "reason", None) for _, told, _ in door.observer.told} == {
        Reason.INSUFFICIENT_SCOPE
    }


# ---- headers that differ from request to request


def fleeting(asked: Asked, name: str, number: int) -> Asked:
    return asked.plus((name, f"value-{number:04}"))


@pytest.mark.parametrize("name", sorted(FLEETING))
def test_fleeting_headers_make_no_other_question_and_are_told_of(door: Door, name: str):
    asked = good()
    for number in range(5):
        assert door.allows(fleeting(asked, name, number))
    before = door.judged
    for number in (5, 6):
        assert door.allows(fleeting(asked, name, number))
        request, _, _ = door.observer.told[-1]
        assert request is not None
        assert request.headers[name] == f"value-{number:04}"
    assert door.judged == before


def test_at_most_so_many_fleeting_headers_are_looked_for(door: Door):
    names, one = sorted(FLEETING), good()

    def asked(number: int, names: list[str]) -> Asked:
        return one.plus(*((name, f"{number:04}") for name in names))

    for number in range(MOST_FLEETING + 4):
        door.allows(asked(number, names[:MOST_FLEETING]))
    before = door.judged
    door.allows(asked(99, names[:MOST_FLEETING]))
    assert door.judged == before
    is_judged(door, asked(100, names[: MOST_FLEETING + 1]), allowed=True, times=1)
    is_judged(door, asked(101, names[: MOST_FLEETING + 1]), allowed=True, times=1)
    assert len(looked_for(door)) == MOST_FLEETING


def test_how_long_the_content_is_makes_no_other_check():
    door, asked = ByGrpc(), good()
    for number in range(5):
        door.allows(asked.plus(("Content-Length", f"{100 + number}")))
    before = door.judged
    assert door.allows(asked.plus(("Content-Length", "999")))
    assert door.judged == before


def test_the_trace_context_of_the_call_is_told():
    door, asked = ByGrpc(), good()
    known(door, asked)
    for data in (door.message(asked), door.message(asked.plus(("x-request-id", "1")))):
        for _ in range(4):
            door.servicer.answer(data.SerializeToString(), lambda: "of the call")
        request, _, _ = door.observer.told[-1]
        assert request is not None
        assert request.traceparent is not None
        assert request.traceparent() == "of the call"


def test_a_question_with_a_header_in_several_lines_is_judged_each_time():
    door = ByGrpc()
    is_judged(door, good().plus(("Accept", "a"), ("Accept", "b")), allowed=True)


def test_nothing_of_the_first_call_stays_with_what_is_kept(door: Door):
    known(door, good())
    memory = door.servicer._recurring if isinstance(door, ByGrpc) else door.door._recurring
    [kept] = memory._known._kept.values()
    first = kept.precedent.request
    assert first.traceparent is None
    assert kept.recurs(()).request() is first
    assert kept.recurs([("a", b"b")]).request().headers == {**first.headers, "a": "b"}


def test_a_line_of_that_name_more_is_another_question(door: Door):
    asked = good()
    for number in range(6):
        door.allows(fleeting(asked, "x-request-id", number))
    twice = fleeting(fleeting(asked, "x-request-id", 1), "x-request-id", 2)
    before = door.judged
    door.ask(twice)
    assert door.judged == before + 1


# ---- checks that no Envoy sends


def test_a_check_whose_texts_hold_control_characters_is_judged_each_time():
    door = ByGrpc()
    for text in ("\n", "\x7f", "\n\x0cx-request-id\x1a\x04abcd"):
        is_judged(door, good().plus(("X-Other", text)), allowed=True)
    is_judged(
        door, replace(good(), target="/notes/mcp", host="mcp.example.com"), allowed=True, times=1
    )


@pytest.mark.parametrize("name", ["\n\x02b3\x1a\x05AAAAA", "\n\x02b3\x1a"])
def test_what_a_proxy_says_besides_may_look_like_a_header_line(name: str):
    door, asked = ByGrpc(), good()
    for number in range(2):
        door.allows(fleeting(asked, "b3", number))

    def calling(name: str) -> Asked:
        return replace(asked, mcp=CALL | {"params": {"name": name}})

    is_judged(door, calling(name), allowed=True)
    is_judged(door, calling(name.replace("A", "B")), allowed=True)
    is_judged(door, replace(asked, server=name), allowed=False)


def test_a_value_that_looks_like_another_header_line_makes_no_check_known():
    """What is left out of it, and what is left out then, would hide the line that follows."""
    door, bearer = ByGrpc(), good().lines[0][1].encode()

    def checked(*lines: tuple[bytes, bytes]) -> bytes:
        entries = b"".join(_field(1, _field(1, name) + _field(3, value)) for name, value in lines)
        message = CheckRequest()
        http = message.attributes.request.http
        http.method, http.path, http.host = "POST", "/notes/mcp", "mcp.example.com"
        http.header_map.MergeFromString(entries)
        return message.SerializeToString()

    tail = (b"x-tail", b"z" * 28)
    entry = _field(1, _field(1, tail[0]) + _field(3, tail[1]))
    hidden = (b"x_auth_subject", b"R" * 20)
    assert len(entry) == len(_field(1, _field(1, hidden[0]) + _field(3, hidden[1]))) == 40
    ids = (b"authorization", bearer), (b"x-request-id", b"r" * 60)
    for _ in range(6):
        door.send(checked(*ids, (b"traceparent", b"t" * 40), tail))
    assert looked_for(door)
    seeming = b"rrrrr\n\x0btraceparent\x1a\x28".ljust(60, b"b")
    crafted = checked(ids[0], (b"x-request-id", seeming), hidden, (b"traceparent", entry))
    for _ in range(4):
        before = door.judged
        assert "x_auth_subject" in door.send(crafted).ok_response.headers_to_remove
        assert door.judged == before + 1


def test_a_denied_call_is_denied_whatever_it_looks_like():
    """The outline of an answer to a server, and a call, that differ where a value is left out."""
    lenient = {**SERVERS[1], "unverified_calls": "allow_without_rules"}
    door, asked = ByGrpc(), replace(good(aud=CALCULATOR), target="/calculator/mcp")
    door.replace_engine(servers=[lenient])
    for number in range(2):
        assert door.allows(fleeting(asked, "b3", number))
    response = _entry(b"method", _text(b"__jsonrpc_response"))
    call = _entry(b"method", _text(b"tools/call")) + _entry(
        b"params", _field(5, _entry(b"name", _text(b"danger_x")))
    )
    filling = _entry(b"z", _text(b"z" * (len(call) - len(response) - 9)))
    assert len(call) == len(response + filling)

    def checked(said: bytes) -> bool:
        told = _entry(b"is_mcp_request", b"\x20\x01")
        told += _entry(b"id", _text(b"\n\x02b3\x1a%c" % len(said))) + said
        metadata = _field(1, _field(1, MCP_NAMESPACE.encode()) + _field(2, told))
        attributes = _field(11, metadata)
        data = door.message(asked).SerializeToString() + _field(1, attributes)
        return door.send(data).status.code == 0

    for _ in range(4):
        assert checked(response + filling)
    assert not checked(call)


@pytest.mark.parametrize(
    "line",
    [
        _field(1, b"b3") + _field(3, b"old") + _field(3, b"new"),
        _field(3, b"new") + _field(1, b"b3"),
        _field(1, b"x-other") + _field(1, b"b3") + _field(3, b"new"),
    ],
)
def test_header_lines_that_are_written_as_nobody_writes_them_are_judged_each_time(line: bytes):
    door, asked = ByGrpc(), good()
    for number in range(2):
        door.allows(fleeting(asked, "b3", number))
    data = door.message(asked).SerializeToString()
    data += _field(1, _field(4, _field(2, _field(13, _field(1, line)))))
    for _ in range(4):
        before = door.judged
        assert door.send(data).status.code == 0
        assert door.judged == before + 1
        request, _, _ = door.observer.told[-1]
        assert request is not None
        assert request.headers["b3"] == "new"


def test_a_header_that_is_told_twice_in_one_map_is_judged_each_time():
    door, asked = ByGrpc(), good()
    for number in range(2):
        door.allows(fleeting(asked, "b3", number))
    message = check_request(asked, raw=False)
    last = message.SerializeToString()
    hidden = b"\n\x02b3\x1a\x05AAAAA"
    first = _field(1, _field(4, _field(2, _field(3, _field(1, b"accept") + _field(2, hidden)))))
    for _ in range(4):
        before = door.judged
        assert door.send(first + last).status.code == 0
        assert door.judged == before + 1


def test_headers_that_are_told_in_both_forms_must_be_the_same_each_time():
    door, asked = ByGrpc(), good()

    def told(one: str, other: str) -> bytes:
        message = door.message(fleeting(asked, "b3", 1).plus(("x-request-id", one)))
        message.attributes.request.http.headers["authorization"] = asked.lines[0][1]
        message.attributes.request.http.headers["x-request-id"] = other
        return message.SerializeToString()

    for _ in range(6):
        assert door.send(told("1", "1")).status.code == 0
    assert door.send(told("2", "1")).status.code != 0


def test_header_lines_that_come_in_two_parts_are_another_question():
    door, asked = known_by_grpc()
    data = door.message(asked).SerializeToString()
    other = CheckRequest()
    other.attributes.request.http.header_map.headers.add(key="x_auth_subject", raw_value=b"root")
    before = door.judged
    reply = door.send(other.SerializeToString() + data)
    assert door.judged == before + 1
    assert "x_auth_subject" in reply.ok_response.headers_to_remove


def known_by_grpc() -> tuple[ByGrpc, Asked]:
    door = ByGrpc()
    return door, known(door, good())


def test_a_part_of_a_message_that_cannot_be_read_is_malformed():
    door, asked = known_by_grpc()
    before = len(door.observer.told)
    data = door.message(asked).SerializeToString()
    assert door.send(data[:-1]).status.code != 0
    assert door.send(b"\xff").status.code != 0
    assert len(door.observer.told) == before + 2


def test_what_no_decision_reads_is_not_read_of_a_check_that_is_known():
    """Though it be no text, for which a check is refused that is not known."""
    door, asked = known_by_grpc()
    message = door.message(asked)
    message.attributes.request.http.scheme = "https"
    odd = message.SerializeToString().replace(b"https", b"htt\xffs", 1)
    judged = door.judged
    assert door.send(odd).status.code == 0
    assert door.judged == judged
    assert ByGrpc().send(odd).status.code != 0


# ---- heads, and peers


def test_only_the_headers_of_the_request_itself_are_noticed():
    door, asked = ByHttp(), good()
    raw = door.raw(asked) + door.raw(fleeting(asked, "b3", 1))
    for _ in range(3):
        assert door.send(raw, asked).status == 200
    assert not looked_for(door)


def test_a_peer_is_a_part_of_the_question():
    door = ByHttp()
    asked = known(door, good())
    before = door.judged
    for peer in ("127.0.0.2", "192.0.2.1", None):
        assert (door.ask(asked, peer).status == 200) is (peer == "127.0.0.2")
    assert door.judged == before + 1


@pytest.mark.parametrize(
    ("trusted", "other"), [("fd00::1", "::1"), ("127.0.0.1", "7.0.0.1"), ("127.0.0.1", None)]
)
def test_where_a_head_ends_and_its_peer_begins_is_clear(trusted: str, other: str | None):
    door = ByHttp()
    door.door.trust(TrustedPeers([ip_network("fd00::/8"), *LOOPBACK]))
    asked = good()
    for _ in range(4):
        assert door.ask(asked, trusted).status == 200
    raw = door.raw(asked)
    assert door.door.again(raw, trusted) is not None
    assert door.door.again(raw + trusted.removesuffix(other or "").encode(), other) is None


def test_a_peer_that_is_no_longer_trusted_is_refused():
    door = ByHttp()
    asked = known(door, good())
    door.door.trust(TrustedPeers([ip_network("192.0.2.0/24")]))
    assert not door.allows(asked)


# ---- bounds


def test_of_many_questions_those_used_last_are_known(door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recurring, "_MAX_KNOWN", 2)
    monkeypatch.setattr(recurring, "_TURNS", 1)
    door = type(door)()
    first, second, third = (known(door, good(sub=str(number))) for number in range(3))
    before = door.judged
    assert door.allows(second)
    assert door.allows(third)
    assert door.judged == before
    assert door.allows(first)
    assert door.judged == before + 1


def test_a_check_with_a_header_in_several_lines_costs_no_more_than_to_judge_it(
    monkeypatch: pytest.MonkeyPatch,
):
    door, looked_into = ByGrpc(), []
    monkeypatch.setattr(Engine, "standing", lambda *_: looked_into.append(1))
    is_judged(door, good().plus(("Accept", "text/event-stream")), allowed=True)
    assert not looked_into


def test_questions_that_take_turns_do_not_drive_each_other_out(
    door: Door, monkeypatch: pytest.MonkeyPatch
):
    """As many as are remembered and one more: that one is judged, and most others are known."""
    monkeypatch.setattr(recurring, "_MAX_KNOWN", 2)
    door = type(door)()
    turns = [good(sub=str(number)) for number in range(3)]
    for _ in range(4):
        assert all(map(door.allows, turns))
    before = door.judged
    for _ in range(20):
        assert all(map(door.allows, turns))
    assert door.judged < before + 40


def test_a_question_that_goes_on_coming_takes_the_place_of_another(
    door: Door, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recurring, "_MAX_KNOWN", 2)
    door = type(door)()
    first, second = (known(door, good(sub=str(number))) for number in range(2))
    known(door, good(sub="more"), times=18)
    known(door, second, times=0)
    before = door.judged
    assert door.allows(first)
    assert door.judged == before + 1


def test_questions_that_came_once_are_forgotten_all_together(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recurring, "_MAX_SEEN", 2)
    memory: recurring.Recurring[bytes] = recurring.Recurring(CheckWords())
    assert [memory._came_before(name) for name in (b"a", b"b", b"a", b"b")] == [0, 0, 1, 1]
    assert [memory._came_before(name) for name in (b"c", b"a", b"c")] == [0, 0, 1]


@pytest.mark.parametrize(
    "asked",
    [
        Asked(target="/notes/health"),
        Asked(target="/audited/mcp"),
        good().plus(("Origin", ORIGIN)),
        replace(good(aud=STREAM["resource"]), target="/stream/mcp"),
    ],
    ids=["public", "audited", "of a browser", "with a lease"],
)
def test_questions_that_are_never_known_leave_nothing_behind(door: Door, asked: Asked):
    for number in range(4):
        assert door.allows(fleeting(asked, "x-request-id", number))
    asking = door.servicer if isinstance(door, ByGrpc) else door.door
    assert not asking._recurring._seen
    assert not looked_for(door)


def test_an_answer_of_another_caller_is_no_answer_to_a_request():
    door = ByGrpc()
    known(door, good())
    engine = door.authorizer.engine
    request = Request(method="POST", host="mcp.example.com", target="/notes/mcp",
                      headers={"authorization": good().lines[0][1]})  # fmt: skip
    allow = engine.decide(request, door.keys.sets, now=NOW)
    assert isinstance(allow, Allow)
    assert engine.standing(request, allow) is not None
    assert engine.standing(request, replace(allow)) is None
    assert engine.standing(replace(request, headers={}), allow) is None
    assert engine.standing(replace(request, target="/nowhere"), allow) is None
    assert engine.standing(replace(request, target="/audited/mcp"), allow) is None
    unknown = {"authorization": good(sub="unknown").lines[0][1]}
    assert engine.standing(replace(request, headers=unknown), allow) is None

"""A door that remembers questions answers as one that has never seen any.

Whatever comes, in whatever order, while time passes, keys rotate and the configuration changes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.adapters.grpc_door import CheckServicer
from extauthz.adapters.http_door import HttpDoor
from extauthz.adapters.http_host import HttpLimits
from extauthz.adapters.http_message import HttpHandler, HttpRecall, HttpResponse
from extauthz.adapters.http_protocol import HttpConnection
from extauthz.adapters.trust import TrustedPeers
from extauthz.authorizer import Authorizer
from extauthz.core.engine import Engine
from extauthz.core.keyset import parse_key_set
from extauthz.telemetry.counts import DecisionCounts
from extauthz.telemetry.decision_log import DecisionLog, LineStyle
from extauthz.telemetry.formats import FORMATS
from extauthz.telemetry.log_pipe import Line, ReadyLine
from extauthz.telemetry.observer import DecisionObserver
from tests.adapters.doors import LOOPBACK, Asked, Keys, Observer, check_request
from tests.policies import ORIGIN, SERVERS, engine_for_tests, key_sets
from tests.tokens import NOW, jwks, mint, signer

_TOKENS = [
    mint({"scope": "notes"}),
    mint({"scope": "notes", "sub": "other", "exp": NOW + 60}),
    mint({"scope": "nothing"}),
    mint({"scope": "calculator", "aud": "https://mcp.example.com/calculator/mcp"}),
]
_AUTHORIZATION = st.sampled_from([*(f"Bearer {token}" for token in _TOKENS), "Basic x"])
_LINES = st.lists(
    st.one_of(
        st.tuples(st.just("Authorization"), _AUTHORIZATION),
        st.tuples(st.just("X-Request-Id"), st.sampled_from(["1", "22", "", "x" * 130])),
        st.tuples(st.just("traceparent"), st.sampled_from(["1", "2"])),
        st.tuples(st.just("Content-Length"), st.sampled_from(["0", "1"])),
        st.tuples(st.just("X_Auth_Subject"), st.just("root")),
        st.tuples(st.just("Origin"), st.sampled_from([ORIGIN, "https://evil.example"])),
        st.tuples(st.just("Mcp-Method"), st.just("tools/call")),
        st.tuples(st.just("Mcp-Protocol-Version"), st.just("2026-07-28")),
    ),
    max_size=2,
)
_ASKED = st.builds(
    lambda authorization, lines, method, target: Asked(
        (("Authorization", authorization), *lines), method, target
    ),
    _AUTHORIZATION,
    _LINES,
    st.sampled_from(["POST", "POST", "GET"]),
    st.sampled_from(
        ["/notes/mcp", "/notes/mcp?a=b", "/calculator/mcp", "/audited/mcp", "/notes/health"]
    ),
)  # fmt: skip
_USUAL = Asked((("Authorization", f"Bearer {_TOKENS[0]}"), ("X-Request-Id", "1")))
_KEYS = [
    key_sets(),
    {**key_sets(), "corp": parse_key_set(jwks(signer("RS256")))},
    {name: keys for name, keys in key_sets().items() if name != "corp"},
]
_STRICTER = [{**SERVERS[0], "scopes": ["notes", "more"]}, *SERVERS[1:]]
_ENGINES = [engine_for_tests(), engine_for_tests(servers=_STRICTER)]
# What is asked, how often in a row, and how the world is then.
_STEPS = st.tuples(
    st.integers(0, 1),
    st.sampled_from([1, 4]),
    st.sampled_from([NOW, NOW, NOW, NOW + 100, NOW + 10_000]),
    st.sampled_from([0, 0, 0, 0, 1, 2]),
    st.sampled_from([0, 0, 1]),
)
_EXAMPLES = int(os.environ.get("EXTAUTHZ_EXAMPLES", "100"))


class World:
    """What both doors have in common."""

    def __init__(self) -> None:
        self.now, self.keys = float(NOW), Keys()

    def authorizer(self, engine: Engine) -> Authorizer:
        return Authorizer(
            engine, self.keys, Observer(), wall=lambda: self.now, monotonic=lambda: 5.0
        )


def over_grpc(servicer: CheckServicer, asked: Asked, traceparent: str | None = None) -> bytes:
    answered = servicer.answer(check_request(asked).SerializeToString(), lambda: traceparent)
    return answered if isinstance(answered, bytes) else asyncio.run(servicer.wait(answered, None))


class Wire:
    """A connection's other end, and the server that the connection belongs to."""

    tick, date, draining, bodies, limits = 0.0, b"", False, 0, HttpLimits()

    def __init__(self, door: HttpDoor, *, remembering: bool) -> None:
        self.door, self.sent = door, b""
        self.handler: HttpHandler = self._handle
        self.recall: HttpRecall | None = door.again if remembering else None
        self.connection = HttpConnection(self)
        self.connection.connection_made(self)  # type: ignore[arg-type]

    def _handle(self, request: Any) -> HttpResponse:
        answer = self.door(request)
        return answer if isinstance(answer, HttpResponse) else asyncio.run(_wait(answer))

    def opened(self, connection: HttpConnection) -> bool:
        return True

    def closed(self, connection: HttpConnection) -> None:
        pass

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1)

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.sent += b"closed"

    def ask(self, asked: Asked) -> bytes:
        lines = (("X-Original-URI", asked.target), ("X-Original-Method", asked.method),
                 ("X-Original-Host", asked.host), *asked.lines)  # fmt: skip
        told = "".join(f"{name}: {value}\r\n" for name, value in lines)
        self.sent = b""
        self.connection.data_received(f"GET /auth/nginx HTTP/1.1\r\n{told}\r\n".encode())
        return self.sent


async def _wait(answer: Awaitable[HttpResponse]) -> HttpResponse:
    return await answer


@settings(max_examples=_EXAMPLES, deadline=None)
@given(st.tuples(st.just(_USUAL), _ASKED), st.lists(_STEPS, min_size=3, max_size=12))
def test_a_door_that_remembers_questions_answers_as_one_that_does_not(
    questions: tuple[Asked, Asked], steps: list[tuple[int, int, int, int, int]]
) -> None:
    world = World()
    one, other = world.authorizer(_ENGINES[0]), world.authorizer(_ENGINES[0])
    remembering = CheckServicer(one)
    door, without = HttpDoor(one, TrustedPeers(LOOPBACK)), HttpDoor(other, TrustedPeers(LOOPBACK))
    for number, times, world.now, keys, engine in steps:
        world.keys.sets = _KEYS[keys]
        one.engine = other.engine = _ENGINES[engine]
        for _ in range(times):
            asked = questions[number]
            expected = over_grpc(CheckServicer(other), asked)
            assert over_grpc(remembering, asked) == expected
            here, there = Wire(door, remembering=True), Wire(without, remembering=False)
            assert here.ask(asked) == there.ask(asked)


class Written:
    """An authorizer whose log is read in both forms: each line as it is put into the pipe."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ready = 0
        self.log = DecisionLog(self, LineStyle(), random=lambda: 0.0)  # type: ignore[arg-type]
        observer = DecisionObserver(
            DecisionCounts(), self.log, wall=lambda: NOW, monotonic=lambda: 5.0
        )
        self.authorizer = Authorizer(
            _ENGINES[0], Keys(), observer, wall=lambda: NOW, monotonic=lambda: 5.0
        )

    def put(self, line: Line) -> None:
        for form in FORMATS.values():
            told = line.text(form) if isinstance(line, ReadyLine) else form(line.fields())
            assert told == form(line.fields())
            self.lines.append(told)
        self.ready += isinstance(line, ReadyLine)


_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_IDS = st.sampled_from(
    ["1", "a=b", "eyJhbGciOiJub25lIn0.e30.x", "%s", "@ts@", "@request_id@", "", "x" * 128,
     "x" * 129, "a b", "9007199254740991"]
)  # fmt: skip
_TRACES = st.sampled_from(["", "odd", _TRACE, _TRACE.replace("a", "b")])


@settings(max_examples=_EXAMPLES, deadline=None)
@given(
    _ASKED,
    st.sampled_from([None, {"is_mcp_request": True, "method": "tools/list"}]),
    st.lists(st.tuples(_IDS, _TRACES, _TRACES), min_size=4, max_size=8),
    st.integers(0, 7),
)
def test_the_line_of_a_question_that_came_again_is_as_if_it_had_not(
    asked: Asked, mcp: dict[str, Any] | None, links: list[tuple[str, str, str]], reloaded: int
) -> None:
    here, there = Written(), Written()
    servicer = CheckServicer(here.authorizer)
    door = HttpDoor(here.authorizer, TrustedPeers(LOOPBACK))
    for turn, (name, trace, told) in enumerate(links):
        one = asked.plus(("x-request-id", name), ("traceparent", trace))
        if turn == reloaded:
            for written in (here, there):
                written.log.style = LineStyle(subject="off")
        for _ in range(2):
            over_grpc(servicer, replace(one, mcp=mcp), told)
            over_grpc(CheckServicer(there.authorizer), replace(one, mcp=mcp), told)
            Wire(door, remembering=True).ask(one)
            Wire(HttpDoor(there.authorizer, TrustedPeers(LOOPBACK)), remembering=False).ask(one)
    assert here.lines == there.lines
    assert there.ready == 0

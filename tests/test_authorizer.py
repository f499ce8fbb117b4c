"""The shell of one request: whatever breaks, it is answered, told of, and never let through."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from extauthz.authorizer import Authorizer
from extauthz.core.engine import Engine, Standing
from extauthz.core.model import (
    Allow,
    Answer,
    AskedFor,
    Decision,
    Deny,
    NeedKeys,
    Precedent,
    Reason,
    Recurrence,
    Refusal,
    Request,
)
from tests.adapters.doors import Keys
from tests.policies import asking, policy_for_tests
from tests.tokens import NOW, mint, signer

POLICY = policy_for_tests()
STRANGER = mint(key=signer("ES256", "unheard-of"))
DOCUMENT = asking(method="GET", target="/.well-known/oauth-protected-resource/notes/mcp")


class Told:
    """What an observer was told of: the seconds tell which clock readings went into them."""

    def __init__(self) -> None:
        self.all: list[tuple[Request | None, Decision, str, float]] = []

    def decided(
        self, request: AskedFor, decision: Decision, transport: str, seconds: float
    ) -> None:
        asked = request().request() if callable(request) else request
        self.all.append((asked, decision, transport, seconds))


class Clock:
    """Advances by a second at each look."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


class Stage:
    """An authorizer, and all that is around it. It has been NOW for as long as it stands."""

    def __init__(self, monotonic: Callable[[], float] = lambda: 5.0) -> None:
        self.keys, self.told = Keys(), Told()
        self.authorizer = Authorizer(
            Engine(POLICY), self.keys, self.told, wall=lambda: NOW, monotonic=monotonic
        )

    def breaks(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on that method of the engine raises."""

        def broken(*_: Any, **__: Any) -> Any:
            raise RuntimeError("of the test")

        monkeypatch.setattr(Engine, name, broken)

    def told_once(self, request: Request | None, decision: Decision | None) -> bool:
        return self.told.all == [(request, decision, "http", 0.0)]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def recurs(request: Request) -> Callable[[], Recurrence]:
    """How that very request is told of when it comes again."""
    return lambda: Recurrence(Precedent(request), {})


def asking_as_mcp(token: str | None = None) -> Request:
    """A request of a client that can show an error in JSON-RPC."""
    return asking(token, headers={"accept": "application/json, text/event-stream"})


def is_json_rpc(deny: Deny) -> bool:
    return "jsonrpc" in json.loads(deny.body)


def is_the_last_resort(decision: Decision | None) -> bool:
    """For a client that speaks MCP."""
    return (
        isinstance(decision, Deny)
        and (decision.reason, decision.status) == (Reason.KEYS_UNAVAILABLE, 503)
        and decision.detail == "internal error, see the log"
        and is_json_rpc(decision)
    )


def was_logged(caplog: pytest.LogCaptureFixture, message: str) -> bool:
    """Whether that is in the log, and nothing else, with the fault that a test made."""
    told = [("extauthz.authorizer", logging.ERROR, message)]
    return caplog.record_tuples == told and "RuntimeError: of the test" in caplog.text


class TestAtOnce:
    def test_what_needs_no_proof_is_decided_and_told(self, stage: Stage):
        request = asking()
        decision = stage.authorizer.check_now(request, "http")
        assert isinstance(decision, Deny)
        assert decision.reason is Reason.MISSING_TOKEN
        assert stage.told_once(request, decision)

    async def test_a_token_is_left_to_be_verified_and_then_known(self, stage: Stage):
        request = asking(mint())
        assert stage.authorizer.check_now(request, "http") is None
        assert stage.told.all == []
        assert isinstance(await stage.authorizer.check(request, "http"), Allow)
        assert isinstance(stage.authorizer.check_now(request, "http"), Allow)


class TestAgain:
    """A request whose words came before."""

    async def known(self, stage: Stage) -> tuple[Request, Standing, Allow]:
        request = asking(mint())
        await stage.authorizer.check(request, "http")
        allow = stage.authorizer.check_now(request, "http")
        assert isinstance(allow, Allow)
        standing = stage.authorizer.engine.standing(request, allow)
        assert standing is not None
        stage.told.all.clear()
        return request, standing, allow

    async def test_it_gets_its_answer_again_which_is_told(self, stage: Stage):
        request, standing, allow = await self.known(stage)
        assert stage.authorizer.again(standing, "http", recurs(request)) is allow
        assert stage.told_once(request, allow)

    async def test_it_gets_none_where_it_has_to_be_judged(self, stage: Stage):
        request, standing, _ = await self.known(stage)
        stage.keys.sets = {}
        assert stage.authorizer.again(standing, "http", recurs(request)) is None
        assert stage.told.all == []

    async def test_what_breaks_leaves_it_to_be_judged_and_is_logged(
        self, stage: Stage, monkeypatch, caplog
    ):
        request, standing, _ = await self.known(stage)
        stage.breaks("still", monkeypatch)
        assert stage.authorizer.again(standing, "http", recurs(request)) is None
        assert stage.told.all == []
        message = "an answer could not be given again; the request is judged anew"
        assert was_logged(caplog, message)


async def test_work_in_turn_gives_what_it_gives(stage: Stage):
    assert await stage.authorizer.in_turn(lambda: 5) == 5


@pytest.mark.parametrize(
    "case",
    [
        (Authorizer.check_now, "decide_at_once", "a decision failed; the request is refused"),
        (Authorizer.answer, "answer", "an answer failed; the request is refused"),
    ],
    ids=["a decision", "an answer"],
)
def test_what_breaks_is_refused_logged_and_told(stage: Stage, monkeypatch, caplog, case):
    ask, breaks, message = case
    stage.breaks(breaks, monkeypatch)
    request = asking_as_mcp()
    decision = ask(stage.authorizer, request, "http")
    assert is_the_last_resort(decision)
    assert stage.told_once(request, decision)
    assert was_logged(caplog, message)


class TestCheck:
    async def test_each_decision_is_told_with_its_transport(self, stage: Stage):
        request = asking(mint())
        decision = await stage.authorizer.check(request, "http")
        assert isinstance(decision, Allow)
        assert stage.told_once(request, decision)

    async def test_what_breaks_is_refused_logged_and_told(self, stage: Stage, monkeypatch, caplog):
        stage.breaks("decide", monkeypatch)
        request = asking_as_mcp(mint())
        decision = await stage.authorizer.check(request, "http")
        assert is_the_last_resort(decision)
        assert stage.told_once(request, decision)
        assert was_logged(caplog, "a decision failed; the request is refused")

    @pytest.mark.parametrize(
        ("left", "wait", "hurried_by"),
        [
            (None, 0.25, None),
            (5.0, 0.25, None),
            (0.5, 0.25, None),
            (0.25, 0.2, 0.25),
            (0.125, 0.075, 0.125),
            (0.05, 0.0, 0.05),
            (0.01, 0.0, 0.01),
        ],
    )
    async def test_a_key_is_waited_for_a_quarter_second_but_never_to_the_callers_last(
        self, stage: Stage, left, wait, hurried_by
    ):
        """Contract, section 9: at most 250 ms, and never past the deadline less 50 ms."""
        request = asking(STRANGER)
        decision = await stage.authorizer.check(request, "http", left)
        assert isinstance(decision, Deny)
        assert decision.reason is Reason.UNKNOWN_KEY
        assert stage.keys.waits == [pytest.approx(wait)]
        assert stage.authorizer.hurried_by == hurried_by
        assert stage.told_once(request, decision)

    @pytest.mark.parametrize(("left", "hurried"), [(0.3, False), (0.299, True)])
    async def test_a_proxy_hurries_that_leaves_less_than_the_wait_and_the_reserve(
        self, stage: Stage, left, hurried
    ):
        await stage.authorizer.check(asking(STRANGER), "http", left)
        assert stage.authorizer.hurried_by == (left if hurried else None)

    async def test_time_spent_before_is_no_more_to_be_waited(self):
        # By the clock's looks it took three seconds to learn that a key is wanted.
        for left, wait in ((5.0, 0.25), (3.125, 0.075), (3.0, 0.0)):
            stage = Stage(Clock())
            await stage.authorizer.check(asking(STRANGER), "http", left)
            assert stage.keys.waits == [pytest.approx(wait)]

    async def test_a_proxy_that_gave_enough_no_longer_hurries(self, stage: Stage):
        for left, hurried_by in ((0.1, 0.1), (5.0, None)):
            await stage.authorizer.check(asking(STRANGER), "http", left)
            assert stage.authorizer.hurried_by == hurried_by

    async def test_the_key_that_the_token_names_is_looked_for_with_its_issuer(self, stage: Stage):
        sought = []

        async def find(issuer: str, kid: str | None, *, wait: float) -> Reason | None:
            sought.append((issuer, kid))
            return Reason.KEYS_UNAVAILABLE

        stage.keys.find = find  # type: ignore[method-assign]
        decision = await stage.authorizer.check(asking(STRANGER), "http")
        assert sought == [("corp", "unheard-of")]
        assert isinstance(decision, Deny)
        assert "of issuer corp " in decision.detail
        assert decision.reason is Reason.KEYS_UNAVAILABLE

    async def test_a_key_that_came_is_used(self, stage: Stage):
        had, stage.keys.sets = stage.keys.sets, {}
        looked = []

        async def find(issuer: str, kid: str | None, *, wait: float) -> Reason | None:
            looked.append(issuer)
            stage.keys.sets = had
            return None

        stage.keys.find = find  # type: ignore[method-assign]
        decision = await stage.authorizer.check(asking(mint()), "http")
        assert isinstance(decision, Allow)
        assert looked == ["corp"]

    async def test_a_key_that_is_said_to_be_there_and_is_not_is_unknown(self, stage: Stage):
        async def find(issuer: str, kid: str | None, *, wait: float) -> Reason | None:
            return None

        stage.keys.find = find  # type: ignore[method-assign]
        decision = await stage.authorizer.check(asking(STRANGER), "http")
        assert isinstance(decision, Deny)
        assert decision.reason is Reason.UNKNOWN_KEY

    async def test_a_search_that_breaks_found_no_keys(self, stage: Stage, caplog):
        async def find(issuer: str, kid: str | None, *, wait: float) -> Reason | None:
            raise RuntimeError("of the test")

        stage.keys.find = find  # type: ignore[method-assign]
        decision = await stage.authorizer.check(asking(STRANGER), "http")
        assert isinstance(decision, Deny)
        assert (decision.reason, decision.status) == (Reason.KEYS_UNAVAILABLE, 503)
        assert was_logged(caplog, "looking for keys failed")

    async def test_a_refusal_that_breaks_is_the_last_resort(
        self, stage: Stage, monkeypatch, caplog
    ):
        stage.breaks("without_key", monkeypatch)
        request = asking_as_mcp(STRANGER)
        decision = await stage.authorizer.check(request, "http")
        assert is_the_last_resort(decision)
        assert stage.told_once(request, decision)
        assert was_logged(caplog, "a decision failed; the request is refused")

    async def test_who_still_wants_keys_after_they_were_looked_for_is_refused(
        self, stage: Stage, monkeypatch
    ):
        async def find(issuer: str, kid: str | None, *, wait: float) -> Reason | None:
            return None

        stage.keys.find = find  # type: ignore[method-assign]
        monkeypatch.setattr(Engine, "decide", lambda *_, **__: NeedKeys("corp", None))
        decision = await stage.authorizer.check(asking_as_mcp(STRANGER), "http")
        assert is_the_last_resort(decision)


class TestAnswers:
    def test_a_document_is_answered_and_told(self, stage: Stage):
        answer = stage.authorizer.answer(DOCUMENT, "http")
        assert isinstance(answer, Answer)
        assert answer.status == 200
        assert stage.told_once(DOCUMENT, answer)

    @pytest.mark.parametrize("request_", [None, asking(), asking_as_mcp()])
    def test_a_message_that_is_no_request_is_refused_and_told(self, stage: Stage, request_):
        why = Refusal(Reason.MALFORMED_REQUEST, "why")
        decision = stage.authorizer.refuse(why, "http", request_)
        assert (decision.reason, decision.detail) == (Reason.MALFORMED_REQUEST, "why")
        assert is_json_rpc(decision) is (request_ == asking_as_mcp())
        assert stage.told_once(request_, decision)


class TestTelling:
    async def test_how_long_it_took_is_told_in_seconds(self):
        stage = Stage(Clock())
        stage.authorizer.check_now(asking(), "http")
        stage.authorizer.answer(DOCUMENT, "http")
        stage.authorizer.refuse(Refusal(Reason.MALFORMED_REQUEST), "http")
        await stage.authorizer.check(asking(mint()), "http")
        # Whoever gave the last its turn looked at the clock twice as well.
        assert [seconds for *_, seconds in stage.told.all] == [1, 1, 1, 3]

    def test_an_answer_does_not_fall_with_its_record(self, stage: Stage, monkeypatch, caplog):
        def decided(*_: Any) -> None:
            raise RuntimeError("of the test")

        monkeypatch.setattr(stage.told, "decided", decided)
        assert isinstance(stage.authorizer.answer(DOCUMENT, "http"), Answer)
        assert was_logged(caplog, "a decision could not be recorded")

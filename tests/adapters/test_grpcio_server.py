"""grpcio's server takes many calls at a time, and loses none of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # compiled, without types

from extauthz.adapters import grpcio_server
from extauthz.adapters.grpcio_server import CallsToCome, new_server

NAME = "tests.Echo"
CALL = f"/{NAME}/Say"


class Core:
    """Stands for grpcio's core: hands over a call where one was asked for."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[str]] = []

    async def ask(self) -> str:
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]

    def hand_over(self, *calls: str) -> None:
        for call in calls:
            next(one for one in self.asked if not one.done()).set_result(call)

    @property
    def unanswered(self) -> int:
        return sum(not one.done() for one in self.asked)


@pytest.fixture
def core() -> Core:
    return Core()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def waiting(calls: CallsToCome) -> asyncio.Task[object]:
    """Who waits for the next call."""
    task = asyncio.create_task(calls.next())
    await settled()
    return task


# ---- calls asked for ahead


async def test_as_many_as_it_may_are_asked_for_and_no_more(core: Core):
    calls = CallsToCome(core.ask, 3)
    wanted = await waiting(calls)
    assert core.unanswered == 3
    core.hand_over("a")
    assert await wanted == "a"


async def test_calls_that_came_and_were_not_taken_count(core: Core):
    calls = CallsToCome(core.ask, 3)
    wanted = await waiting(calls)
    core.hand_over("a", "b", "c")
    assert await wanted == "a"
    assert await (await waiting(calls)) == "b"
    assert core.unanswered == 1  # and "c", which nobody has taken, and one for "a"
    assert await (await waiting(calls)) == "c"


async def test_calls_are_taken_in_their_order(core: Core):
    calls = CallsToCome(core.ask, 8)
    wanted = await waiting(calls)
    core.hand_over(*"abcdefgh")
    assert await wanted == "a"
    assert [await calls.next() for _ in range(7)] == list("bcdefgh")


async def test_a_call_that_is_waited_for_is_had_at_once(core: Core):
    calls = CallsToCome(core.ask, 2)
    wanted = await waiting(calls)
    for call in "abc":
        core.hand_over(call)
        assert await wanted == call
        wanted = await waiting(calls)


async def test_what_asking_raises_is_raised_and_it_is_asked_again(core: Core):
    calls = CallsToCome(core.ask, 2)
    wanted = await waiting(calls)
    core.asked[0].set_exception(RuntimeError("no more"))
    with pytest.raises(RuntimeError, match="no more"):
        await wanted
    wanted = await waiting(calls)
    assert core.unanswered == 2
    core.hand_over("a")
    assert await wanted == "a"


async def test_those_that_fail_unwanted_are_no_trouble(
    core: Core, caplog: pytest.LogCaptureFixture
):
    calls = CallsToCome(core.ask, 4)
    wanted = await waiting(calls)
    for one in core.asked:
        one.set_exception(RuntimeError("the end"))
    with pytest.raises(RuntimeError):
        await wanted
    await settled()
    assert core.unanswered == 0
    assert not caplog.records


async def test_who_no_longer_waits_is_no_trouble(core: Core):
    calls = CallsToCome(core.ask, 2)
    wanted = await waiting(calls)
    wanted.cancel()
    await settled()
    core.hand_over("a")
    await settled()
    assert await calls.next() == "a"


# ---- the end


async def test_at_the_end_those_that_came_are_waited_for(core: Core):
    calls = CallsToCome(core.ask, 3)
    wanted = await waiting(calls)
    core.hand_over("a", "b", "c")
    assert await wanted == "a"
    end = asyncio.create_task(calls.end())
    for call in "bc":
        await settled()
        assert not end.done()
        assert await calls.next() == call
    await settled()
    assert not end.done()  # whoever took the last one has not said that he is done with it
    wanted = await waiting(calls)
    await end
    assert core.unanswered == 1  # or nobody would hear that the core has ended
    core.hand_over("d")
    assert await wanted == "d"


async def test_where_none_came_the_end_waits_for_nothing(core: Core):
    calls = CallsToCome(core.ask, 3)
    await waiting(calls)
    await asyncio.wait_for(calls.end(), grpcio_server._LONGEST_END / 2)


async def test_the_end_does_not_wait_for_one_who_takes_none(
    core: Core, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(grpcio_server, "_LONGEST_END", 0.01)
    calls = CallsToCome(core.ask, 3)
    wanted = await waiting(calls)
    core.hand_over("a", "b")
    assert await wanted == "a"
    await calls.end()
    after = await waiting(calls)
    core.hand_over("c")
    assert await after == "c"


async def test_after_the_end_no_call_is_kept_that_nobody_waits_for(core: Core):
    calls = CallsToCome(core.ask, 3)
    wanted = await waiting(calls)
    await calls.end()
    core.hand_over("a", "b")
    assert await wanted == "a"
    last = await waiting(calls)
    core.hand_over("c")
    assert await last == "c"


# ---- grpcio itself


async def say(data: bytes, _: object) -> bytes:
    return data


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Any, str]]:
    """grpcio's server, with one method, and its address."""
    server = new_server([("grpc.max_concurrent_streams", 1000)])
    handlers: dict[str, Any] = {"Say": grpc.unary_unary_rpc_method_handler(say)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))
    server.add_registered_method_handlers(NAME, handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield server, f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


class Seen(CallsToCome):
    """As it is, but that it tells how many calls wait to be taken whenever one came."""

    tell: Callable[[int], None]

    def _answered(self, task: asyncio.Task[object]) -> None:
        super()._answered(task)
        type(self).tell(len(self._came))


async def test_calls_that_come_together_are_fetched_together(monkeypatch: pytest.MonkeyPatch):
    """Or else this grpcio is built otherwise, and ``new_server`` brings nothing."""
    came: list[int] = []
    monkeypatch.setattr(Seen, "tell", came.append, raising=False)
    monkeypatch.setattr(grpcio_server, "CallsToCome", Seen)
    async with serving() as (_, address), grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(CALL)
        said = [b"%d" % number for number in range(200)]
        assert await asyncio.gather(*map(call, said)) == said
    assert 1 < max(came) <= 64


async def test_whatever_was_fetched_when_the_end_comes_is_answered(
    monkeypatch: pytest.MonkeyPatch,
):
    fetched = 0
    ending: list[asyncio.Task[None]] = []

    def tell(came: int) -> None:
        nonlocal fetched
        if came > 8 and not ending:
            fetched = came
            ending.append(asyncio.create_task(server.stop(5)))

    monkeypatch.setattr(Seen, "tell", tell, raising=False)
    monkeypatch.setattr(grpcio_server, "CallsToCome", Seen)
    began = time.monotonic()
    async with serving() as (server, address), grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(CALL)
        calls = [call(b"x") for _ in range(200)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await ending[0]
    assert answers.count(b"x") >= fetched > 8
    assert time.monotonic() - began < 5  # the others were told, too


async def test_the_usual_server_stays_what_it_is():
    usual = cygrpc.AioServer
    await new_server([]).stop(0)
    assert cygrpc.AioServer is usual


async def test_without_the_class_that_is_replaced_it_serves_as_grpcio_does(
    monkeypatch: pytest.MonkeyPatch,
):
    """No later version of grpcio may keep the service from starting."""
    monkeypatch.setattr(grpcio_server, "_Usual", None)
    monkeypatch.setattr(grpcio_server, "CallsToCome", None)
    async with serving() as (_, address), grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(CALL)
        assert await call(b"x") == b"x"


async def test_where_calls_are_asked_for_otherwise_it_serves_as_grpcio_does(
    monkeypatch: pytest.MonkeyPatch,
):
    asked: list[int] = []

    class Later(cygrpc.AioServer):  # type: ignore[misc]  # it has no types
        async def _request_call(self, priority: int) -> object:
            asked.append(priority)
            return await super()._request_call()

    class OursOfIt(grpcio_server._AioServer, Later):
        async def _request_call(self, *_: object) -> object:
            return await super()._request_call(7)

    monkeypatch.setattr(grpcio_server, "_AioServer", OursOfIt)
    async with serving() as (_, address), grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(CALL)
        assert await call(b"x") == b"x"
    assert set(asked) == {7}


async def test_an_end_before_the_beginning_is_one(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        await new_server([]).stop(0)
    assert not caplog.records

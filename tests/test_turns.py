"""Costly work is done in turns, and what is cheap need not wait behind all of it."""

from __future__ import annotations

import asyncio

import pytest

from extauthz.turns import Turns


class Work:
    """Pieces of work that take ``seconds`` each, on a clock of their own."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self.seconds = seconds
        self.done: list[str] = []
        self.turns = Turns(lambda: self.now, slice_seconds=1.0)

    def piece(self, name: str) -> str:
        self.now += self.seconds
        self.done.append(name)
        return name

    def ask(self, name: str) -> asyncio.Task[str]:
        return asyncio.ensure_future(self.turns.do(lambda: self.piece(name)))


async def test_work_is_done_in_the_order_in_which_it_came():
    work = Work(0.1)
    asked = [work.ask(str(number)) for number in range(30)]
    assert await asyncio.gather(*asked) == [str(number) for number in range(30)]
    assert work.done == [str(number) for number in range(30)]


@pytest.mark.parametrize(("seconds", "at_most"), [(0.25, 4), (0.5, 2), (2.0, 1), (0.0, 12)])
async def test_between_slices_the_loop_sees_to_everything_else(seconds: float, at_most: int):
    work = Work(seconds)
    asked = [work.ask(str(number)) for number in range(12)]
    done_between = []
    while len(work.done) < 12:
        before = len(work.done)
        await asyncio.sleep(0)
        done_between.append(len(work.done) - before)
    assert max(done_between) == at_most
    await asyncio.gather(*asked)


async def test_work_that_nobody_waits_for_any_more_is_not_done():
    work = Work(0.1)
    first, second = work.ask("first"), work.ask("second")
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "second"
    assert work.done == ["second"]


async def test_a_fault_is_raised_where_the_work_was_asked_for_and_nowhere_else():
    work = Work(0.1)
    broken = asyncio.ensure_future(work.turns.do(lambda: 1 // 0))
    after = work.ask("after")
    assert await after == "after"
    with pytest.raises(ZeroDivisionError):
        await broken


async def test_work_may_ask_for_work():
    work = Work(0.1)
    later: list[asyncio.Task[str]] = []

    def more() -> str:
        later.append(work.ask("later"))
        return "now"

    assert await work.turns.do(more) == "now"
    assert await later[0] == "later"

"""What breaks one time does not end what is done again and again, nor fill the log."""

from __future__ import annotations

import asyncio
import logging

import pytest

from extauthz.service.rounds import again_and_again


async def test_it_goes_on_after_an_exception_and_tells_the_first_of_several(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcomes = iter([None, MemoryError(), MemoryError(), None, RuntimeError(), None])
    all_done = asyncio.Event()

    async def once() -> None:
        try:
            outcome = next(outcomes)
        except StopIteration:
            all_done.set()
            return
        if outcome is not None:
            raise outcome

    doing = asyncio.create_task(again_and_again(once, 0))
    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(all_done.wait(), 10)
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)
    assert doing.cancelled()
    told = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert told == [MemoryError, RuntimeError]

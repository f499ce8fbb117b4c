"""What hangs costs one thread, and nobody else's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from extauthz.keys import apart as module
from extauthz.keys.apart import apart


class Errand:
    """Work that goes on until it is released."""

    def __init__(self) -> None:
        self.times = 0
        self.begun = threading.Event()
        self.released = threading.Event()

    def __call__(self, answer: str) -> str:
        self.times += 1
        self.begun.set()
        self.released.wait()
        if answer == "broken":
            raise OSError(answer)
        return answer


@pytest.fixture
def errand() -> Iterator[Errand]:
    made = Errand()
    yield made
    made.released.set()


async def begun(errand: Errand, answer: str = "yes") -> asyncio.Task[str]:
    """Somebody who waits for an errand that is under way."""
    task = asyncio.create_task(apart(errand, answer))
    await asyncio.to_thread(errand.begun.wait)
    return task


async def test_who_asks_for_the_same_shares_its_end(errand: Errand) -> None:
    first = await begun(errand)
    others = [asyncio.create_task(apart(errand, "yes")) for _ in range(50)]
    await asyncio.sleep(0)
    errand.released.set()
    assert await asyncio.gather(first, *others) == ["yes"] * 51
    assert errand.times == 1


async def test_giving_up_neither_ends_it_nor_starts_another(errand: Errand) -> None:
    for _ in range(50):
        waiting = await begun(errand)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    last = await begun(errand)
    errand.released.set()
    assert await last == "yes"
    assert errand.times == 1


async def test_when_it_has_ended_it_is_done_anew(errand: Errand) -> None:
    errand.released.set()
    assert [await apart(errand, "yes"), await apart(errand, "yes")] == ["yes", "yes"]
    assert errand.times == 2
    assert not module._under_way


async def test_another_thing_does_not_wait_for_it(errand: Errand) -> None:
    hanging = await begun(errand)
    assert await apart(str.upper, "no") == "NO"
    assert not hanging.done()
    hanging.cancel()


async def test_what_it_raises_reaches_everyone_who_waits(errand: Errand) -> None:
    waiting = [await begun(errand, "broken"), await begun(errand, "broken")]
    errand.released.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OSError, OSError]
    assert not module._under_way


async def test_it_does_not_keep_the_process_from_ending(errand: Errand) -> None:
    hanging = await begun(errand)
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "apart"] == [True]
    hanging.cancel()


@pytest.mark.parametrize("fault", [RuntimeError("can't start new thread"), MemoryError()])
async def test_where_no_thread_is_to_be_had_the_next_one_may_be(
    errand: Errand, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def no_more(_: threading.Thread) -> None:
        raise fault

    errand.released.set()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        with pytest.raises(type(fault)):
            await apart(errand, "yes")
    async with asyncio.timeout(10):
        assert await apart(errand, "yes") == "yes"

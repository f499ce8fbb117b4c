"""Costly work in turns: a little of it at a time, so that what is cheap need not wait behind it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

SLICE: Final = 0.0005


class Turns:
    """Does pieces of work in the order in which they came.

    All are done on the event loop; after ``slice_seconds`` of them, or a single longer one, the
    loop sees to everything else first. ``monotonic`` tells seconds.
    """

    def __init__(self, monotonic: Callable[[], float], slice_seconds: float = SLICE) -> None:
        self._monotonic = monotonic
        self._slice = slice_seconds
        self._waiting: deque[Callable[[], None]] = deque()
        self._under_way = False

    async def do(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises, once its turn has come; cancelled, it is not done."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def piece() -> None:
            if done.cancelled():
                return
            try:
                done.set_result(work())
            except Exception as fault:  # noqa: BLE001  it is raised where the work was asked for
                done.set_exception(fault)

        self._waiting.append(piece)
        if not self._under_way:
            self._under_way = True
            loop.call_soon(self._take, loop)
        return await done

    def _take(self, loop: asyncio.AbstractEventLoop) -> None:
        end = self._monotonic() + self._slice
        while self._waiting:
            self._waiting.popleft()()
            if self._monotonic() >= end:
                break
        self._under_way = bool(self._waiting)
        if self._under_way:
            loop.call_soon(self._take, loop)

"""One attempt under way, shared by everyone who waits for its end."""

from __future__ import annotations

import asyncio


class Flight:
    """Ends once. Waiting and giving up cost the same however many wait."""

    def __init__(self) -> None:
        self.ended = False
        self._waiters: set[asyncio.Future[None]] = set()

    def end(self) -> None:
        """Wake everyone; a second time does nothing."""
        self.ended = True
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            _wake(waiter)

    async def wait(self, seconds: float | None = None) -> bool:
        """Whether it ended, after at most so many seconds (None: however long it takes)."""
        if self.ended:
            return True
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiters.add(waiter)
        timer = None if seconds is None else loop.call_later(seconds, _wake, waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
            if timer is not None:
                timer.cancel()
        return self.ended


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)

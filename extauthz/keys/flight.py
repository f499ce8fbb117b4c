"""One attempt under way, shared by everyone who waits for its end."""

from __future__ import annotations

import asyncio


class Flight:
    """Ends once. Waiting and giving up cost the same however many wait.

    What it brings, once it has ``begun``, may have been written before somebody came to wait.
    """

    def __init__(self) -> None:
        self.begun = False
        self.ended = False
        self._waiters: set[asyncio.Future[None]] = set()

    def end(self) -> None:
        """Wake everyone; a second time does nothing."""
        self.ended = True
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            _wake(waiter)

    async def wait(self, until: float | None = None) -> bool:
        """Whether it ended by that time of the event loop (None: however long it takes)."""
        if self.ended:
            return True
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiters.add(waiter)
        timer = None if until is None else loop.call_at(until, _wake, waiter)
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

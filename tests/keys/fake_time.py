"""Time that passes when the test says so."""

from __future__ import annotations

import asyncio


class FakeTime:
    """A clock, a wall clock and a sleep that agree; ``wall`` may be made to jump."""

    def __init__(self) -> None:
        self.now = 5000.0
        self.offset = 1_790_000_000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.offset

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self.now + seconds, future)
        self._sleepers.append(entry)
        try:
            await future
        finally:
            self._sleepers.remove(entry)

    async def advance(self, seconds: float) -> None:
        """Let so much time pass; everyone who is due in between wakes at their time."""
        end = self.now + seconds
        await settle()
        while self._sleepers:
            due, future = min(self._sleepers, key=lambda entry: entry[0])
            if due > end:
                break
            self.now = max(self.now, due)
            if not future.done():
                future.set_result(None)
            await settle()
        self.now = end
        await settle()


async def settle() -> None:
    """Let every task go as far as it can without time or input."""
    for _ in range(30):
        await asyncio.sleep(0)

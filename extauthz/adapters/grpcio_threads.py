"""Threads that give way to the event loop while there is much to do (sched(7)).

Those of grpcio are woken several times for each call, and each time take the processor from the
loop. As batch work they wait until it rests, and the door carries half as much again. But then
they wait for other programs as well, on a machine that these keep busy: while a process has
little to do, its threads are as any.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_LOOK: Final = 0.1
# Cores that this process takes: from the one on there is much to do, below the other little.
_MUCH: Final = 0.25
_LITTLE: Final = 0.15
# For so many looks in a row, as one scrape of the metrics is no load, nor one pause its end.
_BEGINS: Final = 2
_ENDS: Final = 30


class GivingWay:
    """Has all threads but the event loop's give way to it while this process has much to do.

    ``clock`` tells seconds, ``used`` those that the process has had of the processor. Where the
    service was given another policy than the usual one, or the system knows or allows none, all
    stays as it is.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.process_time,
    ) -> None:
        self._clock = clock
        self._used = used
        self._since = clock(), used()
        self._busy = False
        # How many looks in a row have said otherwise.
        self._otherwise = 0
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look again and again, until ``stop``."""
        with contextlib.suppress(AttributeError, OSError):
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                self._look_later()

    def stop(self) -> None:
        """Look no more; threads are as any."""
        if self._next is not None:
            self._next.cancel()
        if self._busy:
            self._busy = False
            _change(os.SCHED_BATCH, os.SCHED_OTHER)

    def look(self) -> None:
        """Choose by what the process took since the last time."""
        now, used = self._clock(), self._used()
        (then, before), self._since = self._since, (now, used)
        share = (used - before) / max(now - then, 1e-9)
        otherwise = share < _LITTLE if self._busy else share >= _MUCH
        self._otherwise = self._otherwise + 1 if otherwise else 0
        if self._otherwise == (_ENDS if self._busy else _BEGINS):
            self._busy, self._otherwise = not self._busy, 0
            if not self._busy:
                _change(os.SCHED_BATCH, os.SCHED_OTHER)
        if self._busy:
            # Each time, as there may be new ones.
            _change(os.SCHED_OTHER, os.SCHED_BATCH)

    def _look_later(self) -> None:
        self._next = asyncio.get_running_loop().call_later(_LOOK, self._look_and_go_on)

    def _look_and_go_on(self) -> None:
        self.look()
        self._look_later()


def _change(usual: int, wanted: int) -> None:
    ours = threading.get_native_id()
    with contextlib.suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            thread = int(task.name)
            # One may have ended since.
            with contextlib.suppress(OSError):
                if thread != ours and os.sched_getscheduler(thread) == usual:
                    os.sched_setscheduler(thread, wanted, os.sched_param(0))

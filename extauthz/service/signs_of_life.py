"""Signs of life of a worker, and when one that gives none is told of and given up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import Enum
from typing import Final

_log = logging.getLogger(__name__)

# Workers report four times a second.
_SILENCE: Final = 3.0
# A start takes a quarter of a second of the processor's time, of which there may be little.
_START: Final = 60.0
LOOK_SECONDS: Final = 1.0
"""So long after one look there is another."""

# How often in a row one is found to be silent before it is told of, and before it is given up.
_TOLD_OF: Final = 2
_GIVEN_UP: Final = 12
_HANGS = (
    "worker %d has given no sign of life for some seconds: its share of connections waits in vain;"
    " in %.0f s it is ended, and another one takes its place"
)
_DOES_NOT_START = "worker %d has not opened its doors since it was started; in %.0f s it is ended"


class Hanging(Enum):
    """What a look at a worker has newly found out."""

    TOLD_OF = "it hangs, and is asked where"
    GIVEN_UP = "it has hung for so long that it is to be ended"


class SignsOfLife:
    """What is known of the worker in place ``number``. ``clock`` tells seconds."""

    def __init__(self, number: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._number = number
        self._clock = clock
        self._doors_open = False
        # When it is silent for too long; None while there is no process.
        self._due: float | None = None
        # How often in a row it was found to be silent.
        self._silences = 0

    def started(self) -> None:
        """Note that there is a process, which has a while to open its doors."""
        self._due = self._clock() + _START

    def heard(self) -> None:
        """Note that it said something."""
        self._doors_open = True
        self._due = self._clock() + _SILENCE

    def ended(self) -> None:
        """Forget about it: it is no more."""
        self._doors_open, self._due, self._silences = False, None, 0

    def lately(self) -> bool:
        """Whether its doors are open, and it said something lately."""
        return self._doors_open and not self._silent()

    def look(self) -> Hanging | None:
        """Tell the log if it has fallen silent, or speaks again: what is new."""
        # Once may be because this process itself was stopped.
        silent = self._silent()
        before, self._silences = self._silences, self._silences + 1 if silent else 0
        if self._silences == _TOLD_OF:
            what = _HANGS if self._doors_open else _DOES_NOT_START
            _log.error(what, self._number, (_GIVEN_UP - _TOLD_OF) * LOOK_SECONDS)
            return Hanging.TOLD_OF
        if before >= _TOLD_OF and not silent:
            _log.info("worker %d gives signs of life again", self._number)
        return Hanging.GIVEN_UP if self._silences == _GIVEN_UP else None

    def _silent(self) -> bool:
        return self._due is not None and self._clock() >= self._due

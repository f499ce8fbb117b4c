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
LOOK_SECONDS: Final = 1.0
"""So long after one look there is another."""

# How often in a row one is found to be silent before it is told of, and before it is given up.
_TOLD_OF: Final = 2
_GIVEN_UP: Final = 12


class Hanging(Enum):
    """What a look at a worker has newly found out."""

    TOLD_OF = "it hangs, and is asked where"
    GIVEN_UP = "it has hung for so long that it is to be ended"


class SignsOfLife:
    """What is known of the worker in place ``number``. ``clock`` tells seconds."""

    def __init__(self, number: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._number = number
        self._clock = clock
        # None while its doors are shut.
        self._heard_at: float | None = None
        # How often in a row it was found to be silent.
        self._silences = 0

    def heard(self) -> None:
        """Note that it said something."""
        self._heard_at = self._clock()

    def ended(self) -> None:
        """Forget about it: it is no more."""
        self._heard_at, self._silences = None, 0

    def lately(self) -> bool:
        """Whether its doors are open, and it said something lately."""
        return self._heard_at is not None and self._clock() - self._heard_at < _SILENCE

    def look(self) -> Hanging | None:
        """Tell the log if it has fallen silent, or speaks again: what is new."""
        # Once may be because this process itself was stopped.
        silent = self._heard_at is not None and not self.lately()
        before, self._silences = self._silences, self._silences + 1 if silent else 0
        if self._silences == _TOLD_OF:
            _log.error(
                "worker %d has given no sign of life for some seconds: its share of connections"
                " waits in vain; in %.0f s it is ended, and another one takes its place",
                self._number,
                (_GIVEN_UP - _TOLD_OF) * LOOK_SECONDS,
            )
            return Hanging.TOLD_OF
        if before >= _TOLD_OF and not silent:
            _log.info("worker %d gives signs of life again", self._number)
        return Hanging.GIVEN_UP if self._silences == _GIVEN_UP else None

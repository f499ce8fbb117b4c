"""What the worker processes take of the machine, as Linux tells it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from extauthz.telemetry.metrics import Usage

# Fields of /proc/PID/stat after the name: see proc(5).
_PARENT: Final = 1
_USER: Final = 11
_SYSTEM: Final = 12
_RESIDENT: Final = 21


class WorkersUsage:
    """Adds up the usage of the children of this process. Processor time never goes back."""

    def __init__(self) -> None:
        self._most = 0.0

    def of(self, pids: Iterable[int]) -> Usage:
        """Usage of the children ``pids`` and, of processor time, of those that have ended."""
        # Before the others: one that ends in between is then missing once, and not there twice.
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds, resident = ended.ru_utime + ended.ru_stime, 0
        for pid in pids:
            found = _alive(pid)
            seconds, resident = seconds + found.cpu_seconds, resident + found.resident_bytes
        self._most = max(self._most, seconds)
        return Usage(self._most, resident)


def _alive(pid: int) -> Usage:
    try:
        told = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return Usage()
    fields = told.rpartition(b")")[2].split()
    if int(fields[_PARENT]) != os.getpid():
        return Usage()
    ticks = int(fields[_USER]) + int(fields[_SYSTEM])
    return Usage(
        ticks / os.sysconf("SC_CLK_TCK"), int(fields[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE")
    )

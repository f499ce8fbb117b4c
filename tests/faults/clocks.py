"""The wall clock of another Python process, which a test can step.

The monotonic clock goes on as it did, as on a machine whose time is set.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_HOOK = """\
import os, time

_real, _file = time.time, os.environ["STEPPED_CLOCK"]


def stepped():
    with open(_file) as opened:
        return _real() + float(opened.read())


time.time = stepped
"""


class Clock:
    """``environment`` is what a process has to be started with."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        # What Python runs before anything else.
        (folder / "sitecustomize.py").write_text(_HOOK)
        self.environment: Mapping[str, str] = os.environ | {
            "PYTHONPATH": str(folder),
            "STEPPED_CLOCK": str(self._file),
        }
        self.step(0)

    def step(self, seconds: int) -> None:
        """Put the clock so far from the true time, at once."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._file)

"""Where a worker hangs, told by the worker itself.

It answers a signal with what Python's ``faulthandler`` writes, for which nothing that may hang is
needed: no event loop, no lock, no memory.
"""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import socket
import subprocess
from pathlib import PurePath
from typing import Final

_ASK: Final = signal.SIGUSR1
_MOST: Final = 65536
_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')


def tell_when_asked(descriptor: int) -> None:
    """Answer from now on, through ``descriptor``."""
    os.set_blocking(descriptor, False)
    faulthandler.register(_ASK, file=descriptor)


class Stack:
    """Asks one worker where it is."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)

    @property
    def theirs(self) -> int:
        """The descriptor for ``tell_when_asked``."""
        return self._theirs.fileno()

    def ask(self, process: subprocess.Popen[bytes]) -> None:
        """Ask a worker that has long begun to answer; any other would end by it."""
        process.send_signal(_ASK)

    def told(self) -> list[str]:
        """What has been told since the last time, for the log; nothing of any value is in it.

        The threads one by one, the innermost call of each first.
        """
        try:
            text = self._ours.recv(_MOST).decode(errors="replace")
        except BlockingIOError:
            return []
        return [_FRAME.sub(_shortened, line) for line in text.splitlines() if line]

    def close(self) -> None:
        """Ask no more."""
        self._ours.close()
        self._theirs.close()


def _shortened(frame: re.Match[str]) -> str:
    file, line, name = frame.groups()
    return f"{'/'.join(PurePath(file).parts[-3:])}:{line} {name}"

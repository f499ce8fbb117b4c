"""The way of every log line out of the process: a bounded queue and one writing thread.

A reader that stops reading (a full disk, a paused terminal, a stuck log collector) blocks
that thread alone. Lines that then find no room are dropped and counted; requests go on.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, Protocol

from .formats import Fields, Format, timestamp

CAPACITY: Final = 8192
"""Lines that may wait: some seconds of a busy service, some megabytes of memory."""

_BATCH = 32
"""Lines written at once; short enough that the event loop is not kept off the interpreter."""


_REST: Final = 0.002
"""Seconds in which lines gather while there are few."""


class Line(Protocol):
    """Something to log whose fields are worked out on the writing thread."""

    def fields(self) -> Fields:
        """The fields in the order they are written."""


class ReadyLine:
    """A line most of whose text was there before it."""

    __slots__ = ()

    def fields(self) -> Fields:
        """As of any line."""
        raise NotImplementedError

    def text(self, form: Format) -> str:
        """What ``form`` makes of the fields."""
        raise NotImplementedError


class LogPipe:
    """Takes lines without waiting and hands them to ``sink`` in batches of whole lines.

    ``sink`` gets bytes, may block, and may raise OSError; ``wall`` tells seconds since the
    epoch, and ``rest`` waits so many. Another ``form`` holds for what is not written yet. The
    thread is a daemon: a blocked reader does not keep the process from ending.
    """

    def __init__(
        self,
        sink: Callable[[bytes], object],
        form: Format,
        *,
        capacity: int = CAPACITY,
        wall: Callable[[], float] = time.time,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self.form = form
        self._rest = rest
        self._sink = sink
        self._capacity = capacity
        self._wall = wall
        self._queue: SimpleQueue[Line | None] = SimpleQueue()
        self._refused = 0
        self._lost = 0
        self._reported = 0
        # Why lines could not be written since one last was.
        self._fault: str | None = None
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that were not written since the start."""
        return self._refused + self._lost

    def put(self, line: Line) -> None:
        """Queue a line, or drop and count it where the queue is full. Never waits."""
        if self._queue.qsize() >= self._capacity:
            self._refused += 1
        else:
            self._queue.put(line)

    def close(self, timeout: float = 1.0) -> bool:
        """Write what is queued, for at most ``timeout`` seconds; whether all was written."""
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _write_all(self) -> None:
        ended = False
        while not ended:
            batch = [self._queue.get()]
            while len(batch) < _BATCH and batch[-1] is not None and not self._queue.empty():
                batch.append(self._queue.get())
            ended = batch[-1] is None
            lines = [line for line in batch if line is not None]
            dropped = self.dropped
            try:
                self._sink("".join(self._texts(lines, dropped)).encode("ascii", "backslashreplace"))
            except (OSError, ValueError) as fault:  # ValueError: a file that was closed
                self._lost += len(lines)
                self._fault = (getattr(fault, "strerror", None) or str(fault)).lower()
            else:
                self._reported, self._fault = dropped, None
            # To wake a thread that waits for a line costs more than the line.
            if len(batch) < _BATCH and not ended:
                self._rest(_REST)

    def _texts(self, lines: list[Line], dropped: int) -> list[str]:
        texts = [self._text(line) for line in lines]
        if dropped > self._reported:
            why = self._fault or "whoever reads the log is too slow"
            texts.append(self._text(_Dropped(self._wall(), dropped - self._reported, why)))
        return texts

    def _text(self, line: Line) -> str:
        try:
            if isinstance(line, ReadyLine):
                return f"{line.text(self.form)}\n"
            return f"{self.form(line.fields())}\n"
        except Exception as problem:  # noqa: BLE001  one odd line must not silence all others
            return f"{self.form(_Unwritable(self._wall(), problem).fields())}\n"


class _Dropped:
    def __init__(self, now: float, lines: int, why: str) -> None:
        self._now, self._lines, self._why = now, lines, why

    def fields(self) -> Fields:
        return {
            "ts": timestamp(self._now),
            "level": "warning",
            "msg": f"{self._lines} log lines were dropped: {self._why}",
            "event": "log_dropped",
            "lines": self._lines,
        }


class _Unwritable:
    def __init__(self, now: float, problem: Exception) -> None:
        self._now, self._problem = now, problem

    def fields(self) -> Fields:
        return {
            "ts": timestamp(self._now),
            "level": "error",
            "msg": "a log line could not be written",
            "event": "log_failed",
            "exception": type(self._problem).__name__,
        }


def descriptor_sink(descriptor: int) -> Callable[[bytes], None]:
    """Write to a file descriptor, waiting where it is full even if it was made non-blocking.

    Where a disk became full within a line, what comes next begins a new one.
    """
    torn = False

    def write(data: bytes) -> None:
        nonlocal torn
        view = memoryview(b"\n" + data if torn else data)
        while view:
            try:
                written = os.write(descriptor, view)
            except BlockingIOError:
                select.select([], [descriptor], [])
            else:
                torn = view[written - 1] != ord("\n")
                view = view[written:]

    return write


def shared_descriptor_sink(descriptor: int) -> Callable[[bytes], None]:
    """As ``descriptor_sink``, for one of several processes: their lines never mix.

    Of a pipe, POSIX promises so much for writes of up to PIPE_BUF bytes; a longer line takes
    its chance.
    """
    write = descriptor_sink(descriptor)

    def write_in_parts(data: bytes) -> None:
        start = 0
        while start < len(data):
            end = len(data)
            if end - start > select.PIPE_BUF:
                end = data.rfind(b"\n", start, start + select.PIPE_BUF) + 1
                end = end or data.find(b"\n", start) + 1 or len(data)
            write(data[start:end])
            start = end

    return write_in_parts


class PipeHandler(logging.Handler):
    """Sends the records of the standard library's loggers into a pipe."""

    def __init__(self, pipe: LogPipe, line_of: Callable[[logging.LogRecord], Line]) -> None:
        super().__init__()
        self._pipe = pipe
        self._line_of = line_of

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one record; what it refers to is read now, as it may change later."""
        self._pipe.put(self._line_of(record))

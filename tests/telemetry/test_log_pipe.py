"""The log pipe: lines get out in order, and nothing ever waits for their reader."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from extauthz.telemetry.formats import json_line
from extauthz.telemetry.log_pipe import LogPipe, descriptor_sink
from tests.live import until


@dataclass
class Numbered:
    """A line with a number, and as many characters as wanted."""

    number: int
    size: int = 0

    def fields(self) -> Mapping[str, object]:
        return {"number": self.number, "filler": "x" * self.size}


class Broken:
    def fields(self) -> Mapping[str, object]:
        raise ValueError("canary")


class Reader:
    """A sink that takes nothing until it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.asked = threading.Event()
        self.data: list[bytes] = []

    def __call__(self, data: bytes) -> None:
        self.asked.set()
        self.open.wait(30)
        self.data.append(data)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in b"".join(self.data).splitlines()]


@contextmanager
def blocked(capacity: int) -> Iterator[tuple[LogPipe, Reader]]:
    """A pipe whose thread hangs in the sink with one line."""
    reader = Reader()
    pipe = LogPipe(reader, json_line, capacity=capacity, wall=lambda: 0.0)
    pipe.put(Numbered(0))
    assert reader.asked.wait(10)
    try:
        yield pipe, reader
    finally:
        reader.open.set()
        assert pipe.close(10)


def test_lines_come_out_whole_and_in_order() -> None:
    written: list[bytes] = []
    pipe = LogPipe(written.append, json_line)
    for number in range(1000):
        pipe.put(Numbered(number))
    assert pipe.close(10)
    lines = b"".join(written).splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(1000))
    assert pipe.dropped == 0


@pytest.mark.parametrize(("lines", "rests"), [(31, 1), (32, 0), (33, 1)])
def test_lines_gather_while_there_are_few(lines: int, rests: int) -> None:
    reader = Reader()
    rested: list[float] = []
    pipe = LogPipe(reader, json_line, rest=rested.append)
    pipe.put(Numbered(0))
    assert reader.asked.wait(10)
    for number in range(lines):
        pipe.put(Numbered(number))
    reader.open.set()
    until(lambda: len(reader.lines()) == 1 + lines)
    until(lambda: len(rested) >= 1 + rests)
    assert pipe.close(10)
    assert rested == [0.002] * (1 + rests)


def test_who_closes_does_not_wait_for_more_lines() -> None:
    reader = Reader()
    rested: list[float] = []
    pipe = LogPipe(reader, json_line, rest=rested.append)
    pipe.put(Numbered(0))
    assert reader.asked.wait(10)
    pipe.put(Numbered(1))
    assert not pipe.close(0.0)
    reader.open.set()
    assert pipe.close(10)
    assert rested == [0.002]


def test_a_blocked_reader_costs_lines_and_never_time() -> None:
    with blocked(capacity=10) as (pipe, reader):
        started = time.monotonic()
        for number in range(1, 10_001):
            pipe.put(Numbered(number))
        assert time.monotonic() - started < 5
        assert pipe.dropped == 10_000 - 10
        reader.open.set()
        assert pipe.close(10)
        numbers = [line["number"] for line in reader.lines() if "number" in line]
        assert numbers == list(range(11))


def test_the_last_line_that_finds_room_is_kept_and_the_next_is_not() -> None:
    with blocked(capacity=3) as (pipe, _):
        for number in (1, 2, 3):
            pipe.put(Numbered(number))
        assert pipe.dropped == 0
        pipe.put(Numbered(4))
        assert pipe.dropped == 1


def test_what_was_dropped_is_said_once_the_reader_is_back() -> None:
    with blocked(capacity=1) as (pipe, reader):
        for number in range(1, 6):
            pipe.put(Numbered(number))
        reader.open.set()
        assert pipe.close(10)
        reports = [line for line in reader.lines() if line.get("event") == "log_dropped"]
        assert [report["lines"] for report in reports] == [4]
        assert reports[0]["level"] == "warning"


def test_closing_does_not_wait_for_a_reader_that_never_reads() -> None:
    with blocked(capacity=3) as (pipe, _):
        assert pipe.close(0.01) is False


def test_a_real_pipe_that_nobody_reads_blocks_nobody() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while os.write(writing, b"x" * 4096):
            pass
    os.set_blocking(writing, True)
    pipe = LogPipe(descriptor_sink(writing), json_line, capacity=50)
    try:
        for number in range(5000):
            pipe.put(Numbered(number))
        assert pipe.close(0.05) is False
        assert pipe.dropped >= 4900
    finally:
        os.close(reading)  # now writing fails, and the thread goes on to its end
        pipe._thread.join(10)
        os.close(writing)
    assert not pipe._thread.is_alive()


def test_a_descriptor_somebody_made_non_blocking_gets_every_byte() -> None:
    """Standard output may be shared with a program that did so."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    got = bytearray()

    def read_all() -> None:
        while part := os.read(reading, 4096):
            got.extend(part)

    thread = threading.Thread(target=read_all)
    pipe = LogPipe(descriptor_sink(writing), json_line)
    for number in range(2000):
        pipe.put(Numbered(number, size=200))
    thread.start()
    assert pipe.close(30)
    os.close(writing)
    thread.join(10)
    os.close(reading)
    assert [json.loads(line)["number"] for line in got.splitlines()] == list(range(2000))


def test_what_could_not_be_written_is_counted_whole_and_told_with_the_reason() -> None:
    """A report that is lost with its batch is made again."""
    reader, rested = Reader(), threading.Semaphore(0)
    full = [OSError(errno.ENOSPC, "No space left on device") for _ in range(3)]

    def sink(data: bytes) -> None:
        if full:
            raise full.pop()
        reader(data)

    reader.open.set()
    pipe = LogPipe(sink, json_line, rest=lambda _: rested.release())
    for number in range(4):
        pipe.put(Numbered(number))
        assert rested.acquire(timeout=10)
    assert pipe.close(10)
    lines = reader.lines()
    assert [line["number"] for line in lines if "number" in line] == [3]
    (report,) = [line for line in lines if line.get("event") == "log_dropped"]
    assert report["lines"] == 3
    assert report["msg"] == "3 log lines were dropped: no space left on device"


def test_a_line_that_broke_off_spoils_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a disk is full, and after a while no longer."""
    got, room = bytearray(), [20]

    def write(_: int, data: memoryview) -> int:
        taken = min(len(data), room[0])
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        got.extend(data[:taken])
        room[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", write)
    sink = descriptor_sink(1)
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            sink(b"a line that is far too long\n")
    room[0] = 1000
    sink(b"one\n")
    sink(b"two\n")
    assert got.split(b"\n") == [b"a line that is far t", b"one", b"two", b""]


@pytest.mark.parametrize("fault", [errno.EPIPE, errno.ENOSPC, errno.EIO])
def test_lines_that_cannot_be_written_are_counted_and_later_ones_are_tried(fault: int) -> None:
    written: list[bytes] = []
    faults = [OSError(fault, "no")]
    tried = threading.Event()

    def sink(data: bytes) -> None:
        try:
            if faults:
                raise faults.pop()
            written.append(data)
        finally:
            tried.set()

    pipe = LogPipe(sink, json_line, wall=lambda: 0.0)
    pipe.put(Numbered(1))
    assert tried.wait(10)
    pipe.put(Numbered(2))
    assert pipe.close(10)
    lines = [json.loads(line) for line in b"".join(written).splitlines()]
    assert [line["number"] for line in lines if "number" in line] == [2]
    assert pipe.dropped == 1


def test_an_odd_line_is_reported_without_its_text_and_silences_no_other() -> None:
    written: list[bytes] = []
    pipe = LogPipe(written.append, json_line, wall=lambda: 0.0)
    pipe.put(Broken())
    pipe.put(Numbered(2))
    assert pipe.close(10)
    lines = [json.loads(line) for line in b"".join(written).splitlines()]
    assert lines[0]["event"] == "log_failed"
    assert lines[0]["exception"] == "ValueError"
    assert lines[1]["number"] == 2
    assert b"canary" not in b"".join(written)

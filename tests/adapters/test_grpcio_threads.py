"""Threads give way to the event loop while there is much to do, and only then."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Iterator

import pytest

from extauthz.adapters import grpcio_threads
from extauthz.adapters.grpcio_threads import GivingWay

BUSY, CALM = 0.25, 0.149
LOOK = 0.1


class Process:
    """What a process takes of the processor, on a clock of its own, and the thread it has."""

    def __init__(self, thread: int) -> None:
        self.now = self.used = 0.0
        self.thread = thread
        self.threads = GivingWay(clock=lambda: self.now, used=lambda: self.used)

    def takes(self, share: float, looks: int = 1) -> None:
        for _ in range(looks):
            self.now += LOOK
            self.used += LOOK * share
            self.threads.look()

    def gives_way(self) -> bool:
        return os.sched_getscheduler(self.thread) == os.SCHED_BATCH


@pytest.fixture(autouse=True)
def usual() -> None:
    """Whatever a test in this process left behind."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture
def process() -> Iterator[Process]:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    assert thread.native_id is not None
    process = Process(thread.native_id)
    try:
        yield process
    finally:
        process.takes(0.0, 60)
        assert not process.gives_way()
        ended.set()
        thread.join()


def test_threads_give_way_once_there_was_much_to_do_for_two_looks(process: Process):
    process.takes(BUSY)
    assert not process.gives_way()
    process.takes(BUSY)
    assert process.gives_way()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_little_less_is_not_much(process: Process):
    process.takes(BUSY - 0.001, 20)
    assert not process.gives_way()


def test_one_scrape_after_another_is_no_load(process: Process):
    for _ in range(10):
        process.takes(1.0)
        process.takes(0.0)
    assert not process.gives_way()


def test_they_are_as_any_again_once_there_was_little_to_do_for_three_seconds(process: Process):
    process.takes(BUSY, 2)
    process.takes(CALM, 29)
    assert process.gives_way()
    process.takes(CALM)
    assert not process.gives_way()


def test_a_pause_is_no_end(process: Process):
    process.takes(BUSY, 2)
    for _ in range(3):
        process.takes(0.0, 29)
        process.takes(CALM + 0.002)
    assert process.gives_way()


def test_once_it_is_stopped_threads_are_as_any(process: Process):
    process.takes(BUSY, 2)
    process.threads.stop()
    assert not process.gives_way()
    process.takes(BUSY)
    assert not process.gives_way()


def test_a_thread_that_is_new_gives_way_as_well(process: Process):
    process.takes(BUSY, 2)
    os.sched_setscheduler(process.thread, os.SCHED_OTHER, os.sched_param(0))
    process.takes(BUSY)
    assert process.gives_way()


def test_a_thread_with_another_policy_keeps_it(process: Process):
    os.sched_setscheduler(process.thread, os.SCHED_IDLE, os.sched_param(0))
    for share, looks in ((BUSY, 2), (0.0, 30)):
        process.takes(share, looks)
        assert os.sched_getscheduler(process.thread) == os.SCHED_IDLE


def test_where_that_is_not_permitted_all_stays_as_it_is(
    process: Process, monkeypatch: pytest.MonkeyPatch
):
    def not_permitted(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr("os.sched_setscheduler", not_permitted)
        process.takes(BUSY, 3)
        assert not process.gives_way()


async def looked(threads: GivingWay, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether it looks again and again once it was started."""
    looks: list[None] = []
    monkeypatch.setattr(grpcio_threads, "_LOOK", 0.0)
    monkeypatch.setattr(threads, "look", lambda: looks.append(None))
    threads.start()
    for _ in range(20):
        await asyncio.sleep(0)
    threads.stop()
    seen = len(looks)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(looks) == seen, "it was stopped"
    return seen > 1


async def test_it_looks_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch):
    assert await looked(GivingWay(), monkeypatch)


async def test_a_policy_that_was_chosen_for_the_service_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
):
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        assert not await looked(GivingWay(), monkeypatch)
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


async def test_a_system_without_policies_is_no_trouble(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr("os.sched_getscheduler")
    assert not await looked(GivingWay(), monkeypatch)

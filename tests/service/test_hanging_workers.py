"""A worker that hangs takes connections with it: it is told of, asked where, and ended."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.service.conftest import WORKERS, Running, children, measured, started, until


def told(running: Running, what: str) -> bool:
    return any(what in line["msg"] for line in running.lines())


def test_it_is_ready_while_one_worker_gives_signs_of_life(workers: Running) -> None:
    hung = children(workers)
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: workers.ready() == 503)
        os.kill(hung.pop(), signal.SIGCONT)
        until(lambda: workers.ready() == 200)
    finally:
        for pid in hung:
            os.kill(pid, signal.SIGCONT)


def test_a_worker_that_hangs_is_told_of_with_what_is_done(workers: Running) -> None:
    """Its share of connections waits in vain, while readiness goes by the others."""
    hung, other = children(workers)

    os.kill(hung, signal.SIGSTOP)
    try:
        until(
            lambda: told(
                workers,
                "worker 0 has given no sign of life for some seconds: its share of connections "
                "waits in vain; in 10 s it is ended, and another one takes its place",
            )
        )
        assert not told(workers, "worker 1 has given no sign of life")
    finally:
        os.kill(hung, signal.SIGCONT)
    until(lambda: told(workers, "worker 0 gives signs of life again"))
    until(lambda: told(workers, "worker 0 says where it was"))
    (where,) = (line["stack"] for line in workers.lines() if "stack" in line)
    assert any(re.fullmatch(r"extauthz/service/worker\.py:\d+ main", call) for call in where)
    assert children(workers) == [hung, other]
    assert measured(workers, "extauthz_workers_lost_total") == 0


@pytest.mark.long
def test_a_worker_that_hangs_for_good_is_replaced(workers: Running) -> None:
    hung, other = children(workers)
    stopped = time.monotonic()
    os.kill(hung, signal.SIGSTOP)
    until(lambda: hung not in children(workers) and len(children(workers)) == 2, 60)
    assert time.monotonic() - stopped > 10, "it may only have been slow"
    assert other in children(workers)
    until(lambda: told(workers, "worker 0 ended with -9"))
    assert measured(workers, "extauthz_workers_lost_total") == 1
    until(lambda: {workers.judge()[0] for _ in range(10)} == {200})


@pytest.mark.long
def test_one_that_hangs_before_its_doors_are_open_is_replaced_too(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.write(WORKERS)
    impatient = "from extauthz.service import signs_of_life; signs_of_life._START = 1.0"
    with started(running, impatient):
        victim, other = children(running)
        os.kill(victim, signal.SIGKILL)
        until(lambda: set(children(running)) - {victim, other})
        (hung,) = set(children(running)) - {victim, other}
        os.kill(hung, signal.SIGSTOP)
        until(lambda: told(running, "worker 0 has not opened its doors since it was started"))
        assert running.ready() == 200
        until(lambda: hung not in children(running) and len(children(running)) == 2, 60)
        until(lambda: running.status()["health"]["listening"])
        until(lambda: {running.judge()[0] for _ in range(10)} == {200})

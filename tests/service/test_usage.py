"""What child processes take is added up, and stays when they end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from extauthz.service.usage import WorkersUsage

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of processes")

BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint(); input()"


@contextmanager
def busy() -> Iterator[subprocess.Popen[bytes]]:
    """A child that has taken 0.3 s of processor time and waits for the end of its input."""
    command = [sys.executable, "-c", BUSY]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child


def test_a_child_counts_while_it_lives_and_its_time_also_afterwards() -> None:
    usage = WorkersUsage()
    before = usage.of([])
    with busy() as child:
        alive = usage.of([child.pid])
    ended = usage.of([child.pid])
    assert alive.cpu_seconds - before.cpu_seconds >= 0.25
    assert alive.resident_bytes > before.resident_bytes == 0
    assert ended.cpu_seconds >= alive.cpu_seconds
    assert ended.resident_bytes == 0


def test_one_that_is_missed_for_a_moment_does_not_take_time_back() -> None:
    usage = WorkersUsage()
    with busy() as child:
        seen = usage.of([child.pid]).cpu_seconds
        assert usage.of([]).cpu_seconds == seen


def test_a_process_of_others_is_none_of_ours() -> None:
    """A number may be given to another process once its worker has ended."""
    usage = WorkersUsage()
    assert usage.of([os.getpid(), os.getppid(), 2**22 + 1]) == usage.of([])

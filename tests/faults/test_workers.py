"""A worker that is killed under load: its requests in flight are lost, and no others."""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import grpc
import pytest

from tests.attacks.table import ALLOW
from tests.faults.issuers import OddIssuer, configured, odd_issuer, rude_server
from tests.live import Live, until, verdict
from tests.service.conftest import children
from tests.tallies import Survived, at_length

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

CALLERS = 4


@contextmanager
def workers(folder: Path, transport: str = "grpcio") -> Iterator[tuple[Live, OddIssuer]]:
    live = Live(folder)
    with rude_server() as server:
        issuer = odd_issuer(server, "good")
        settings = {"grpc_transport": transport, "workers": 2}
        live.configure([configured(issuer)], **settings)
        with live.running():
            until(lambda: live.see_http(issuer.token()) == ALLOW)
            until(lambda: listening(live.ports["http"]) == 2)
            # Until every worker has said so, one that ends ends the start.
            until(lambda: live.ready() == 200)
            yield live, issuer


class Load:
    """Proxies that ask all the time, each by its own connection, which it opens again."""

    def __init__(self, live: Live, token: str) -> None:
        self.answers: list[str] = []
        self.lost = 0
        self._live, self._token = live, token
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        address = f"127.0.0.1:{self._live.ports['grpc']}"
        while not self._stop.is_set():
            with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                try:
                    while not self._stop.is_set():
                        self.answers.append(verdict(channel, self._token))
                except grpc.RpcError:
                    self.lost += 1

    def goes_on(self, answers: int = 40) -> None:
        seen = len(self.answers)
        until(lambda: len(self.answers) > seen + answers)


def until_replaced(live: Live, victim: int) -> None:
    """Wait until it is gone and two listen again."""
    until(lambda: victim not in children(live) and listening(live.ports["http"]) == 2)


def listening(port: int) -> int:
    """How many sockets on this machine listen on the port (state 0A)."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(f":{port:04X}") and line[3] == "0A" for line in lines)


@pytest.mark.parametrize("transport", ["grpcio", "native"])
def test_a_worker_is_killed_under_load(tmp_path: Path, transport: str, survived: Survived) -> None:
    kills = 25 if at_length() else 2
    seen = "requests in flight on that worker fail; all others: nothing"
    with (
        workers(tmp_path, transport) as (live, issuer),
        Load(live, issuer.token()) as load,
        survived("workers", f"kill -9 under load, {kills} times ({transport})", seen=seen),
    ):
        for number in range(kills):
            load.goes_on()
            victim = children(live)[number % 2]
            os.kill(victim, signal.SIGKILL)
            until_replaced(live, victim)
            load.goes_on()
        assert set(load.answers) == {ALLOW}
        assert load.lost <= kills * CALLERS


def test_a_worker_dies_while_no_other_can_be_started(tmp_path: Path, survived: Survived) -> None:
    """Descriptors have run out: the other worker goes on, and the lost one is made up for."""
    seen = "requests in flight on that worker fail; all others: nothing"
    with (
        workers(tmp_path) as (live, issuer),
        survived("workers", "a worker dies, no descriptors are left", seen=seen),
    ):
        victim, other = children(live)
        pid = live.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, limits[1]))
        try:
            os.kill(victim, signal.SIGKILL)
            until(lambda: victim not in children(live))
            until(lambda: live.see_http(issuer.token()) == ALLOW)
            for _ in range(20):
                assert live.see_http(issuer.token()) == ALLOW
            assert other in children(live)
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        until(lambda: listening(live.ports["http"]) == 2)
        for _ in range(20):
            assert live.see_http(issuer.token()) == ALLOW

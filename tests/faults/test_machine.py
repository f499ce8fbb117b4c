"""What the machine may do to a service that is running: names, clock, disk, log, descriptors.

What clients see in each case is said to the scoreboard. Good tokens must stay good throughout,
except where the clock is what makes them so.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from extauthz.keys.snapshot import Snapshot, SnapshotFolder
from extauthz.keys.source import IssuerSource
from tests.attacks.table import ALLOW
from tests.faults.clocks import Clock
from tests.faults.issuers import UNAVAILABLE, OddIssuer, configured, odd_issuer, rude_server
from tests.live import PATIENCE, Live, until, verdict
from tests.tallies import Survived
from tests.tokens import jwks, mint, signer

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

NOWHERE = "https://does-not-exist.invalid/realm"


@contextmanager
def two_issuers(folder: Path, how: dict[str, Any] | None = None, **settings: Any) -> Iterator[Any]:
    """A service, an issuer that a test may have trouble with, and another one."""
    live = Live(folder)
    with rude_server() as server:
        odd, good = odd_issuer(server, "odd"), odd_issuer(server, "good")
        live.configure([configured(odd), configured(good)], **settings)
        with live.running(**(how or {})):
            for issuer in (odd, good):
                live.until_seen(issuer.token())
            yield live, odd, good


def both_allowed(live: Live, *issuers: OddIssuer) -> None:
    assert [live.see(issuer.token()) for issuer in issuers] == [ALLOW] * len(issuers)


def test_a_name_that_does_not_resolve(tmp_path: Path, survived: Survived) -> None:
    """Its keys of before the restart serve; another issuer's rotation goes through."""
    live = Live(tmp_path)
    key, lost = signer(), {"name": "lost", "issuer": NOWHERE}
    never = {"name": "never", "issuer": "https://nor-does-this.invalid/realm"}
    document = json.dumps(jwks(key)).encode()
    source = IssuerSource(name="lost", issuer=NOWHERE)
    SnapshotFolder(tmp_path / "state").save(source, Snapshot(document, time.time()))
    with rude_server() as server:
        good = odd_issuer(server, "good")
        issuers = [lost, never, configured(good)]
        live.configure(issuers, state_dir=str(tmp_path / "state"))
        seen = f"known keys: allow; never known: {UNAVAILABLE}"
        with live.running(), survived("machine", "a name does not resolve", seen=seen):
            until(lambda: live.see_http(good.token()) == ALLOW)
            now = time.time()
            assert live.see(mint({"iss": NOWHERE}, key=key, now=now)) == ALLOW
            assert live.see(mint({"iss": never["issuer"]}, key=key, now=now)) == UNAVAILABLE
            until(lambda: live.issuer("lost")["last_error"])
            assert live.issuer("lost")["from_snapshot"]
            fresh = good.rotate()
            assert live.see(good.token(fresh)) == ALLOW


def test_the_clock_is_put_forward_and_back(tmp_path: Path, survived: Survived) -> None:
    """Tokens are judged by the clock as it is now; what was remembered does not outlive it."""
    clock = Clock(tmp_path)
    hour = 3600
    with two_issuers(tmp_path, {"env": clock.environment}) as (live, odd, good):
        seen = "tokens are judged by the new time, keys stay"
        with survived("machine", "the clock steps an hour, both ways", seen=seen):
            token, later = odd.token(), odd.token(exp=int(time.time()) + 2 * hour)
            fetches = len(good.server.asked)
            assert live.see(token) == live.see(later) == ALLOW
            clock.step(+hour)
            assert (live.see(token), live.see(later)) == ("token_expired", ALLOW)
            assert live.ready() == 200
            clock.step(-hour)
            until_then = odd.token(nbf=int(time.time()) - 10)
            assert live.see(until_then) == "token_not_yet_valid"
            clock.step(0)
            assert live.see(token) == live.see(until_then) == ALLOW
            fresh = good.rotate()
            assert live.see(good.token(fresh)) == ALLOW
            took = len(good.server.asked) - fetches
            assert took < 100, "a storm of refreshes"


def limited(live: Live, what: int, soft: int) -> tuple[int, int]:
    """Set a limit of the running process; what it was before."""
    before = resource.prlimit(live.process.pid, what)
    resource.prlimit(live.process.pid, what, (soft, before[1]))
    return before


def test_the_disk_is_full_for_snapshots(tmp_path: Path, survived: Survived) -> None:
    """The snapshot of before stays whole, nothing half-written is left, and nobody notices."""
    state = tmp_path / "state"
    settings = {"state_dir": str(state)}
    # What it logs goes elsewhere, since the limit is on files of any kind.
    with two_issuers(tmp_path, {"stdout": subprocess.DEVNULL}, **settings) as (live, odd, good):
        until(lambda: len(list(state.glob("keys-*.json"))) == 2)
        before = {file: file.read_bytes() for file in state.glob("keys-*.json")}
        limits = limited(live, resource.RLIMIT_FSIZE, 64)
        with survived("machine", "the disk is full for snapshots", seen="nothing"):
            fresh = odd.rotate()
            assert live.see(odd.token(fresh)) == ALLOW
            both_allowed(live, odd, good)
            assert {file: file.read_bytes() for file in state.iterdir()} == before
        resource.prlimit(live.process.pid, resource.RLIMIT_FSIZE, limits)
        again = odd.rotate()
        assert live.see(odd.token(again)) == ALLOW
        kid = again.kid.encode()
        until(lambda: any(kid in file.read_bytes() for file in state.glob("keys-*.json")))


def test_the_log_cannot_be_written(tmp_path: Path, survived: Survived) -> None:
    with (
        Path("/dev/full").open("wb") as full,
        two_issuers(tmp_path, {"stdout": full}) as (live, odd, good),
        survived("machine", "the disk is full for the log", seen="nothing"),
    ):
        lost = live.metric("extauthz_log_dropped_total")
        both_allowed(live, odd, good)
        until(lambda: live.metric("extauthz_log_dropped_total") > lost)
        assert live.ready() == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_reads_the_log(tmp_path: Path, workers: int, survived: Survived) -> None:
    """The pipe fills up and blocks its writer; requests go on, and so does the end."""
    ours, theirs = os.pipe()
    name = f"the log pipe is blocked, {workers} workers"
    try:
        with two_issuers(tmp_path, {"stdout": theirs}, workers=workers) as (live, odd, good):
            os.close(theirs)
            with survived("machine", name, seen="nothing"):
                channel = grpc.insecure_channel(f"127.0.0.1:{live.ports['grpc']}")
                with channel:
                    for _ in range(400):  # of some 400 bytes each; a pipe holds 64 KiB
                        assert verdict(channel, odd.token()) == ALLOW
                both_allowed(live, odd, good)
                assert live.ready() == 200
                live.process.send_signal(signal.SIGTERM)
                assert live.process.wait(PATIENCE) == 0
    finally:
        os.close(ours)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def test_no_descriptors_are_left(tmp_path: Path, survived: Survived) -> None:
    """Those connected go on, known keys serve, and all is well when there are some again."""
    with two_issuers(tmp_path) as (live, odd, good), ExitStack() as stack:
        channel = grpc.insecure_channel(f"127.0.0.1:{live.ports['grpc']}")
        stack.enter_context(channel)
        assert verdict(channel, odd.token()) == ALLOW
        seen = "connected proxies: nothing; new connections: closed or kept waiting"
        with survived("machine", "no descriptors are left", seen=seen):
            limits = limited(live, resource.RLIMIT_NOFILE, live.descriptors() + 4)
            try:
                crowd = [stack.enter_context(connect(live.ports["http"])) for _ in range(40)]
                until(lambda: verdict(channel, odd.token()) == ALLOW)
                fresh = odd.rotate()
                until(lambda: verdict(channel, odd.token(fresh)) in (UNAVAILABLE, ALLOW))
                for _ in range(100):
                    assert verdict(channel, odd.token()) == ALLOW
                    assert verdict(channel, good.token()) == ALLOW
                assert live.process.poll() is None
            finally:
                resource.prlimit(live.process.pid, resource.RLIMIT_NOFILE, limits)
            for one in crowd:
                one.close()
            until(lambda: live.see_http(odd.token(fresh)) == ALLOW)
            both_allowed(live, odd, good)
            assert live.ready() == 200
        assert len(live.log.read_bytes()) < 500_000, "the log is flooded"

"""Starting without an issuer, and ending without losing a request."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from extauthz.demo.issuer import Issuer
from tests.e2e.processes import accepts, program
from tests.service.conftest import CONFIG, RESOURCE, Running, until


def test_sigterm_says_no_more_first_then_drains_and_exits_0(service: Running) -> None:
    service.write(drain="3s")
    service.reload()
    until(lambda: any(line["msg"] == "configuration taken" for line in service.lines()))
    with grpc.insecure_channel(f"127.0.0.1:{service.ports['grpc']}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        until(lambda: stub.Check(health_pb2.HealthCheckRequest()).status == 1)
        started = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        until(lambda: service.ready() == 503)
        until(lambda: stub.Check(health_pb2.HealthCheckRequest()).status == 2, seconds=1)
        assert service.judge()[0] == 200
    assert service.process.wait(10) == 0
    assert time.monotonic() - started < 10


def test_a_second_sigterm_ends_at_once(service: Running) -> None:
    service.write(drain="10s")
    service.reload()
    until(lambda: any(line["msg"] == "configuration taken" for line in service.lines()))
    service.process.send_signal(signal.SIGTERM)
    until(lambda: service.ready() == 503)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(2) == 0


def test_it_starts_while_the_issuer_is_down_and_becomes_ready_by_itself(tmp_path: Path) -> None:
    running = Running(tmp_path)
    keys = tmp_path / "jwks.json"
    good = keys.read_text()
    keys.write_text("{}")
    command = [sys.executable, "-m", "extauthz", "serve", "--config", str(running.file)]
    with program(command, running.log, lambda: accepts(running.ports["grpc"])):
        status, headers, body = running.judge()
        assert (status, json.loads(body)["reason"]) == (503, "keys_unavailable")
        assert "retry-after" in headers
        assert "www-authenticate" not in headers
        assert running.ready() == 503
        assert running.ask("admin", "/healthz")[0] == 200
        keys.write_text(good)
        until(lambda: running.ready() == 200)
        assert running.judge()[0] == 200


def test_a_snapshot_serves_through_a_restart_while_the_issuer_is_down(tmp_path: Path) -> None:
    running = Running(tmp_path)
    command = [sys.executable, "-m", "extauthz", "serve", "--config", str(running.file)]
    up = lambda: accepts(running.ports["grpc"])  # noqa: E731
    with Issuer() as issuer:
        fetched = CONFIG.replace("    jwks_file: {jwks}\n", "") + "state_dir: {folder}/state\n"
        running.write(fetched, issuer=issuer.url, folder=tmp_path)
        token = issuer.mint(aud=RESOURCE, scope="notes")
        with program(command, running.log, up):
            until(lambda: running.ready() == 200)
            until(lambda: list((tmp_path / "state").glob("*")))
    with program(command, running.log, up):
        until(lambda: running.ready() == 200)
        assert running.judge_token(token)[0] == 200
        (told,) = running.status()["health"]["issuers"]
        assert told["from_snapshot"]


def test_a_taken_port_is_a_clear_error_and_exit_1(service: Running) -> None:
    command = [sys.executable, "-m", "extauthz", "serve", "--config", str(service.file)]
    ended = subprocess.run(command, capture_output=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert b"cannot listen on 127.0.0.1" in ended.stdout

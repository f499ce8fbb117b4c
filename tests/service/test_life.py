"""Starting without an issuer, and ending without losing a request."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from extauthz.demo.issuer import Fault, Issuer
from extauthz.service.ending import shares
from tests.e2e.processes import accepts, program
from tests.service.conftest import CONFIG, RESOURCE, Running, until
from tests.tokens import mint, signer


def test_sigterm_says_no_more_first_then_drains_and_exits_0(service: Running) -> None:
    service.write(drain="9s")
    service.reload()
    until(lambda: any(line["msg"] == "configuration taken" for line in service.lines()))
    with grpc.insecure_channel(f"127.0.0.1:{service.ports['grpc']}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        until(lambda: stub.Check(health_pb2.HealthCheckRequest()).status == 1)
        started = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        until(lambda: service.ready() == 503)
        until(lambda: stub.Check(health_pb2.HealthCheckRequest()).status == 2)
        assert service.judge()[0] == 200
    assert service.process.wait(10) == 0
    assert time.monotonic() - started < 10


def test_while_it_drains_http_connections_end_with_an_answer(service: Running) -> None:
    service.write(drain="9s")
    service.reload()
    until(lambda: any(line["msg"] == "configuration taken" for line in service.lines()))
    assert "connection" not in service.judge()[1]
    service.process.send_signal(signal.SIGTERM)
    until(lambda: service.ready() == 503)
    status, headers, _ = service.judge()
    assert (status, headers["connection"]) == (200, "close")
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(10) == 0


def test_a_second_sigterm_ends_at_once(service: Running) -> None:
    service.write(drain="10s")
    service.reload()
    until(lambda: any(line["msg"] == "configuration taken" for line in service.lines()))
    service.process.send_signal(signal.SIGTERM)
    until(lambda: service.ready() == 503)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(2) == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "version: 1"),
        ("version: 1", "version: 1\nworkers: 2"),
        ("listen: {{", "listen: {{grpc_transport: native, "),
    ],
)
def test_a_second_signal_ends_at_once_also_while_requests_under_way_have_their_time(
    tmp_path: Path, old: str, new: str
) -> None:
    running = Running(tmp_path)
    running.write(CONFIG.replace(old, new), drain="10s")
    command = [sys.executable, "-m", "extauthz", "serve", "--config", str(running.file)]
    up = lambda: all(accepts(running.ports[name]) for name in ("grpc", "http"))  # noqa: E731
    address = ("127.0.0.1", running.ports["http"])
    with (
        program(command, running.log, up) as process,
        socket.create_connection(address) as http,
        grpc.insecure_channel(f"127.0.0.1:{running.ports['grpc']}") as channel,
    ):
        watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watching)
        http.sendall(b"POST /auth/nginx HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nsome")
        # SIGINT does not wait for load balancers.
        process.send_signal(signal.SIGINT)
        until(lambda: not accepts(running.ports["http"]))
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(2) == 0


@pytest.mark.parametrize(
    ("drain", "noticing", "under_way"), [(0, 0, 0), (5, 2, 3), (9, 3.6, 5.4), (10, 3.6, 5.4)]
)
def test_the_longest_drain_leaves_a_second_of_ten_for_what_comes_after(
    drain: float, noticing: float, under_way: float
) -> None:
    assert shares(drain) == pytest.approx((noticing, under_way))


def test_threads_of_grpcio_give_way_to_the_event_loop_while_there_is_much_to_do(
    service: Running,
) -> None:
    loop = service.process.pid

    def giving_way() -> int:
        others = {int(task.name) for task in Path(f"/proc/{loop}/task").iterdir()} - {loop}
        assert os.sched_getscheduler(loop) == os.SCHED_OTHER
        return [os.sched_getscheduler(other) for other in others].count(os.SCHED_BATCH)

    def ask_for(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            stub.Check(health_pb2.HealthCheckRequest())

    with grpc.insecure_channel(f"127.0.0.1:{service.ports['grpc']}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        stub.Check(health_pb2.HealthCheckRequest())
        assert giving_way() == 0
        deadline = time.monotonic() + 20
        while giving_way() < 3 and time.monotonic() < deadline:
            ask_for(0.1)
        assert giving_way() >= 3
    until(lambda: giving_way() == 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["extauthz.config.load.load", "extauthz.service.run._serve"])
def test_a_signal_before_there_is_a_service_ends_with_0(
    tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    """The first moment is before the configuration is read, the last before the loop begins."""
    running = Running(tmp_path)
    code = (
        "import importlib, os, sys; from extauthz.cli import main\n"
        f"module, _, name = '{moment}'.rpartition('.')\n"
        f"signalled = lambda *_, **__: os.kill(os.getpid(), {int(number)})\n"
        "setattr(importlib.import_module(module), name, signalled)\n"
        f"sys.exit(main(['serve', '--config', '{running.file}']))"
    )
    ended = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert ended.returncode == 0


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


def test_nobody_is_refused_for_want_of_keys_that_are_on_their_way(tmp_path: Path) -> None:
    """A proxy that does not check health asks another replica where nobody listens yet."""
    running = Running(tmp_path)
    command = [sys.executable, "-m", "extauthz", "serve", "--config", str(running.file)]
    with Issuer() as issuer:
        issuer.faults["keys"], issuer.delay = Fault.SLOW, 1.0
        fetched = CONFIG.replace("    jwks_file: {jwks}\n", "")
        running.write(fetched, issuer=issuer.url)
        token = issuer.mint(aud=RESOURCE, scope="notes")
        answers: list[int] = []
        refused: list[str] = []

        def asked() -> bool:
            if accepts(running.ports["admin"]) and running.ready() != 200:
                refused.append(running.ask("admin", "/readyz")[2].decode())
            try:
                answers.append(running.judge_token(token)[0])
            except ConnectionRefusedError:
                return False
            return True

        with program(command, running.log, asked):
            assert set(answers) == {200}
            assert any("first attempt" in why for why in refused)
            until(lambda: running.ready() == 200)


def test_an_issuer_that_hangs_does_not_keep_the_doors_shut(tmp_path: Path) -> None:
    running = Running(tmp_path)
    command = [sys.executable, "-m", "extauthz", "serve", "--config", str(running.file)]
    with Issuer() as issuer:
        issuer.faults["keys"], issuer.delay = Fault.SLOW, 60.0
        hanging = f"{{{{name: hanging, issuer: {issuer.url}, keys: {{{{timeout: 30s}}}}}}}}"
        text = CONFIG.replace("issuers:\n", f"issuers:\n  - {hanging}\n")
        running.write(text.replace("    scopes:", "    issuers: [corp]\n    scopes:"))
        with program(command, running.log, lambda: accepts(running.ports["http"])):
            assert running.judge()[0] == 200
            assert running.ready() == 503


def test_what_the_form_says_of_an_unknown_key_is_what_is_served(tmp_path: Path) -> None:
    """Whether the keys could be had is asked of the token's issuer, not of others."""
    running = Running(tmp_path)
    down = "{{name: down, issuer: 'https://down.example', jwks_file: '{folder}/none.json'}}"
    text = CONFIG.replace("issuers:\n", f"issuers:\n  - {down}\n")
    running.write(text.replace("    scopes:", "    issuers: '*'\n    scopes:"), folder=tmp_path)
    command = [sys.executable, "-m", "extauthz", "serve", "--config", str(running.file)]
    with program(command, running.log, lambda: accepts(running.ports["http"])):
        until(lambda: running.ready() == 200)
        now = time.time()
        other = mint(key=signer("ES256", "unknown"), now=now)
        for token, reason in (
            (other, "unknown_key"),
            (mint({"iss": "https://down.example"}, now=now), "keys_unavailable"),
        ):
            assert json.loads(running.judge_token(token)[2])["reason"] == reason
            assert running.explained(token)["reason"] == reason
        assert running.explained("")["reason"] == "missing_token"
        assert running.explained("", origin="https://evil.example")["reason"] == "bad_origin"


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


@pytest.mark.parametrize("name", ["admin", "http", "grpc"])
def test_a_taken_port_is_a_clear_error_and_exit_1(service: Running, name: str) -> None:
    others = [f"--listen-{one}=127.0.0.1:0" for one in ("admin", "http", "grpc") if one != name]
    assert refused_to_serve(service, *others) == (
        f"cannot serve: cannot listen on 127.0.0.1:{service.ports[name]}: address already in use: "
        "another program, perhaps another extauthz, listens there; stop it, or set "
        f"listen.{name} (flag --listen-{name}, variable EXTAUTHZ_LISTEN_{name.upper()})"
    )


def test_an_address_of_another_machine_is_a_clear_error_and_exit_1(tmp_path: Path) -> None:
    running = Running(tmp_path)
    assert refused_to_serve(running, "--listen-admin=192.0.2.1:9090") == (
        "cannot serve: cannot listen on 192.0.2.1:9090: cannot assign requested address: this "
        "machine has no such address; set listen.admin (flag --listen-admin, variable "
        "EXTAUTHZ_LISTEN_ADMIN)"
    )


def test_a_folder_in_place_of_a_unix_socket_is_no_other_program(tmp_path: Path) -> None:
    running, folder = Running(tmp_path), tmp_path / "admin.sock"
    folder.mkdir()
    assert refused_to_serve(running, f"--listen-admin=unix:{folder}") == (
        f"cannot serve: cannot listen on unix:{folder}: a folder is there: remove it, or set "
        "listen.admin (flag --listen-admin, variable EXTAUTHZ_LISTEN_ADMIN)"
    )


def test_on_loopback_the_status_is_for_this_machine_alone(service: Running) -> None:
    assert service.ask("admin", "/status", host="evil.example")[0] == 421
    assert service.ask("admin", "/status", host="localhost")[0] == 200


def refused_to_serve(running: Running, *flags: str) -> str:
    """What a service says that cannot begin."""
    command = [sys.executable, "-m", "extauthz", "serve", "--config", str(running.file), *flags]
    ended = subprocess.run(command, capture_output=True, timeout=20, check=False)
    assert ended.returncode == 1
    (critical,) = [
        line for line in map(json.loads, ended.stdout.splitlines()) if line["level"] == "critical"
    ]
    return str(critical["msg"])

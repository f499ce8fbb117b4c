"""Several workers look like one service: keys, reload, drain, numbers, and a death unnoticed."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from extauthz.demo.issuer import Issuer
from tests.e2e.processes import accepts, program
from tests.service.broken import breakable
from tests.service.conftest import (
    CONFIG,
    RESOURCE,
    WORKERS,
    Running,
    children,
    measured,
    started,
    until,
)

DECISIONS = re.compile(rb"^extauthz_decisions_total\{([^}]*)\} ([0-9.]+)$", re.MULTILINE)


def counted(running: Running) -> float:
    metrics = running.ask("admin", "/metrics")[2]
    return sum(float(count) for _, count in DECISIONS.findall(metrics))


def started_at(pid: int) -> float:
    """Seconds between the start of the machine and that of a process (proc(5))."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return int(ticks) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_two_processes_serve_and_their_numbers_are_added_up(workers: Running) -> None:
    assert len(children(workers)) == 2
    for _ in range(40):
        assert workers.judge()[0] == 200
        assert workers.judge(scope="other")[0] == 403
    until(lambda: counted(workers) == 80)
    until(lambda: workers.status()["cache"]["entries"] > 0)


def test_who_asks_is_told_what_any_worker_counted_until_then(workers: Running) -> None:
    for number in range(1, 9):
        assert workers.judge(scope="other")[0] == 403
        assert counted(workers) == number
    assert workers.judge()[0] == 200
    status = workers.status()
    assert status["cache"]["entries"] > 0
    assert [one["reason"] for one in status["refusals"]] == ["insufficient_scope"] * 3


def test_a_worker_that_hangs_keeps_nobody_from_the_numbers(workers: Running) -> None:
    assert workers.judge()[0] == 200
    assert counted(workers) == 1
    hung, *_ = children(workers)
    os.kill(hung, signal.SIGSTOP)
    try:
        assert counted(workers) == 1
    finally:
        os.kill(hung, signal.SIGCONT)


def test_every_process_may_open_as_many_files_as_the_system_lets_it(tmp_path: Path) -> None:
    """systemd and containers begin at 1,024, which is a third as many connections over gRPC."""
    running = Running(tmp_path)
    running.write(WORKERS)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 256), before[1]))
    try:
        with started(running):
            for pid in (running.process.pid, *children(running)):
                assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_worker_killed_under_load_is_replaced_and_the_other_goes_on(workers: Running) -> None:
    stop = threading.Event()
    answers: list[int] = []
    broken: list[OSError] = []

    def ask() -> None:
        while not stop.is_set():
            try:
                answers.append(workers.judge()[0])
            except OSError as fault:
                broken.append(fault)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    until(lambda: len(answers) > 50)
    before = counted(workers)
    victim, other = children(workers)
    killed = time.clock_gettime(time.CLOCK_BOOTTIME)
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in children(workers) and len(children(workers)) == 2)
    (successor,) = {*children(workers)} - {other}
    assert started_at(successor) - killed < 1
    seen = len(answers)
    until(lambda: len(answers) > seen + 50)
    stop.set()
    for thread in asking:
        thread.join()
    assert set(answers) == {200}
    assert len(broken) < 20, "only what the dead worker had taken is lost"
    until(lambda: counted(workers) > before)
    assert any("another one takes its place" in line["msg"] for line in workers.lines())
    assert measured(workers, "extauthz_workers_lost_total") == 1


@pytest.mark.parametrize(
    "part", ["extauthz.service.workers._started", "extauthz.service.workers.Channel.over"]
)
def test_workers_come_back_whatever_kept_them_from_starting(tmp_path: Path, part: str) -> None:
    """Meanwhile nobody answers, and readiness says so."""
    running = Running(tmp_path)
    running.write(WORKERS)
    with breakable(running, part, "RuntimeError('no thread is to be had')") as flag:
        until(lambda: running.ready() == 200)
        flag.touch()
        for pid in children(running):
            os.kill(pid, signal.SIGKILL)
        until(lambda: running.ready() == 503)
        assert b"no worker gives a sign of life" in running.ask("admin", "/readyz")[2]
        until(lambda: any("could not be run" in line["msg"] for line in running.lines()))
        flag.unlink()
        until(lambda: running.ready() == 200)
        assert {running.judge()[0] for _ in range(10)} == {200}
        until(lambda: sum(map(alive, children(running))) == 2)


def test_processor_time_and_memory_are_those_of_all_processes(workers: Running) -> None:
    supervisor, *serving = resident(workers.process.pid), *map(resident, children(workers))
    assert measured(workers, "process_resident_memory_bytes") > supervisor + max(serving)
    before = measured(workers, "process_cpu_seconds_total")
    for _ in range(50):
        assert workers.judge()[0] == 200
    until(lambda: measured(workers, "process_cpu_seconds_total") > before)


def test_processor_time_never_goes_back_when_a_worker_dies(workers: Running) -> None:
    seen = [measured(workers, "process_cpu_seconds_total")]
    victim = children(workers)[0]
    os.kill(victim, signal.SIGKILL)

    def replaced() -> bool:
        seen.append(measured(workers, "process_cpu_seconds_total"))
        return victim not in children(workers) and len(children(workers)) == 2

    until(replaced)
    assert seen == sorted(seen)


def test_a_changed_file_reaches_every_worker(workers: Running) -> None:
    assert workers.judge()[0] == 200
    workers.write(WORKERS, scope="more")
    workers.reload()
    until(lambda: any(line["msg"] == "configuration taken" for line in workers.lines()))
    until(lambda: workers.judge()[0] == 403)
    until(lambda: {workers.judge()[0] for _ in range(40)} == {403})


def test_a_file_is_taken_when_every_worker_goes_by_it(workers: Running) -> None:
    def taken() -> bool:
        return any(line["msg"] == "configuration taken" for line in workers.lines())

    before = workers.status()["health"]["config"]["digest"]
    slow = children(workers)[0]
    os.kill(slow, signal.SIGSTOP)
    try:
        workers.write(WORKERS, scope="more")
        workers.reload()
        until(lambda: workers.status()["servers"][0]["scopes"] == ["more"])
        assert workers.status()["health"]["config"]["digest"] == before
        assert not taken()
    finally:
        os.kill(slow, signal.SIGCONT)
    until(taken)
    assert workers.status()["health"]["config"]["digest"] != before
    assert {workers.judge()[0] for _ in range(40)} == {403}


def test_a_bad_file_leaves_every_worker_as_it_was(workers: Running) -> None:
    workers.file.write_text(workers.file.read_text().replace("scopes:", "skopes:"))
    workers.reload()
    until(lambda: workers.status()["health"]["config"]["problems"])
    assert {workers.judge()[0] for _ in range(20)} == {200}


def test_a_new_key_is_fetched_once_and_every_worker_has_it(tmp_path: Path) -> None:
    running = Running(tmp_path)
    with Issuer() as issuer:
        fetched = WORKERS.replace("    jwks_file: {jwks}\n", "")
        running.write(fetched, issuer=issuer.url)
        with started(running):
            fetches = issuer.counts["keys"]
            assert fetches == 1
            issuer.rotate()
            token = issuer.mint(aud=RESOURCE, scope="notes")
            assert {running.judge_token(token)[0] for _ in range(40)} == {200}
            assert issuer.counts["keys"] == 2


@pytest.mark.parametrize("number", [1, 2])
def test_sighup_drops_a_withdrawn_key_although_its_tokens_are_remembered(
    tmp_path: Path, number: int
) -> None:
    running = Running(tmp_path)
    with Issuer() as issuer:
        text = CONFIG.replace("jwks_file: {jwks}", "keys: {{refresh: 24h, cooldown: 1h}}")
        running.write(f"{text}workers: {number}\n", issuer=issuer.url)
        with started(running):
            leaked = issuer.mint(aud=RESOURCE, scope="notes")
            assert {running.judge_token(leaked)[0] for _ in range(20)} == {200}
            issuer.rotate(keep_previous=False)
            assert {running.judge_token(leaked)[0] for _ in range(20)} == {200}
            running.reload()
            until(lambda: {running.judge_token(leaked)[0] for _ in range(20)} == {401})
            good = issuer.mint(aud=RESOURCE, scope="notes")
            assert {running.judge_token(good)[0] for _ in range(20)} == {200}


def test_while_the_issuer_is_down_every_worker_says_so(tmp_path: Path) -> None:
    running = Running(tmp_path)
    keys = tmp_path / "jwks.json"
    good = keys.read_text()
    keys.write_text("{}")
    running.write(WORKERS)
    command = [sys.executable, "-m", "extauthz", "serve", "--config", str(running.file)]
    with program(command, running.log, lambda: accepts(running.ports["http"])):
        assert {running.judge()[0] for _ in range(10)} == {503}
        keys.write_text(good)
        until(lambda: running.ready() == 200)
        until(lambda: {running.judge()[0] for _ in range(20)} == {200})


@pytest.mark.parametrize("to_all", [False, True])
def test_sigterm_drains_all_and_exits_0(workers: Running, to_all: bool) -> None:
    """Also where everything that belongs to a service is sent it, as by systemd."""
    workers.write(WORKERS, drain="9s")
    workers.reload()
    until(lambda: any(line["msg"] == "configuration taken" for line in workers.lines()))
    before = children(workers)
    asked_at = time.monotonic()
    for pid in (*before * to_all, workers.process.pid):
        os.kill(pid, signal.SIGTERM)
    until(lambda: workers.ready() == 503)
    assert {workers.judge()[0] for _ in range(10)} == {200}
    assert workers.process.wait(10) == 0
    assert time.monotonic() - asked_at < 10
    assert not any(Path(f"/proc/{pid}").exists() for pid in before)
    assert not any("another one takes its place" in line["msg"] for line in workers.lines())


def test_a_request_under_way_when_it_ends_still_has_its_key_looked_for(tmp_path: Path) -> None:
    running = Running(tmp_path)
    with Issuer() as issuer:
        fetched = WORKERS.replace("    jwks_file: {jwks}\n", "")
        running.write(fetched, issuer=issuer.url, drain="5s")
        address = ("127.0.0.1", running.ports["http"])
        with started(running), closing(HTTPConnection(*address, timeout=10)) as connection:
            issuer.rotate()
            connection.putrequest("POST", "/auth/forward")
            for name, value in {
                "x-forwarded-uri": "/notes/mcp",
                "x-forwarded-method": "GET",
                "x-forwarded-host": "mcp.example.com",
                "x-forwarded-proto": "https",
                "authorization": f"Bearer {issuer.mint(aud=RESOURCE, scope='notes')}",
                "content-length": "5",
            }.items():
                connection.putheader(name, value)
            connection.endheaders(b"be")
            # SIGINT does not wait for load balancers.
            running.process.send_signal(signal.SIGINT)
            until(lambda: not accepts(running.ports["http"]))
            connection.send(b"gun")
            assert connection.getresponse().status == 200
            assert running.process.wait(5) == 0


def test_workers_do_not_outlive_a_supervisor_that_was_killed(workers: Running) -> None:
    before = children(workers)
    workers.process.kill()
    until(lambda: not any(Path(f"/proc/{pid}/fd").exists() and alive(pid) for pid in before))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_taken_port_is_a_clear_error_and_exit_1(workers: Running) -> None:
    other = workers.file.with_name("other.yaml")
    text = re.sub(r"admin: \"[^\"]+\"", 'admin: "127.0.0.1:0"', workers.file.read_text())
    other.write_text(text)
    command = [sys.executable, "-m", "extauthz", "serve", "--config", str(other)]
    ended = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert b"cannot listen on 127.0.0.1" in ended.stdout

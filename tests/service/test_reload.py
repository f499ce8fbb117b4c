"""A changed file takes effect, a bad one does not, and nobody notices a gap."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from extauthz.config.load import load
from extauthz.demo.issuer import Fault, Issuer
from extauthz.service import reload
from extauthz.service.reload import ConfigWatch, read_apart, settled_change
from extauthz.telemetry.records import described
from tests.e2e.processes import accepts, program
from tests.service.broken import breakable
from tests.service.conftest import CONFIG, RESOURCE, Running, started, until
from tests.tokens import ISSUER, signer


def test_sighup_takes_a_changed_file(service: Running) -> None:
    assert service.judge()[0] == 200
    before = service.status()["health"]["config"]["digest"]
    service.write(scope="more")
    service.reload()
    until(lambda: service.judge()[0] == 403)
    assert service.status()["health"]["config"]["digest"] != before
    assert b'extauthz_config_reload_total{result="ok"} 1.0' in service.ask("admin", "/metrics")[2]


def test_a_changed_file_is_noticed_without_a_signal(service: Running) -> None:
    service.write(scope="more")
    until(lambda: service.judge()[0] == 403)


def test_a_file_swapped_by_its_folder_is_noticed(service: Running) -> None:
    """Kubernetes swaps a link to a folder; the file's own path never changes."""
    text = service.file.read_text()
    for version in ("v1", "v2"):
        (service.folder / version).mkdir()
        (service.folder / version / "extauthz.yaml").write_text(text)
    (service.folder / "v2" / "extauthz.yaml").write_text(text.replace("[notes]", "[more]"))
    link = service.folder / "current"
    link.symlink_to("v1")
    service.file.unlink()
    service.file.symlink_to("current/extauthz.yaml")
    service.reload()
    assert service.judge()[0] == 200
    link.unlink()
    link.symlink_to("v2")
    until(lambda: service.judge()[0] == 403)


def test_a_change_between_loading_and_watching_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "extauthz.yaml"
    text = f"version: 1\nissuers: [{{issuer: {ISSUER}}}]\nservers: [{{resource: {RESOURCE}}}]\n"
    file.write_text(text)
    loaded = load(str(file), environ={})
    file.write_text(text + "drain: 1s\n")
    watch = ConfigWatch(loaded)
    assert watch.changed()
    assert not watch.changed()


async def test_a_file_that_is_being_written_is_taken_when_it_has_come_to_its_end(
    tmp_path: Path,
) -> None:
    """Its first half may be good by itself, and leave out what follows."""
    file = tmp_path / "extauthz.yaml"
    text = f"version: 1\nissuers: [{{issuer: {ISSUER}}}]\nservers:\n- resource: {RESOURCE}\n"
    file.write_text(text)
    watch = ConfigWatch(load(str(file), environ={}))
    assert not await settled_change(watch.changed)
    parts = ["  tools:\n", "    delete: [admin]\n", "    wipe: deny\n"]
    rests: list[float] = []

    async def written_meanwhile(seconds: float) -> None:
        rests.append(seconds)
        if parts:
            with file.open("a") as growing:
                growing.write(parts.pop(0))

    file.write_text(text.replace("issuers", "drain: 1s\nissuers"))
    assert await settled_change(watch.changed, written_meanwhile)
    assert not parts
    assert not watch.changed()
    assert sum(rests) == 2, "it has to be in force within ten seconds"


@pytest.mark.timeout(60)
def test_a_file_that_is_gone_brings_no_other_into_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found where it was looked for, and not named: the environment would be the next place."""
    running = Running(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OAUTH_ISSUER", "https://other.example")
    monkeypatch.setenv("OAUTH_AUDIENCE", RESOURCE)
    command = [sys.executable, "-m", "extauthz", "serve"]
    with program(command, running.log, lambda: accepts(running.ports["grpc"])) as running.process:
        text = running.file.read_text()
        running.file.unlink()
        running.reload()
        until(lambda: running.status()["health"]["config"]["problems"])
        config = running.status()["health"]["config"]
        assert config["problems"] == [
            "./extauthz.yaml: cannot be read: No such file or directory; expected a readable file"
        ]
        assert config["source"] == "./extauthz.yaml"
        assert running.judge()[0] == 200
        running.file.write_text(text)
        running.reload()
        until(lambda: not running.status()["health"]["config"]["problems"])


def test_a_bad_file_keeps_the_old_one_and_says_so_everywhere(service: Running) -> None:
    service.file.write_text(service.file.read_text().replace("scopes:", "skopes:"))
    service.reload()
    until(lambda: service.status()["health"]["config"]["problems"])
    assert service.judge()[0] == 200
    assert service.ready() == 200
    assert b"skopes" in service.ask("admin", "/readyz?verbose")[2]
    metrics = service.ask("admin", "/metrics")[2]
    assert b'extauthz_config_reload_total{result="failed"} 1.0' in metrics
    until(lambda: any("skopes" in line["msg"] for line in service.lines()))
    service.write()
    service.reload()
    until(lambda: not service.status()["health"]["config"]["problems"])


@pytest.mark.parametrize(
    "part",
    [
        "extauthz.service.service.terms_of",
        "extauthz.keys.store.Replacement.start",
        "extauthz.service.doors.Doors.take",
        "extauthz.service.reload.ConfigWatch.changed",
    ],
)
def test_a_reload_that_breaks_off_is_told_tried_again_and_costs_no_drain(
    tmp_path: Path, part: str
) -> None:
    """There is no memory just now, or no thread: that is no reason never to look again."""
    running = Running(tmp_path)
    with breakable(running, part) as flag:
        flag.touch()
        running.write(scope="more")
        running.reload()
        until(lambda: running.status()["health"]["config"]["problems"])
        assert "MemoryError" in running.status()["health"]["config"]["problems"][0]
        failed = b'extauthz_config_reload_total{result="failed"}'
        assert failed in running.ask("admin", "/metrics")[2]
        until(lambda: any("configuration not taken" in line["msg"] for line in running.lines()))
        flag.unlink()
        until(lambda: any(line["msg"] == "configuration taken" for line in running.lines()))
        assert running.judge()[0] == 403
        assert running.status()["health"]["config"]["problems"] == []
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0


def test_whatever_became_of_reloading_the_end_is_a_drain(tmp_path: Path) -> None:
    running = Running(tmp_path)
    (tmp_path / "broken").touch()
    with breakable(running, "extauthz.service.run._keep_reloading"):
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0
    assert {"changed files were no longer taken", "stopping"} <= {
        line["msg"] for line in running.lines()
    }


def test_a_file_that_cannot_be_read_to_its_end_does_not_keep_the_service_from_its_own(
    service: Running,
) -> None:
    """A pipe that nobody writes to is like a disk that hangs."""
    service.file.unlink()
    os.mkfifo(service.file)
    service.reload()
    writing: list[int] = []

    def is_being_read() -> bool:
        try:
            writing.append(os.open(service.file, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    until(is_being_read)
    try:
        assert service.judge()[0] == 200
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(10) == 0
    finally:
        os.close(*writing)


async def test_reading_that_takes_too_long_is_given_up_with_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await read_apart(lambda: "read") == "read"
    monkeypatch.setattr(reload, "READING_SECONDS", 0.01)
    never = threading.Event()
    try:
        with pytest.raises(TimeoutError) as raised:
            await read_apart(never.wait)
    finally:
        never.set()
    assert "reading took more than 0.01 s; expected files on a disk" in described(raised.value)


def test_readiness_is_told_however_often_that_broke_off(tmp_path: Path) -> None:
    running = Running(tmp_path)
    (tmp_path / "broken").touch()
    with (
        breakable(running, "extauthz.service.doors.Doors.set_ready") as flag,
        grpc.insecure_channel(f"127.0.0.1:{running.ports['grpc']}") as channel,
    ):
        stub = health_pb2_grpc.HealthStub(channel)
        until(lambda: any("broke off" in line["msg"] for line in running.lines()))
        assert stub.Check(health_pb2.HealthCheckRequest()).status == 2
        flag.unlink()
        until(lambda: stub.Check(health_pb2.HealthCheckRequest()).status == 1)


def test_a_new_issuer_has_its_keys_before_requests_may_name_it(service: Running) -> None:
    other = signer("RS256", kid="other")
    file = service.folder / "other.json"
    file.write_text(json.dumps({"keys": [other.public_jwk()]}))
    issuer = f"  - {{name: other, issuer: https://other.example, jwks_file: {file}}}\n"
    text = service.file.read_text().replace("servers:", f"{issuer}servers:")
    service.file.write_text(text.replace("    scopes:", '    issuers: ["*"]\n    scopes:'))
    service.reload()
    until(lambda: len(service.status()["health"]["issuers"]) == 2)
    assert all(issuer["usable"] for issuer in service.status()["health"]["issuers"])
    assert service.judge()[0] == 200


def test_a_new_issuer_that_hangs_does_not_hold_up_the_rest_of_a_file(service: Running) -> None:
    with Issuer() as issuer:
        issuer.faults["keys"], issuer.delay = Fault.SLOW, 60.0
        hanging = f"  - {{name: hanging, issuer: {issuer.url}, keys: {{timeout: 60s}}}}\n"
        text = service.file.read_text().replace("servers:", f"{hanging}servers:")
        demand = "    issuers: ['*']\n    scopes: [more]"
        service.file.write_text(text.replace("    scopes: [notes]", demand))
        service.reload()
        until(lambda: service.judge()[0] == 403)
        assert service.judge(scope="more")[0] == 200
        token = issuer.mint(aud=RESOURCE, scope="more")
        assert json.loads(service.judge_token(token)[2])["reason"] == "keys_unavailable"


def test_what_needs_a_restart_is_said(service: Running) -> None:
    service.write(admin=1)
    service.reload()
    until(lambda: any("listen changed" in line["msg"] for line in service.lines()))


@pytest.mark.parametrize("workers", [1, 2])
def test_health_over_grpc_follows_readiness(tmp_path: Path, workers: int) -> None:
    running = Running(tmp_path)
    text = f"{CONFIG}workers: {workers}\n"
    running.write(text)

    def told() -> set[int]:
        """By new connections, which go to one worker or another."""
        found = set()
        for name in ("", "envoy.service.auth.v3.Authorization") * 4:
            asked = health_pb2.HealthCheckRequest(service=name)
            options = [("grpc.use_local_subchannel_pool", 1)]
            address = f"127.0.0.1:{running.ports['grpc']}"
            with grpc.insecure_channel(address, options) as channel:
                found.add(health_pb2_grpc.HealthStub(channel).Check(asked).status)
        return found

    with started(running):
        until(lambda: told() == {1})
        running.write(text, jwks=tmp_path / "nowhere.json")
        running.reload()
        until(lambda: told() == {2})
        assert running.ready() == 503
        running.write(text)
        running.reload()
        until(lambda: told() == {1})


def test_a_reload_asked_for_during_the_start_does_not_end_the_service() -> None:
    """The file is about to be read; where it has been, the watch finds what changed since."""
    script = (
        "import argparse, signal\n"
        "from extauthz.cli import serve\n"
        "serve.load_or_complain = lambda options: signal.raise_signal(signal.SIGHUP)\n"
        "raise SystemExit(10 + serve.run(argparse.Namespace()))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 11

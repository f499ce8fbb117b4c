"""What a running service writes of its decisions."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from extauthz.adapters.http2_frames import GOAWAY, PING, PREFACE, SETTINGS
from tests.e2e.processes import accepts, program
from tests.service.conftest import CONFIG, Running, until
from tests.tokens import mint


def test_each_question_that_comes_again_has_a_line_of_its_own(service: Running) -> None:
    asked = {
        "x_original_uri": "/notes/mcp",
        "x_original_method": "POST",
        "x_original_host": "mcp.example.com",
        "authorization": f"Bearer {mint({}, now=time.time())}",
    }
    for number in range(20):
        answer = service.ask("http", "/auth/nginx", **asked, x_request_id=f"request-{number}")
        assert answer[0] == 200
    until(lambda: len(decisions(service)) == 20)
    lines = decisions(service)
    assert [line["request_id"] for line in lines] == [f"request-{number}" for number in range(20)]
    assert {(line["subject"], line["path"]) for line in lines} == {("alice", "/notes/mcp")}
    assert [line["ts"] for line in lines] == sorted(line["ts"] for line in lines)


@pytest.mark.parametrize("number", [1, 2])
def test_a_changed_file_changes_the_format_in_every_process(tmp_path: Path, number: int) -> None:
    running = Running(tmp_path)
    text = f"{CONFIG}workers: {number}\n"
    running.write(text)
    command = [sys.executable, "-m", "extauthz", "serve", "--config", str(running.file)]
    with program(command, running.log, lambda: accepts(running.ports["http"])) as process:
        running.process = process
        until(lambda: "serving" in running.log.read_text())
        for form, taken in (("text", "INFO    configuration taken"), ("json", '"configuration t')):
            running.write(f"{text}log: {{{{format: {form}}}}}\n")
            running.reload()
            until(lambda taken=taken: taken in running.log.read_text())  # type: ignore[misc]
            written = len(running.log.read_text().splitlines())
            for _ in range(20):
                assert running.judge()[0] == 200
            until(lambda seen=written: len(running.log.read_text().splitlines()) == seen + 20)  # type: ignore[misc]
            lines = running.log.read_text().splitlines()[-20:]
            assert {line.startswith("{") for line in lines} == {form == "json"}


def test_nobody_at_the_grpc_port_writes_into_the_log(service: Running) -> None:
    """The library of grpcio would write what a client says in its GOAWAY, line ends and all."""
    goaway = bytes(7) + b'\2\n{"event":"decision","decision":"allow"}\n'
    sent = PREFACE + frame(SETTINGS, b"") + frame(GOAWAY, goaway) + frame(PING, b"answer_m")
    with socket.create_connection(("127.0.0.1", service.ports["grpc"]), timeout=10) as client:
        client.sendall(sent)
        heard = b""
        while b"answer_m" not in heard:
            data = client.recv(4096)
            assert data
            heard += data
    assert service.judge()[0] == 200
    until(lambda: decisions(service))
    assert [line["subject"] for line in decisions(service)] == ["alice"]


def frame(kind: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind]) + bytes(5) + payload


@pytest.mark.parametrize("number", [1, 2])
def test_the_status_tells_of_every_line_that_was_lost(tmp_path: Path, number: int) -> None:
    """Whichever process wrote it, to a disk that is full."""
    running = Running(tmp_path)
    running.write(f"{CONFIG}workers: {number}\n")
    command = [sys.executable, "-m", "extauthz", "serve", "--config", str(running.file)]
    with program(command, Path("/dev/full"), lambda: accepts(running.ports["http"])):
        until(lambda: running.ready() == 200)
        before = running.status()["dropped_lines"]
        for _ in range(20):
            assert running.judge()[0] == 200
        until(lambda: running.status()["dropped_lines"] >= before + 20)


def decisions(service: Running) -> list[dict[str, Any]]:
    return [line for line in service.lines() if line.get("event") == "decision"]

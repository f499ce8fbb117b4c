"""Programs of the demo are awaited, watched, and never left behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from extauthz.demo.children import Children, accepts, answers
from extauthz.demo.issuer import Issuer
from extauthz.demo.layout import DemoError
from extauthz.demo.serving import free_port

LISTEN = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
time.sleep(60)
"""


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def children() -> Children:
    return Children(os.environ)


async def test_all_ready_returns_when_every_program_serves(
    children: Children, tmp_path: Path
) -> None:
    ports = [free_port(), free_port()]
    with children:
        for port in ports:
            log = tmp_path / f"{port}.log"
            ready = partial(accepts, port)
            children.start("listener", python(LISTEN, port), log=log, ready=ready)
        await children.all_ready()
        assert all(map(accepts, ports))
        assert [log.read_text() for log in children.logs()] == ["listening\n"] * 2
    assert not any(map(accepts, ports))


async def test_a_program_that_ends_at_once_is_named_with_its_log(
    children: Children, tmp_path: Path
) -> None:
    log = tmp_path / "broken.log"
    with children:
        children.start("broken", python("raise SystemExit(3)"), log=log, ready=lambda: False)
        with pytest.raises(DemoError, match=r"broken ended with status 3; .*broken\.log"):
            await children.all_ready()


async def test_a_program_that_never_serves_is_given_up(children: Children, tmp_path: Path) -> None:
    """The clock jumps by a minute at each look."""
    looks = iter(range(0, 6000, 60))
    command = python("import time; time.sleep(60)")
    with children:
        children.start("lazy", command, log=tmp_path / "log", ready=lambda: False)
        with pytest.raises(DemoError, match="lazy did not get ready within 30 s"):
            await children.all_ready(clock=lambda: float(next(looks)))


def test_a_program_that_is_not_there_is_an_error_with_its_name(
    children: Children, tmp_path: Path
) -> None:
    with children, pytest.raises(DemoError, match="cannot start nobody"):
        children.start("nobody", [tmp_path / "no"], log=tmp_path / "log", ready=lambda: True)


@pytest.mark.parametrize("leave", [lambda: None, lambda: 1 / 0])
async def test_no_program_outlives_the_block(
    children: Children, tmp_path: Path, leave: Callable[[], object]
) -> None:
    """However the block is left."""
    log = tmp_path / "log"
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    pid = 0
    try:
        with children:
            children.start("sleeper", python(code), log=log, ready=lambda: bool(log.read_text()))
            await children.all_ready()
            pid = int(log.read_text())
            assert alive(pid)
            leave()
    except ZeroDivisionError:
        pass
    assert not alive(pid)


def test_an_address_answers_only_with_200() -> None:
    with Issuer(algorithms=["ES256"]) as issuer:
        assert answers(f"{issuer.url}/jwks")
        assert not answers(f"{issuer.url}/nothing")
    assert not answers(f"{issuer.url}/jwks")


def test_the_envoy_of_the_wheel_is_found_as_a_binary(envoy: Path) -> None:
    assert envoy.name == "envoy"
    assert envoy.read_bytes()[:4] == b"\x7fELF"

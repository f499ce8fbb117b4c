"""Who may connect to a Unix socket: what was asked for, from the first moment on."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from extauthz.adapters.grpcio_door import GrpcDoor
from extauthz.adapters.http_server import HttpServer
from extauthz.adapters.native_door import NativeDoor
from extauthz.adapters.sockets import CannotListen, bind
from extauthz.config.addresses import UnixAddress
from tests.adapters.doors import authorizer
from tests.adapters.echo import LAST, Echo, exchange, statuses
from tests.adapters.test_grpc_door import POLICY, channel_to, check, good

MODES = [0o600, 0o660, 0o606, 0o777]
REFUSED = (ConnectionRefusedError, PermissionError)
UMASKS = [0o000, 0o022, 0o077, 0o777]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.sock"


@pytest.fixture(params=UMASKS, ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def door(kind: str, path: Path, **more: Any) -> Any:
    address = UnixAddress(str(path))
    if kind == "http":
        return HttpServer(Echo(), address, **more)
    return {"grpcio": GrpcDoor, "native": NativeDoor}[kind](authorizer(POLICY), address, **more)


async def answers(door: Any) -> bool:
    if isinstance(door, HttpServer):
        return statuses(await exchange(door, LAST)) == [200]
    async with channel_to(door) as channel:
        return (await check(channel, good())).status.code == 0


@pytest.mark.parametrize("kind", ["http", "grpcio", "native"])
async def test_every_listener_has_the_mode_that_was_asked_for(kind: str, path: Path) -> None:
    before = os.umask(0o077)
    try:
        listener = door(kind, path, unix_mode=0o660)
        await listener.start()
    finally:
        os.umask(before)
    assert mode_of(path) == 0o660
    assert await answers(listener)
    await listener.stop(0)


@pytest.mark.parametrize("mode", MODES, ids=oct)
def test_whatever_the_umask_is(path: Path, umask: int, mode: int) -> None:
    (listening,) = bind(UnixAddress(str(path)), unix_mode=mode)
    with listening:
        assert mode_of(path) == mode


def test_unasked_the_umask_decides(path: Path, umask: int) -> None:
    (listening,) = bind(UnixAddress(str(path)))
    with listening:
        assert mode_of(path) == 0o777 & ~umask


@pytest.mark.parametrize("mode", MODES, ids=oct)
def test_there_is_no_moment_in_which_more_may_connect(
    path: Path, umask: int, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is looked at whenever it may have changed; nobody connects until it is right."""
    seen: list[int] = []

    def watch(owner: type, name: str) -> None:
        inner = getattr(owner, name)

        def watched(*arguments: Any) -> Any:
            look()
            done = inner(*arguments)
            look()
            return done

        def look() -> None:
            with suppress(FileNotFoundError):
                seen.append(mode_of(path))
                if seen[-1] != mode:
                    with (
                        socket.socket(socket.AF_UNIX) as early,
                        pytest.raises(REFUSED),
                    ):
                        early.connect(str(path))

        monkeypatch.setattr(owner, name, watched)

    watch(socket.socket, "bind")
    watch(socket.socket, "listen")
    watch(type(path), "chmod")
    (listening,) = bind(UnixAddress(str(path)), unix_mode=mode)
    listening.close()
    assert seen[-1] == mode
    assert all(one & ~mode == 0 for one in seen)


def test_the_umask_which_belongs_to_other_threads_too_is_left_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(_: int) -> int:
        raise AssertionError

    monkeypatch.setattr(os, "umask", touched)
    bind(UnixAddress(str(path)), unix_mode=0o660)[0].close()


def test_where_sockets_cannot_be_told_beforehand_the_file_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fchmod", unknown)
    (listening,) = bind(UnixAddress(str(path)), unix_mode=0o660)
    with listening:
        assert mode_of(path) == 0o660


def test_a_mode_that_cannot_be_had_is_said_and_nobody_is_let_in(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(type(path), "chmod", refused)
    with pytest.raises(CannotListen, match=r"cannot listen on unix:.*: operation not permitted"):
        bind(UnixAddress(str(path)), unix_mode=0o660)
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(REFUSED):
        client.connect(str(path))


def test_a_socket_left_behind_is_replaced_by_one_of_the_mode(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
        path.chmod(0o777)
    (listening,) = bind(UnixAddress(str(path)), unix_mode=0o600)
    with listening:
        assert mode_of(path) == 0o600

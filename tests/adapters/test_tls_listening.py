"""Connections that TLS is not agreed upon for yet: they have a number, and a time, like others."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from extauthz.adapters import sockets
from extauthz.adapters.grpc_door import GrpcLimits
from extauthz.adapters.grpcio_door import GrpcDoor
from extauthz.adapters.http_host import HttpLimits
from extauthz.adapters.http_server import HttpServer
from extauthz.adapters.native_door import NativeDoor
from extauthz.config.addresses import TcpAddress
from tests.adapters.doors import authorizer
from tests.adapters.echo import Echo
from tests.adapters.tls_files import Files
from tests.policies import policy_for_tests

ANYWHERE = TcpAddress("127.0.0.1", 0)
MOST = 3


def grpc_door(kind: Any) -> Callable[..., Any]:
    limits = GrpcLimits(connections=MOST, handshake=30.0)
    return lambda tls: kind(authorizer(policy_for_tests()), ANYWHERE, tls=tls, limits=limits)


def http_server(tls: Any) -> HttpServer:
    return HttpServer(Echo(), ANYWHERE, tls=tls, limits=HttpLimits(connections=MOST))


@pytest.fixture(
    params=[grpc_door(GrpcDoor), grpc_door(NativeDoor), http_server],
    ids=["grpcio", "native", "http"],
)
def made(request: pytest.FixtureRequest) -> Any:
    return request.param


@asynccontextmanager
async def over_tls(made: Any, folder: Path) -> AsyncIterator[tuple[TcpAddress, ssl.SSLContext]]:
    ca, files = trustme.CA(), Files(folder)
    files.write(ca)
    context = ssl.create_default_context()
    ca.configure_trust(context)
    server = made(files.source())
    address = await server.start()
    try:
        yield address, context
    finally:
        await server.stop(0)


def silent(stack: AsyncExitStack, address: TcpAddress) -> socket.socket:
    """A connection on which nothing is said."""
    client = stack.enter_context(socket.create_connection((address.host, address.port)))
    client.setblocking(False)
    return client


async def hung_up_on(client: socket.socket) -> None:
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b""


async def agrees(address: TcpAddress, context: ssl.SSLContext) -> bool:
    def speak() -> bool:
        with (
            suppress(OSError),
            socket.create_connection((address.host, address.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost"),
        ):
            return True
        return False

    return await asyncio.to_thread(speak)


async def test_who_has_not_agreed_upon_tls_counts_among_the_connections(made: Any, tmp_path: Path):
    async with over_tls(made, tmp_path) as (address, context), AsyncExitStack() as stack:
        first = [silent(stack, address) for _ in range(MOST)]
        await hung_up_on(silent(stack, address))
        assert not await agrees(address, context)
        for client in first:
            with pytest.raises(BlockingIOError):
                client.recv(1)


async def test_who_breaks_off_makes_room(made: Any, tmp_path: Path):
    async with over_tls(made, tmp_path) as (address, context):
        async with AsyncExitStack() as passing:
            for _ in range(MOST):
                silent(passing, address)
            await hung_up_on(silent(passing, address))
        async with asyncio.timeout(5):
            while not await agrees(address, context):
                pass


@pytest.mark.parametrize(
    ("group", "agreed"), [("prime256v1", True), ("ffdhe2048", False), ("ffdhe8192", False)]
)
async def test_no_client_chooses_how_long_a_handshake_takes(
    made: Any, tmp_path: Path, group: str, agreed: bool
):
    """Over ffdhe8192 one takes 150 ms of the event loop, whoever asks for it."""
    async with over_tls(made, tmp_path) as (address, context):
        assert await agrees(address, context)
        context.set_ecdh_curve(group)
        assert await agrees(address, context) is agreed


async def test_at_the_end_nobody_agrees_upon_tls_any_more(made: Any, tmp_path: Path):
    async with AsyncExitStack() as stack:
        async with over_tls(made, tmp_path) as (address, context):
            client = silent(stack, address)
            assert await agrees(address, context)
        await hung_up_on(client)


async def test_without_descriptors_it_rests_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sockets, "_REST", 0.01)
    faults = [OSError(errno.EMFILE, "too many"), ConnectionAbortedError(), BlockingIOError()]
    accept = socket.socket.accept

    def taken(self: socket.socket) -> Any:
        if faults:
            raise faults.pop(0)
        return accept(self)

    async with over_tls(grpc_door(NativeDoor), tmp_path) as (address, context):
        monkeypatch.setattr(socket.socket, "accept", taken)
        assert await agrees(address, context)
    assert faults == []

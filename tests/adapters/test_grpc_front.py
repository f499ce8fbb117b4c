"""What stands before a gRPC server: it hands on, holds back, and cuts off."""

from __future__ import annotations

import asyncio
import logging
import re
import stat
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from extauthz.adapters import grpc_front, grpc_listener, http2_messages
from extauthz.adapters.grpc_door import GrpcLimits
from extauthz.adapters.grpc_front import GrpcFront
from extauthz.adapters.grpc_listener import GrpcListener
from extauthz.adapters.http2_frames import PREFACE
from extauthz.config.addresses import TcpAddress

SETTINGS = b"\0\0\0\4\0\0\0\0\0"
PING = b"\0\0\x08\6\0\0\0\0\0" + bytes(8)
DATA = b"\0\x40\0\0\0\0\0\0\1" + bytes(16_384)
LAST_DATA = b"\0\0\0\0\1\0\0\0\1"


class Server:
    """Stands behind a front: takes down what comes, and says it back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard = bytearray()
        self.connections = 0
        self.open = 0
        self.reading = asyncio.Event()
        self.reading.set()
        self.writers: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.writers.append(writer)
        with suppress(OSError):
            while data := await self._next(reader):
                self.heard += data
                writer.write(data)
                await writer.drain()
        self.open -= 1
        writer.close()

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        await self.reading.wait()
        return await reader.read(65_536)


clients: list[asyncio.StreamWriter] = []


@pytest.fixture(autouse=True)
async def no_client_left() -> AsyncIterator[None]:
    yield
    await ended(clients)


async def ended(writers: list[asyncio.StreamWriter]) -> None:
    while writers:
        writer = writers.pop()
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def fronted(**limits: float) -> AsyncIterator[tuple[GrpcFront, Server]]:
    taken = GrpcLimits(**limits)  # type: ignore[arg-type]
    front = GrpcFront(GrpcListener(TcpAddress("127.0.0.1", 0), limits=taken))
    server = Server(Path(front.bind().path))
    behind = await asyncio.start_unix_server(server, server.path)
    await front.start()
    try:
        yield front, server
    finally:
        front.close()
        behind.close()
        await ended(server.writers)
        await front.stop()


async def connected(front: GrpcFront) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    assert isinstance(front.address, TcpAddress)
    reader, writer = await asyncio.open_connection(front.address.host, front.address.port)
    clients.append(writer)
    return reader, writer


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.01)


async def written(writer: asyncio.StreamWriter) -> int:
    """Write until nothing more is taken for a second: how much that was."""
    sent = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            while sent < 64 << 20:
                writer.write(DATA)
                sent += len(DATA)
                await writer.drain()
    return sent


async def test_what_is_said_arrives_both_ways_and_whole():
    async with fronted() as (front, server):
        reader, writer = await connected(front)
        sent = PREFACE + SETTINGS + DATA * 200
        for at in range(0, len(sent), 7_001):
            writer.write(sent[at : at + 7_001])
        assert await asyncio.wait_for(reader.readexactly(len(sent)), 10) == sent
        assert server.heard == sent
        writer.close()
        await until(lambda: server.open == 0)


async def test_no_connection_inside_before_the_client_speaks_http2():
    async with fronted() as (front, server):
        reader, writer = await connected(front)
        writer.write(PREFACE[:-1])
        await writer.drain()
        other, second = await connected(front)
        second.write(PREFACE)
        assert await asyncio.wait_for(other.readexactly(len(PREFACE)), 10)
        assert server.connections == 1
        writer.write(PREFACE[-1:])
        assert await asyncio.wait_for(reader.readexactly(len(PREFACE)), 10) == PREFACE


async def test_whoever_sends_what_asks_for_nothing_is_cut_off_and_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(grpc_listener, "_BETWEEN_REPORTS", 0.05)
    async with fronted() as (front, server):
        good, still = await connected(front)
        still.write(PREFACE)
        await good.readexactly(len(PREFACE))
        for _ in range(3):
            reader, writer = await connected(front)
            writer.write(PREFACE + PING * 1000)
            with suppress(OSError):
                assert not await asyncio.wait_for(reader.read(), 10)
        # What came at once never reached the server; who does no harm goes on.
        assert server.connections == 1
        still.write(PING)
        assert await asyncio.wait_for(good.readexactly(len(PING)), 10) == PING
        # In one report or in several, as time goes.
        told = re.compile(r"(\d+) that sent frames that ask for nothing")
        await until(lambda: sum(int(count) for count in told.findall(caplog.text)) == 3)
    assert caplog.records[0].levelno == logging.WARNING


async def test_whoever_does_not_end_a_message_is_cut_off_in_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(http2_messages, "SECONDS", 0.05)
    monkeypatch.setattr(grpc_front, "_TICK", 0.01)
    monkeypatch.setattr(grpc_listener, "_BETWEEN_REPORTS", 0.05)
    async with fronted() as (front, server):
        good, still = await connected(front)
        still.write(PREFACE + DATA + LAST_DATA)
        await good.readexactly(len(PREFACE + DATA + LAST_DATA))
        reader, writer = await connected(front)
        writer.write(PREFACE + DATA)
        await asyncio.wait_for(reader.readexactly(len(PREFACE + DATA)), 10)
        with suppress(OSError):
            assert not await asyncio.wait_for(reader.read(), 10)
        await until(lambda: server.open == 1)
        still.write(LAST_DATA)
        assert await asyncio.wait_for(good.readexactly(len(LAST_DATA)), 10) == LAST_DATA
        await until(lambda: "1 that sent messages without an end" in caplog.text)


async def test_of_those_who_begin_too_much_who_begins_most_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
):
    """On grpcio 300 calls of one connection took a gigabyte for as long as it lasted."""
    monkeypatch.setattr(grpc_front, "_MOST_HELD", 8 * 16_384)
    async with fronted() as (front, _):
        pairs = [await connected(front) for _ in range(3)]
        for (reader, writer), frames in zip(pairs, (3, 4, 1), strict=True):
            writer.write(PREFACE + DATA * frames)
            await asyncio.wait_for(reader.readexactly(len(PREFACE + DATA * frames)), 10)
        assert front.held.octets == 8 * 16_384
        (first, _), (most, _), (last, one_more) = pairs
        one_more.write(DATA)
        with suppress(OSError):
            assert not await asyncio.wait_for(most.read(), 10)
        assert await asyncio.wait_for(last.readexactly(len(DATA)), 10) == DATA
        assert front.held.octets == 5 * 16_384
        assert not first.at_eof()
        for _, writer in pairs:
            writer.close()
        await until(lambda: front.held.octets == 0)


async def test_once_somebody_was_cut_off_newcomers_are_looked_at_for_a_moment():
    """What they send meanwhile does not reach the server, and is not lost."""
    async with fronted() as (front, server):
        _, flooding = await connected(front)
        flooding.write(PREFACE + PING * 1000)
        await until(front.listener.suspicious)
        reader, writer = await connected(front)
        writer.write(PREFACE)
        writer.write(DATA * 10)
        sent = PREFACE + DATA * 10
        assert await asyncio.wait_for(reader.readexactly(len(sent)), 10) == sent
        assert server.connections == 1


@pytest.mark.parametrize("slow", ["the server", "the client"])
async def test_who_reads_slowly_holds_the_other_side_back(slow: str):
    async with fronted() as (front, server):
        reader, writer = await connected(front)
        writer.write(PREFACE)
        await reader.readexactly(len(PREFACE))
        if slow == "the server":
            server.reading.clear()
            sent = await written(writer)
            server.reading.set()
        else:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            sent = await written(server.writers[0])
            writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert sent < 32 << 20
        await asyncio.wait_for(reader.readexactly(sent), 30)


async def test_who_says_much_while_it_is_looked_at_is_held_back_too():
    async with fronted() as (front, server):
        front.listener.cut("something else")
        server.reading.clear()
        reader, writer = await connected(front)
        writer.write(PREFACE)
        sent = await written(writer)
        assert sent < 32 << 20
        server.reading.set()
        assert await asyncio.wait_for(reader.readexactly(len(PREFACE)), 30) == PREFACE


async def test_who_ends_ends_the_other_side():
    async with fronted() as (front, server):
        reader, writer = await connected(front)
        writer.write(PREFACE)
        await reader.readexactly(len(PREFACE))
        server.writers[0].write(b"goodbye")
        server.writers[0].close()
        assert await asyncio.wait_for(reader.read(), 10) == b"goodbye"


async def test_too_many_connections_are_turned_away():
    async with fronted(connections=2) as (front, _):
        held = [await connected(front) for _ in range(2)]
        reader, _ = await connected(front)
        with suppress(ConnectionError):
            assert not await asyncio.wait_for(reader.read(), 10)
        held[0][1].close()
        await held[0][1].wait_closed()
        again, last = await connected(front)
        last.write(PREFACE)
        assert await asyncio.wait_for(again.readexactly(len(PREFACE)), 10)


async def test_without_a_server_behind_a_client_is_sent_away():
    front = GrpcFront(GrpcListener(TcpAddress("127.0.0.1", 0), limits=GrpcLimits()))
    front.bind()
    await front.start()
    reader, writer = await connected(front)
    writer.write(PREFACE)
    with suppress(ConnectionError):
        assert not await asyncio.wait_for(reader.read(), 10)
    await front.stop()


async def test_a_socket_that_somebody_removed_is_told_of_once_in_a_while(
    caplog: pytest.LogCaptureFixture,
):
    """As by a cleaning of /tmp: every new connection fails until the next start."""
    async with fronted() as (front, server):
        server.path.unlink()
        for _ in range(3):
            reader, writer = await connected(front)
            writer.write(PREFACE)
            with suppress(ConnectionError):
                assert not await asyncio.wait_for(reader.read(), 10)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert f"{server.path}, was removed; restart extauthz" in record.getMessage()


async def test_only_we_may_go_where_the_server_listens_and_nothing_is_left():
    async with fronted() as (_, server):
        folder = server.path.parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


def read_only(*places: str | None) -> Callable[..., str]:
    """``mkdtemp`` where these places cannot be written to."""
    usual = tempfile.mkdtemp

    def make(*, prefix: str, dir: str | None) -> str:  # noqa: A002
        if dir in places:
            raise FileNotFoundError(2, "No usable temporary directory found")
        return usual(prefix=prefix, dir=dir)

    return make


@pytest.mark.parametrize(("length", "taken"), [(75, True), (76, False)])
async def test_a_folder_whose_path_is_too_long_for_a_socket_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
    length: int,
    taken: bool,
):
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        folder = Path(short) / ("x" * (length - len(short) - 1))
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        async with fronted() as (_, server):
            assert server.path.is_relative_to(folder) is taken
            assert server.path.is_relative_to("/tmp")
        assert not list(folder.iterdir())


async def test_memory_serves_where_no_folder_may_be_written_to(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "mkdtemp", read_only(None, "/tmp"))
    async with fronted() as (front, server):
        assert server.path.is_relative_to("/dev/shm")
        reader, writer = await connected(front)
        writer.write(PREFACE)
        assert await asyncio.wait_for(reader.readexactly(len(PREFACE)), 10) == PREFACE


async def test_no_folder_is_an_error_that_leaves_the_port_free(monkeypatch: pytest.MonkeyPatch):
    front = GrpcFront(GrpcListener(TcpAddress("127.0.0.1", 0), limits=GrpcLimits()))
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "mkdtemp", read_only(None, "/tmp", "/dev/shm"))
        with pytest.raises(OSError, match=r"no place for the socket .* expected \$TMPDIR"):
            front.bind()
    front.bind()
    await front.start()
    await front.stop()

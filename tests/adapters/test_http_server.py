"""The HTTP server: whole requests in order, limits that hold, TLS, and a clean end (RFC 9112)."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.adapters.http_host import HttpLimits
from extauthz.adapters.http_message import HttpRequest, HttpResponse
from tests.adapters.echo import GET, LAST, Echo, connected, exchange, response, running, statuses

# ---- requests


async def test_a_request_arrives_as_it_was_sent():
    echo = Echo()
    async with running(echo) as server:
        await exchange(
            server,
            b"POST /a%2f?b#c HTTP/1.1\r\nHost: h\r\nX-A:  1 \t\r\nx-a: 2\r\nX-B: \xe9\tx\r\n"
            b"Connection: close\r\nContent-Length: 3\r\n\r\nabc",
        )
    (asked,) = echo.asked
    assert (asked.method, asked.target, asked.body) == ("POST", "/a%2f?b#c", b"abc")
    assert asked.headers["x-a"] == "1,2"
    assert asked.headers["x-b"] == "é\tx"
    assert asked.repeated == {"x-a"}
    assert asked.peer == "127.0.0.1"


async def test_a_connection_serves_one_request_after_another():
    async with running() as server, connected(server) as (reader, writer):
        for _ in range(3):
            writer.write(GET)
            status, headers, body = await response(reader)
            assert (status, headers["x-a"], body) == (200, "b", b"/a")
            assert "date" in headers


async def test_answers_come_in_the_order_of_the_requests():
    echo = Echo()
    async with running(echo) as server, connected(server) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\n\r\n" + GET + b"GET /slow/2 HTTP/1.1\r\n\r\n" + GET)
        await echo.waiting.wait()
        echo.slow.set()
        bodies = [(await response(reader))[2] for _ in range(4)]
    assert bodies == [b"/slow", b"/a", b"/slow/2", b"/a"]


async def test_a_request_in_single_bytes_is_a_request():
    async with running() as server, connected(server) as (reader, writer):
        for byte in GET:
            writer.write(bytes([byte]))
            await writer.drain()
        assert (await response(reader))[0] == 200


async def test_a_chunked_body_is_read():
    echo = Echo()
    async with running(echo) as server:
        await exchange(
            server,
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        )
    assert echo.asked[0].body == b"abcde"


async def test_a_client_that_waits_for_leave_gets_it():
    async with running() as server, connected(server) as (reader, writer):
        writer.write(b"POST /p HTTP/1.1\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"x")
        assert (await response(reader))[0] == 200


async def test_head_has_no_body():
    async with running() as server:
        received = await exchange(server, b"HEAD /abc HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert received.endswith(b"\r\n\r\n")
    assert b"content-length: 4\r\n" in received


@pytest.mark.parametrize(
    "head",
    [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", LAST],
)
async def test_a_last_request_closes_the_connection(head: bytes):
    async with running() as server:
        received = await exchange(server, head + GET)
    assert statuses(received) == [200]
    assert b"connection: close\r\n" in received


@pytest.mark.parametrize(
    "head",
    [
        b"GET /a HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"CONNECT h:1 HTTP/1.1\r\n\r\n",
    ],
)
async def test_another_protocol_is_not_spoken(head: bytes):
    async with running() as server:
        assert statuses(await exchange(server, head + b"\x00\xff" + GET)) == [200]


async def test_what_breaks_in_the_handler_is_an_error_and_the_server_goes_on():
    echo = Echo()
    echo.slow.set()
    async with running(echo) as server:
        received = await exchange(
            server,
            b"GET /broken HTTP/1.1\r\n\r\nGET /slow/broken HTTP/1.1\r\n\r\n" + LAST,
        )
    assert statuses(received) == [500, 500, 200]


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\na : b\r\n\r\n",
        b"GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n",
        b"GET / HTTP/1.1\r\na: b\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\na: b\x01\r\n\r\n",
        b"GET /\xe9 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\na: b\n\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
async def test_what_could_be_read_in_two_ways_is_no_request(data: bytes):
    echo = Echo()
    async with running(echo) as server:
        assert statuses(await exchange(server, GET + data)) == [200, 400]
    assert len(echo.asked) == 1


@given(st.lists(st.one_of(st.just(GET), st.binary(max_size=30)), max_size=6))
async def test_no_bytes_hurt(parts: list[bytes]):
    async with running() as server:
        await exchange(server, b"".join(parts) + b"\x00\r\n\r\n")
        assert statuses(await exchange(server, LAST)) == [200]


# ---- limits


def padded(size: int) -> bytes:
    """A request whose head has ``size`` bytes, less a few."""
    return b"GET /a HTTP/1.1\r\nConnection: close\r\nx-pad: " + b"x" * (size - 60) + b"\r\n\r\n"


async def test_a_head_has_a_size():
    async with running(limits=HttpLimits(head_bytes=4000)) as server:
        assert statuses(await exchange(server, padded(4000))) == [200]
        assert statuses(await exchange(server, padded(4200))) == [431]
        endless = b"GET /a HTTP/1.1\r\nx-pad: " + b"x" * 300_000
        assert statuses(await exchange(server, endless)) == [431]


async def test_a_head_has_a_size_also_when_it_comes_with_the_request_before():
    async with running(limits=HttpLimits(head_bytes=4000)) as server:
        assert statuses(await exchange(server, GET + padded(4000))) == [200, 200]
        assert statuses(await exchange(server, GET + padded(4200))) == [200, 431]
        assert statuses(await exchange(server, GET * 200 + LAST)) == [200] * 201


@pytest.mark.parametrize("end", [b"\r\n", b""], ids=["whole", "without an end"])
async def test_a_head_has_a_number_of_lines(end: bytes):
    async with running(limits=HttpLimits(header_lines=10)) as server, asyncio.timeout(4):
        line = b"a: b\r\n"
        assert statuses(await exchange(server, LAST[:-2] + line * 8 + b"\r\n")) == [200]
        assert statuses(await exchange(server, LAST[:-2] + line * 10 + end)) == [431]
        assert statuses(await exchange(server, LAST[:-2] + line * 9 + b"\r\n")) == [431]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "status"), [(1000, 200), (1001, 413)])
async def test_a_body_has_a_size(chunked: bool, size: int, status: int):
    head = b"POST /a HTTP/1.1\r\nConnection: close\r\n"
    if chunked:
        head += b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % size
        data = head + b"x" * size + b"\r\n0\r\n\r\n"
    else:
        data = head + b"Content-Length: %d\r\n\r\n" % size + b"x" * size
    async with running(limits=HttpLimits(body_bytes=1000)) as server:
        assert statuses(await exchange(server, data)) == [status]


@pytest.mark.parametrize(
    "data",
    [b"", b"GET /a HT", GET + b"GET /a HT", b"POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nab"],
)
async def test_a_request_must_arrive_in_time(data: bytes):
    limits = HttpLimits(read_seconds=0.05, idle_seconds=60)
    async with running(limits=limits) as server:
        async with asyncio.timeout(5):
            received = await exchange(server, data)
    assert statuses(received) == ([200] if data.startswith(GET) else [])


async def test_an_idle_connection_is_closed_in_time():
    limits = HttpLimits(read_seconds=60, idle_seconds=0.05)
    async with running(limits=limits) as server:
        async with asyncio.timeout(5):
            assert statuses(await exchange(server, GET)) == [200]


async def test_of_many_that_say_nothing_all_are_closed_in_time():
    async with (
        running(limits=HttpLimits(read_seconds=0.05)) as server,
        AsyncExitStack() as stack,
        asyncio.timeout(10),
    ):
        silent = [await stack.enter_async_context(connected(server)) for _ in range(100)]
        for reader, _ in silent:
            assert await reader.read() == b""


async def test_many_may_come_at_once():
    async with running() as server, asyncio.timeout(10):
        received = await asyncio.gather(*(exchange(server, LAST) for _ in range(200)))
    assert list(map(statuses, received)) == [[200]] * 200


async def test_waiting_for_an_answer_is_not_idling():
    echo = Echo()
    limits = HttpLimits(read_seconds=0.05, idle_seconds=0.05)
    async with running(echo, limits=limits) as server, connected(server) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\n\r\n")
        await echo.waiting.wait()
        # Others that idle are closed meanwhile.
        for _ in range(2):
            assert statuses(await exchange(server, GET)) == [200]
        echo.slow.set()
        assert (await response(reader))[0] == 200


async def test_connections_have_a_number():
    async with running(limits=HttpLimits(connections=2)) as server, connected(server) as one:
        async with connected(server) as other:
            for reader, writer in (one, other):
                writer.write(GET)
                await response(reader)
            assert await exchange(server, GET) == b""
        async with asyncio.timeout(5):
            while statuses(await exchange(server, LAST)) != [200]:
                pass


async def test_a_client_that_reads_no_answers_is_not_served_forever():
    large = HttpResponse.make(200, [], b"x" * 100_000)
    answered = 0

    def handler(_: HttpRequest) -> HttpResponse:
        nonlocal answered
        answered += 1
        return large

    limits = HttpLimits(read_seconds=0.05, idle_seconds=0.05)
    async with running(handler, limits=limits) as server, connected(server, limit=1) as client:
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionError):
                await _ask_forever(client[1])
    assert answered < 100


async def test_a_last_answer_that_nobody_reads_is_given_up():
    large = HttpResponse.make(200, [], b"x" * 10_000_000)
    limits = HttpLimits(read_seconds=0.05, idle_seconds=0.05)
    async with (
        running(lambda _: large, limits=limits) as server,
        connected(server, limit=1) as (
            _,
            writer,
        ),
    ):
        writer.write(LAST)
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionError):
                await _ask_forever(writer)


async def test_who_hangs_up_on_many_answers_is_given_no_more_and_fills_no_log(
    caplog: pytest.LogCaptureFixture,
):
    echo = Echo()
    async with running(echo) as server, connected(server) as (_, writer):
        hang_up_at_once = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, hang_up_at_once
        )
        writer.write(GET * 1000)
        writer.transport.abort()
        async with asyncio.timeout(5):
            while not echo.asked:  # noqa: ASYNC110  nobody tells of it
                await asyncio.sleep(0)
        assert statuses(await exchange(server, LAST)) == [200]
    assert len(echo.asked) < 100
    assert not caplog.records


async def _ask_forever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(GET * 100)
        await writer.drain()


# ---- the end


async def test_at_the_end_idle_connections_close_and_requests_are_answered():
    echo = Echo()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running(echo))
        idle = await stack.enter_async_context(connected(server))
        busy = await stack.enter_async_context(connected(server))
        idle[1].write(GET)
        await response(idle[0])
        busy[1].write(b"GET /slow HTTP/1.1\r\n\r\n")
        await echo.waiting.wait()
        stopping = asyncio.create_task(server.stop(10))
        assert await idle[0].read() == b""
        with pytest.raises(ConnectionRefusedError):
            await exchange(server, GET)
        echo.slow.set()
        status, headers, _ = await response(busy[0])
        assert (status, headers["connection"]) == (200, "close")
        assert await busy[0].read() == b""
        await stopping


async def test_a_request_that_is_on_its_way_at_the_end_is_answered():
    async with running() as server, connected(server) as (reader, writer):
        writer.write(GET + GET[:9])
        await response(reader)
        stopping = asyncio.create_task(server.stop(10))
        await asyncio.sleep(0)
        writer.write(GET[9:])
        assert (await response(reader))[1]["connection"] == "close"
        await stopping


async def test_the_end_does_not_wait_longer_than_it_may():
    echo = Echo()
    async with running(echo) as server, connected(server) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\n\r\n")
        await echo.waiting.wait()
        began = time.monotonic()
        await server.stop(0.05)
        assert time.monotonic() - began < 5
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await response(reader)

"""What requests that wait may take, of one connection and of all together."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from extauthz.adapters.http_host import HttpLimits
from extauthz.adapters.http_server import HttpServer
from tests.adapters.echo import GET, LAST, Echo, connected, exchange, response, running, statuses

SLOW = b"GET /slow HTTP/1.1\r\n\r\n"
BODIES = HttpLimits(head_bytes=100, body_bytes=1000, bodies_bytes=2000)


def posted(size: int, path: bytes = b"/a") -> bytes:
    head = b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (path, size)
    return head + b"x" * size


async def taken(server: HttpServer, size: int) -> None:
    async with asyncio.timeout(5):
        while server.bodies != size:  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0)


async def test_so_many_requests_of_a_connection_may_wait():
    echo = Echo()
    limits = HttpLimits(unanswered=3)
    async with running(echo, limits=limits) as server, connected(server) as (reader, writer):
        writer.write(SLOW * 3)
        await echo.waiting.wait()
        echo.slow.set()
        for _ in range(3):
            assert (await response(reader))[0] == 200
        writer.write(GET)
        assert (await response(reader))[0] == 200


@pytest.mark.parametrize("more", [GET, SLOW], ids=["answered at once", "to be waited for"])
async def test_of_more_the_rest_is_not_taken(more: bytes):
    """RFC 9112 section 9.3.2: who sends many at once sends those again that were not answered."""
    echo = Echo()
    async with running(echo, limits=HttpLimits(unanswered=3)) as server, asyncio.timeout(5):
        asking = asyncio.create_task(exchange(server, SLOW * 3 + more * 1000))
        await echo.waiting.wait()
        assert len(echo.asked) == 3
        assert statuses(await exchange(server, LAST)) == [200]
        echo.slow.set()
        received = await asking
    assert statuses(received) == [200] * 3
    assert received.count(b"connection: close\r\n") == 1


async def test_bodies_that_are_on_their_way_take_a_bounded_amount_of_memory():
    async with running(limits=BODIES) as server, AsyncExitStack() as stack, asyncio.timeout(5):
        for _ in range(2):
            _, writer = await stack.enter_async_context(connected(server))
            writer.write(posted(1000)[:-1])
        await taken(server, 1998)
        assert statuses(await exchange(server, posted(101) + LAST)) == [413]
        # Short ones, which nearly all are, do not suffer from long ones.
        assert statuses(await exchange(server, posted(100) + LAST)) == [200, 200]
        await stack.aclose()
        await taken(server, 0)
        assert statuses(await exchange(server, posted(1000) + LAST)) == [200, 200]
        await taken(server, 0)


async def test_so_do_bodies_that_wait_for_an_answer():
    echo = Echo()
    async with running(echo, limits=BODIES) as server, connected(server) as (reader, writer):
        writer.write(posted(1000, b"/slow") * 2)
        await taken(server, 2000)
        assert statuses(await exchange(server, posted(101) + LAST)) == [413]
        echo.slow.set()
        for _ in range(2):
            assert (await response(reader))[0] == 200
        await taken(server, 0)
        assert statuses(await exchange(server, posted(1000) + LAST)) == [200, 200]


async def test_what_is_cut_off_takes_none():
    limits = HttpLimits(head_bytes=100, body_bytes=1000, unanswered=1)
    echo = Echo()
    async with running(echo, limits=limits) as server, asyncio.timeout(5):
        assert statuses(await exchange(server, posted(1001))) == [413]
        await taken(server, 0)
        async with connected(server) as (_, writer):
            writer.write(posted(1000, b"/slow") + posted(1000))
            await taken(server, 1000)
        await taken(server, 0)
        echo.slow.set()
        assert statuses(await exchange(server, LAST)) == [200]
        assert server.bodies == 0

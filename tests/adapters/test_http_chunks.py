"""Chunked bodies: what comes after them is no header, and what chunks may cost (RFC 9112, 7.1)."""

from __future__ import annotations

import asyncio
import time

import pytest

from extauthz.adapters.http_host import HttpLimits
from extauthz.adapters.http_message import HttpRequest, HttpResponse
from extauthz.adapters.http_protocol import HttpConnection
from extauthz.adapters.http_server import HttpServer
from tests.adapters.echo import ANYWHERE, LAST, Echo, exchange, running, statuses

CHUNKED = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n"


async def test_what_comes_after_the_body_is_no_header():
    """RFC 9110 section 6.5.1."""
    echo = Echo()
    async with running(echo) as server:
        trailers = b"X-A: 2\r\nAuthorization: x\r\nX-Last: 3\r\n\r\n"
        sent = CHUNKED + b"\r\n1\r\nx\r\n0\r\n" + trailers
        assert statuses(await exchange(server, sent + sent + LAST)) == [200] * 3
    for asked in echo.asked[:2]:
        assert asked.headers == {"transfer-encoding": "chunked", "x-a": "1"}
        assert asked.repeated == frozenset()
    assert echo.asked[2].headers == {"host": "h", "connection": "close"}


@pytest.mark.parametrize("end", [b"\r\n" + LAST, b"a: b\r\n" * 9], ids=["whole", "without an end"])
async def test_head_and_trailers_together_have_a_number_of_lines(end: bytes):
    line = b"a: b\r\n"
    async with running(limits=HttpLimits(header_lines=10)) as server, asyncio.timeout(4):
        sent = CHUNKED + b"\r\n0\r\n"
        assert statuses(await exchange(server, sent + line * 8 + b"\r\n" + LAST)) == [200, 200]
        assert statuses(await exchange(server, sent + line * 9 + end)) == [431]


async def test_head_and_trailers_together_have_a_size():
    async with running(limits=HttpLimits(head_bytes=4000)) as server:
        for head, trailer, status in (
            (0, 3900, 200), (0, 4000, 431), (1900, 2000, 200), (2000, 2000, 431),
        ):  # fmt: skip
            padding = b"Connection: close\r\nX: %b\r\n" % (b"x" * head)
            sent = CHUNKED + padding + b"\r\n0\r\nt: " + b"x" * trailer + b"\r\n\r\n"
            assert statuses(await exchange(server, sent)) == [status]


def in_chunks(size: int, end: bytes = b"0\r\n\r\n") -> bytes:
    """A request with a body of ``size`` bytes, each in a chunk of its own of six bytes."""
    return CHUNKED + b"\r\n" + b"1\r\nx\r\n" * size + end


async def test_chunks_may_add_to_a_body_as_much_as_a_body_may_hold():
    async with running(limits=HttpLimits(head_bytes=600, body_bytes=1200)) as server:
        async with asyncio.timeout(4):
            assert statuses(await exchange(server, in_chunks(480) + LAST)) == [200, 200]
            assert statuses(await exchange(server, in_chunks(510, b""))) == [413]
            odd = CHUNKED + b"\r\n1;" + b"x" * 3100
            assert statuses(await exchange(server, odd)) == [413]
            odd = CHUNKED + b"\r\n0\r\nx: " + b"x" * 3100
            assert statuses(await exchange(server, odd)) == [413]


class Nowhere(asyncio.Transport):
    """Takes answers and sends none."""

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass


def test_the_cost_of_a_body_in_small_chunks_grows_as_the_body_does():
    taken: list[bytes] = []

    def take(asked: HttpRequest) -> HttpResponse:
        taken.append(asked.body)
        return HttpResponse.make(200, [])

    limits = HttpLimits(head_bytes=1 << 20, body_bytes=1 << 20)

    def seconds(size: int) -> float:
        connection = HttpConnection(HttpServer(take, ANYWHERE, limits=limits))
        connection.connection_made(Nowhere())
        began = time.process_time()
        connection.data_received(in_chunks(size))
        return time.process_time() - began

    # Twenty times as long is four hundred times as costly where each chunk copies what came before.
    short = min(seconds(15_000) for _ in range(3))
    assert min(seconds(300_000) for _ in range(2)) < 60 * short
    assert set(map(len, taken)) == {15_000, 300_000}
    assert all(type(body) is bytes for body in taken)

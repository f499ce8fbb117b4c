"""One GET ends in time and within its size, whatever the other side does."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import socket
import tracemalloc

import pytest

from extauthz.keys.fetch import FetchError, fetch

from .fetching import BODY, fault, get, limits
from .rough_server import RoughServer, answer, hang


class TestSizes:
    async def test_as_many_bytes_as_allowed_and_one_more(self, server: RoughServer) -> None:
        assert len((await get(server, answer(b"x" * 1000), max_bytes=1000)).body) == 1000
        found = await fault(server, answer(b"x" * 1001), max_bytes=1000)
        assert "larger than 1000 bytes (keys.max_bytes)" in str(found)
        unsaid = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 1001
        assert "larger than" in str(await fault(server, unsaid, max_bytes=1000))

    async def test_fifty_megabytes_stop_at_the_cap(self, server: RoughServer) -> None:
        async def pour(writer: asyncio.StreamWriter) -> None:
            await server.send(writer, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            for _ in range(800):
                await server.send(writer, b"x" * 65536)

        tracemalloc.start()
        found = await fault(server, pour)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "larger than" in str(found)
        assert peak < 8 * 1024 * 1024
        assert server.sent < 20 * 1024 * 1024

    async def test_a_content_length_over_the_cap_ends_it_before_the_body(
        self, server: RoughServer
    ) -> None:
        async def boast(writer: asyncio.StreamWriter) -> None:
            await server.send(writer, answer(length=10**12))
            await hang(writer)

        assert "larger than" in str(await fault(server, boast))

    async def test_a_content_length_that_lies_is_found_out(self, server: RoughServer) -> None:
        assert "broke off" in str(await fault(server, answer(BODY, length=len(BODY) + 5)))
        assert (await get(server, answer(BODY, length=5))).body == BODY[:5]

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity, gzip", "x"])
    async def test_a_compressed_answer_is_refused_unopened(
        self, server: RoughServer, encoding: str
    ) -> None:
        bomb = gzip.compress(b"\0" * 10_000_000)
        page = answer(bomb, f"Content-Encoding: {encoding}")
        assert "compressed" in str(await fault(server, page))

    async def test_endless_headers_come_to_an_end(self, server: RoughServer) -> None:
        async def headers(writer: asyncio.StreamWriter) -> None:
            await server.send(writer, b"HTTP/1.1 200 OK\r\n")
            while True:
                await server.send(writer, b"X-Header: " + b"x" * 1000 + b"\r\n")

        found = await fault(server, headers)
        assert "more than 32768 bytes of headers" in str(found)

    @pytest.mark.parametrize(
        "page",
        [
            b"",
            b"\x00\x01\x02",
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 999999 x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ],
    )
    async def test_what_is_not_http_is_a_failure_like_any_other(
        self, server: RoughServer, page: bytes
    ) -> None:
        await fault(server, page)


class TestTime:
    async def test_silence_ends_at_the_deadline(self, server: RoughServer) -> None:
        found = await fault(server, hang, timeout=0.1)
        assert "no complete answer within 0.1 s" in str(found)
        assert not found.answered

    @pytest.mark.parametrize("head", [b"", answer(length=1000)], ids=["headers", "body"])
    async def test_a_trickle_ends_at_the_deadline(self, server: RoughServer, head: bytes) -> None:
        """Each byte is in time, the whole is not."""
        loop = asyncio.get_running_loop()

        async def trickle(writer: asyncio.StreamWriter) -> None:
            await server.send(writer, head)
            for byte in itertools.chain(b"HTTP/1.1 200 OK\r\n", itertools.repeat(ord("x"))):
                await server.send(writer, bytes([byte]))
                pause = asyncio.Event()
                loop.call_later(0.05, pause.set)
                await pause.wait()

        found = await fault(server, trickle, timeout=0.2)
        assert "no complete answer within 0.2 s" in str(found)

    async def test_a_connection_that_is_never_accepted_ends_at_the_deadline(self) -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen(0)
            port = listening.getsockname()[1]
            with pytest.raises(FetchError, match="no complete answer"):
                await fetch(f"http://127.0.0.1:{port}/", limits(timeout=0.1))

    async def test_a_refused_connection_is_told(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            with pytest.raises(FetchError, match="connection refused") as caught:
                await fetch(f"http://127.0.0.1:{port}/keys", limits())
        assert not caught.value.answered

    async def test_a_reset_in_the_middle_is_told(self, server: RoughServer) -> None:
        async def reset(writer: asyncio.StreamWriter) -> None:
            await server.send(writer, answer(b"x", length=1000))
            writer.transport.abort()

        await fault(server, reset)

    async def test_a_name_that_does_not_resolve_is_told(self) -> None:
        with pytest.raises(FetchError, match=r"does not resolve|no connection"):
            await fetch("https://does-not-exist.invalid/keys", limits())

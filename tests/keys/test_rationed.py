"""What an issuer sends keeps nobody waiting, however it is cut into pieces."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trustme

from extauthz.keys.fetch import fetch
from extauthz.keys.rationed import MAX_BESIDES

from .fetching import fault, get, limits
from .rough_server import RoughServer, answer, rough_server

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
TOO_MUCH = "more than 32768 bytes of headers and chunk sizes"
NEVER_ENDING = {
    "chunks of one octet": CHUNKED + b"1\r\nx\r\n" * 200_000,
    "informational answers": b"HTTP/1.1 102 P\r\n\r\n" * 60_000,
    "header lines": OK + b"a:\r\n" * 24_000 + b"\r\n",
    "trailers": CHUNKED + b"0\r\n" + b"a:\r\n" * 24_000 + b"\r\n",
}
LONGEST = 0.05
"""Seconds of the processor's time, while others wait; read as it comes, it was 0.1 to 0.3."""


@contextlib.contextmanager
def stalls() -> Iterator[list[float]]:
    """How long the event loop was busy with one thing, each time, while the block goes on."""
    found: list[float] = []

    async def look() -> None:
        while True:
            began = time.process_time()
            await asyncio.sleep(0)
            found.append(time.process_time() - began)

    looking = asyncio.create_task(look())
    try:
        yield found
    finally:
        looking.cancel()


@contextlib.asynccontextmanager
async def over_tls(folder: Path) -> AsyncIterator[tuple[RoughServer, str]]:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    async with rough_server(context) as server:
        yield server, str(folder / "ca.pem")


@pytest.mark.parametrize("name", NEVER_ENDING)
async def test_what_takes_long_to_take_apart_ends_soon(server: RoughServer, name: str) -> None:
    await get(server, answer(b"{}"))
    with stalls() as found:
        told = await fault(server, NEVER_ENDING[name], max_bytes=1 << 20)
    assert TOO_MUCH in str(told)
    assert max(found) < LONGEST
    assert sum(found) < 20 * LONGEST


async def test_so_it_does_over_tls(tmp_path: Path) -> None:
    async with over_tls(tmp_path) as (server, ca_file):
        told = await fault(server, NEVER_ENDING["chunks of one octet"], ca_file=ca_file)
        assert TOO_MUCH in str(told)
        server.pages["/keys"] = answer(b"{}")
        assert (await fetch(server.origin + "/keys", limits(ca_file=ca_file))).body == b"{}"


async def test_others_have_their_turn_while_a_long_answer_is_read(tmp_path: Path) -> None:
    """Over TLS what is there already comes without a stop."""
    async with over_tls(tmp_path) as (server, ca_file):
        with stalls() as found:
            await get(server, answer(b"x" * 60_000), ca_file=ca_file)
        assert len(found) > 50


async def test_heads_as_long_as_may_be_and_longer(server: RoughServer) -> None:
    room = MAX_BESIDES - len(answer(b"", "X: "))
    assert (await get(server, answer(b"", "X: " + "x" * room))).body == b""
    told = await fault(server, answer(b"", "X: " + "x" * (room + 1)))
    assert TOO_MUCH in str(told)


async def test_chunks_of_five_octets_and_of_four(server: RoughServer) -> None:
    """Where chunk sizes are no longer than what is in them there may be any number."""
    page = CHUNKED + b"5\r\nxxxxx\r\n" * 20_000 + b"0\r\n\r\n"
    assert (await get(server, page)).body == b"x" * 100_000
    page = CHUNKED + b"4\r\nxxxx\r\n" * 40_000 + b"0\r\n\r\n"
    assert TOO_MUCH in str(await fault(server, page, max_bytes=200_000))

"""Keys come through the proxy that an issuer is given, and are checked as ever."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from extauthz.keys.fetch import FetchError, fetch

from .fetching import BODY, limits
from .rough_server import RoughServer, answer, hang, rough_server

HOST = "idp.invalid"  # which resolves nowhere (RFC 6761)
KEYS = f"https://{HOST}/keys"
AUTHORITY = trustme.CA()


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


@contextlib.asynccontextmanager
async def issuer(name: str = HOST) -> AsyncIterator[RoughServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(name).configure_cert(context)
    async with rough_server(context) as server:
        server.pages["/keys"] = answer(BODY)
        yield server


@dataclass
class Tunnel(RoughServer):
    """A proxy whose every tunnel ends at one server."""

    end: RoughServer = field(default_factory=RoughServer)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        there, back = await asyncio.open_connection("127.0.0.1", self.end.port)
        try:
            await self.send(writer, b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(pour(reader, back), pour(there, writer))
        finally:
            back.close()
            writer.close()


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def tunnel(to: RoughServer) -> contextlib.AbstractAsyncContextManager[RoughServer]:
    return rough_server(made=Tunnel(end=to))


async def test_the_proxy_sees_the_host_and_nothing_of_the_question(ca_file: str) -> None:
    async with issuer() as server, tunnel(server) as proxy:
        got = await fetch(KEYS, limits(ca_file=ca_file, egress_proxy=proxy.origin))
        assert got.body == BODY
        assert server.paths() == ["/keys"]
    (question,) = proxy.asked
    assert question.startswith(f"CONNECT {HOST}:443 HTTP/1.1\r\n")
    assert "/keys" not in question


async def test_without_it_nobody_is_asked_in_its_place(
    ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with issuer() as server, tunnel(server) as proxy:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.origin)
        with pytest.raises(FetchError, match="does not resolve"):
            await fetch(KEYS, limits(ca_file=ca_file))
        assert proxy.asked == []


@pytest.mark.requirement("M19")
async def test_a_proxy_cannot_pass_another_server_for_the_issuer(ca_file: str) -> None:
    async with issuer("other.invalid") as server, tunnel(server) as proxy:
        with pytest.raises(FetchError, match="certificate is not trusted"):
            await fetch(KEYS, limits(ca_file=ca_file, egress_proxy=proxy.origin))
        assert server.asked == []


async def test_plain_http_goes_through_it_where_that_is_allowed() -> None:
    async with rough_server() as proxy:
        proxy.pages[f"http://{HOST}/keys"] = answer(BODY)
        allowed = {"allow_http_hosts": frozenset({HOST}), "egress_proxy": proxy.origin}
        assert (await fetch(f"http://{HOST}/keys", limits(**allowed))).body == BODY


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required"])
async def test_a_refusal_of_the_proxy_is_told_from_one_of_the_issuer(status: str) -> None:
    async with rough_server() as proxy:
        proxy.pages[f"{HOST}:443"] = answer(status=status)
        with pytest.raises(FetchError) as caught:
            await fetch(KEYS, limits(egress_proxy=proxy.origin))
        assert str(caught.value) == (
            f"{KEYS} through {proxy.origin}: the proxy did not let it through (status {status[:3]})"
        )
        assert not caught.value.answered


async def test_a_proxy_that_is_not_there_is_named() -> None:
    with pytest.raises(FetchError, match=r"through http://127\.0\.0\.1:9: connection refused"):
        await fetch(KEYS, limits(egress_proxy="http://127.0.0.1:9"))


async def test_a_proxy_that_hangs_ends_with_the_deadline() -> None:
    async with rough_server() as proxy:
        proxy.pages[f"{HOST}:443"] = hang
        with pytest.raises(FetchError, match="no complete answer within"):
            await fetch(KEYS, limits(timeout=0.3, egress_proxy=proxy.origin))

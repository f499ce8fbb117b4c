"""Keys come from whom the certificate names, or not at all."""

from __future__ import annotations

import asyncio
import base64
import ssl
import warnings
from pathlib import Path

import pytest
import trustme

from extauthz.keys.fetch import FetchError, fetch

from .fetching import BODY, limits
from .rough_server import RoughServer, answer, rough_server

# PKCS #3, section 9: of 2,048 bits, which is as few as may be.
GROUP = b"-----BEGIN DH PARAMETERS-----\n%b-----END DH PARAMETERS-----\n" % base64.encodebytes(
    bytes.fromhex("30820108 02820101 00" + 256 * "ff" + "020102")
)


class TestTls:
    authority = trustme.CA()
    stranger = trustme.CA()

    def context(self, authority: trustme.CA, *names: str) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(made)
        return made

    @pytest.fixture
    def ca_file(self, tmp_path: Path) -> str:
        self.authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        return str(tmp_path / "ca.pem")

    async def test_a_private_authority_is_trusted_when_named(self, ca_file: str) -> None:
        async with rough_server(self.context(self.authority, "localhost")) as server:
            server.pages["/keys"] = answer(BODY)
            got = await fetch(server.origin + "/keys", limits(ca_file=ca_file))
            assert got.body == BODY
            with pytest.raises(FetchError, match=r"certificate is not trusted.*ca_file"):
                await fetch(server.origin + "/keys", limits())

    @pytest.mark.requirement("M19")
    async def test_another_name_or_authority_is_not(self, ca_file: str) -> None:
        for context in (
            self.context(self.authority, "other.example"),
            self.context(self.stranger, "localhost"),
        ):
            async with rough_server(context) as server:
                server.pages["/keys"] = answer(BODY)
                with pytest.raises(FetchError, match="certificate is not trusted"):
                    await fetch(server.origin + "/keys", limits(ca_file=ca_file))
                assert server.asked == []

    async def test_an_old_protocol_is_refused(self, ca_file: str) -> None:
        context = self.context(self.authority, "localhost")
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        async with rough_server(context) as server:
            with pytest.raises(FetchError, match=r"TLS failed.*version 1\.2 or later"):
                await fetch(server.origin + "/keys", limits(ca_file=ca_file))

    @pytest.mark.parametrize(
        ("suite", "outcome"),
        [("ECDHE-RSA-AES128-GCM-SHA256", "let"), ("DHE-RSA-AES128-GCM-SHA256", "refused")],
    )
    async def test_no_issuer_chooses_how_long_a_handshake_takes(
        self, ca_file: str, tmp_path: Path, suite: str, outcome: str
    ) -> None:
        """Of a group of its own choice, up to 10,000 bits, one costs a second of the event loop."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("localhost", key_type=trustme.KeyType.RSA).configure_cert(context)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(suite)
        (tmp_path / "dh.pem").write_bytes(GROUP)
        context.load_dh_params(str(tmp_path / "dh.pem"))
        async with rough_server(context) as server:
            server.pages["/keys"] = answer(BODY)
            getting = fetch(server.origin + "/keys", limits(ca_file=ca_file))
            if outcome == "let":
                assert (await getting).body == BODY
            else:
                with pytest.raises(FetchError, match="TLS failed"):
                    await getting

    async def test_handshakes_that_hang_leave_no_connection_open(self) -> None:
        times = 10
        opened = 0
        ended = asyncio.Semaphore(0)

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal opened
            opened += 1
            while await reader.read(4096):
                pass
            writer.close()
            ended.release()

        listening = await asyncio.start_server(silent, "127.0.0.1", 0)
        async with listening:
            url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
            # On a busy machine a deadline may pass before there is a connection at all.
            while opened < times:
                with pytest.raises(FetchError, match="no complete answer"):
                    await fetch(url, limits(timeout=0.05))
            async with asyncio.timeout(5):
                for _ in range(times):
                    await ended.acquire()

    async def test_a_server_that_speaks_no_tls_is_told(self, server: RoughServer) -> None:
        with pytest.raises(FetchError, match=r"TLS failed|broke off|no complete answer"):
            await fetch(server.origin.replace("http", "https"), limits(timeout=0.5))

    @pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
    async def test_a_bad_ca_file_is_named(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "ca.pem"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(FetchError, match=f"ca_file {path}: .*PEM"):
            await fetch("https://127.0.0.1:9/", limits(ca_file=str(path)))

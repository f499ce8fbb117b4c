"""Where the HTTP server listens: TCP, Unix sockets, and TLS that follows its files."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
import trustme

from extauthz.adapters import sockets
from extauthz.adapters.http_server import HttpServer
from extauthz.adapters.tls import TlsFilesError
from extauthz.config.addresses import TcpAddress, UnixAddress
from tests.adapters.echo import LAST, Echo, exchange, running, statuses
from tests.adapters.tls_files import Files


async def test_an_address_in_use_is_said_to_be():
    async with running() as server:
        with pytest.raises(OSError, match=rf"cannot listen on {server.address}"):
            await HttpServer(Echo(), server.address).start()


async def test_workers_may_share_a_port():
    async with running(reuse_port=True) as one, running(None, one.address, reuse_port=True) as two:
        assert one.address == two.address


async def test_a_host_that_does_not_exist_is_said_to(tmp_path: Path):
    for address in (TcpAddress("nobody.invalid", 1), UnixAddress(str(tmp_path / "no" / "sock"))):
        with pytest.raises(OSError, match="cannot listen on"):
            await HttpServer(Echo(), address).start()


async def test_a_unix_socket(tmp_path: Path):
    path, echo = tmp_path / "http.sock", Echo()
    async with running(echo, UnixAddress(str(path))) as server:
        assert statuses(await exchange(server, LAST)) == [200]
        with pytest.raises(OSError, match="another process listens"):
            await HttpServer(Echo(), server.address).start()
    assert echo.asked[0].peer is None
    assert not path.exists()


async def test_a_unix_socket_left_behind_is_replaced_and_a_file_is_not(tmp_path: Path):
    path = tmp_path / "http.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    async with running(None, UnixAddress(str(path))) as server:
        assert statuses(await exchange(server, LAST)) == [200]
    path.write_text("mine")
    with pytest.raises(OSError, match="something that is no socket is there"):
        await HttpServer(Echo(), UnixAddress(str(path))).start()
    assert path.read_text() == "mine"


async def test_what_has_the_path_of_a_unix_socket_is_named(tmp_path: Path):
    """Docker makes a folder where a path that it is to mount is not there yet."""
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to("nowhere")
    for path, what in ((folder, "a folder is there"), (link, "no socket is there")):
        with pytest.raises(OSError, match=what):
            await HttpServer(Echo(), UnixAddress(str(path))).start()


async def test_a_name_with_several_addresses_is_listened_on_at_all_of_them():
    async with running(None, TcpAddress("localhost", 0)) as server:
        assert isinstance(server.address, TcpAddress)
        assert server.address.port
        host, port = "localhost", server.address.port
        for family, kind, protocol, _, where in socket.getaddrinfo(host, port, type=1):
            with socket.socket(family, kind, protocol) as client:
                client.setblocking(False)
                await asyncio.get_running_loop().sock_connect(client, where)


async def test_of_several_addresses_those_that_this_machine_lacks_are_passed_over(
    monkeypatch: pytest.MonkeyPatch,
):
    """As of `localhost` where IPv6 is turned off; 192.0.2.1 is nobody's (RFC 5737)."""
    here, elsewhere = "127.0.0.1", "192.0.2.1"
    for order in ((here, elsewhere), (elsewhere, here)):
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in order]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, it=found, **__: it)
        listening = sockets.bind(TcpAddress("some.host", 0))
        assert [one.getsockname()[0] for one in listening] == [here]
        for one in listening:
            one.close()
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (elsewhere, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(OSError, match="cannot assign requested address"):
        sockets.bind(TcpAddress("some.host", 0))


# ---- TLS


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


async def reached(
    server: HttpServer, ca: trustme.CA, client: trustme.LeafCert | None = None
) -> bool:
    """Whether a client that trusts ``ca`` gets an answer."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    if client is not None:
        client.configure_cert(context)
    try:
        received = await exchange(server, LAST, ssl=context, server_hostname="localhost")
    except ssl.SSLError:
        return False
    return statuses(received) == [200]


async def test_tls_follows_its_files_and_keeps_what_works(
    files: Files, caplog: pytest.LogCaptureFixture
):
    first, second = trustme.CA(), trustme.CA()
    files.write(first)
    async with running(tls=files.source()) as server:
        assert await reached(server, first)
        assert not await reached(server, second)
        files.write(second)
        assert await reached(server, second)
        assert not await reached(server, first)
        files.key.write_bytes(b"rubbish")
        assert await reached(server, second)
        files.certificate.unlink()
        assert await reached(server, second)
        assert caplog.text.count("stays as it was") == 2


def test_files_that_are_gone_are_told_of_once_and_taken_up_again(
    files: Files, caplog: pytest.LogCaptureFixture
):
    """Each handshake looks at them, and anyone may begin as many as they like."""
    files.write(trustme.CA())
    source = files.source()
    first = source.current()
    key = files.key.read_bytes()
    for times in (1, 2):
        files.key.unlink()
        assert [source.current() for _ in range(3)] == [first] * 3
        assert caplog.text.count("stays as it was") == times
        files.key.write_bytes(key)
        again = source.current()
        assert again is not first
        assert source.current() is again
        first = again


async def test_mutual_tls_wants_a_client_of_its_ca_and_follows_that_file_too(files: Files):
    ca, clients, later = trustme.CA(), trustme.CA(), trustme.CA()
    files.write(ca)
    files.client_ca.write_bytes(clients.cert_pem.bytes())
    old, new = clients.issue_cert("nginx"), later.issue_cert("nginx")
    async with running(tls=files.source(mutual=True)) as server:
        assert await reached(server, ca, old)
        assert not await reached(server, ca)
        assert not await reached(server, ca, new)
        files.client_ca.write_bytes(later.cert_pem.bytes())
        assert await reached(server, ca, new)
        assert not await reached(server, ca, old)


async def test_plain_http_on_a_tls_port_is_no_request(files: Files):
    files.write(trustme.CA())
    async with running(tls=files.source()) as server:
        assert statuses(await exchange(server, LAST)) == []


def test_files_that_make_no_server_are_named(files: Files):
    with pytest.raises(TlsFilesError, match=r"cert\.pem: no such file"):
        files.source()
    files.write(trustme.CA())
    key = files.key.read_bytes()
    for wrong in (b"", b"rubbish", trustme.CA().issue_cert("x").private_key_pem.bytes()):
        files.key.write_bytes(wrong)
        with pytest.raises(TlsFilesError, match=r"key\.pem: .*expected a certificate chain"):
            files.source()
    files.key.write_bytes(key)
    files.client_ca.write_bytes(b"rubbish")
    with pytest.raises(TlsFilesError, match=r"clients\.pem: .*CA certificates"):
        files.source(mutual=True)

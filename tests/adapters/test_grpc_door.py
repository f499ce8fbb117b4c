"""The gRPC door as a server: it always replies, tells its health, and ends cleanly."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st

from extauthz._pb.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.adapters.envoy import MCP_NAMESPACE
from extauthz.adapters.grpc_door import SERVICE, CheckServicer, GrpcLimits
from extauthz.adapters.grpcio_door import GrpcDoor
from extauthz.adapters.http2_frames import PREFACE
from extauthz.config.addresses import Address, TcpAddress, UnixAddress
from extauthz.core.model import Reason
from tests.adapters.doors import (
    CHECK,
    Asked,
    Keys,
    Observer,
    authorizer,
    check_request,
    reason_in,
)
from tests.adapters.tls_files import Files
from tests.policies import policy_for_tests
from tests.tokens import mint

ANYWHERE = TcpAddress("127.0.0.1", 0)
POLICY = policy_for_tests()


@dataclass
class Context:
    """As much of a call's context as the servicer looks at."""

    left: float | None = None

    def time_remaining(self) -> float | None:
        return self.left


async def served(
    servicer: CheckServicer, message: CheckRequest | bytes, left: float | None = None
) -> CheckResponse:
    """The servicer's reply, without a server around it."""
    data = message if isinstance(message, bytes) else message.SerializeToString()
    context: Any = Context(left)
    return CheckResponse.FromString(await servicer.check(data, context))


def good() -> CheckRequest:
    return check_request(Asked((("authorization", f"Bearer {mint()}"),)))


def unknown() -> CheckRequest:
    """A check whose token's key has to be looked for."""
    token = mint(header={"kid": "new"})
    return check_request(Asked((("authorization", f"Bearer {token}"),)))


@asynccontextmanager
async def running(address: Address = ANYWHERE, **more: Any) -> AsyncIterator[GrpcDoor]:
    keys = more.pop("keys", None)
    door = GrpcDoor(more.pop("authorizer", None) or authorizer(POLICY, keys), address, **more)
    await door.start()
    try:
        yield door
    finally:
        await door.stop(0)


def channel_to(door: GrpcDoor, **more: Any) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(str(door.address), **more)


async def check(
    channel: grpc.aio.Channel, message: CheckRequest | bytes, **more: Any
) -> CheckResponse:
    data = message if isinstance(message, bytes) else message.SerializeToString()
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
    return CheckResponse.FromString(await call(data, timeout=10, **more))


async def health(channel: grpc.aio.Channel, service: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    return int(answer.status)


# ---- it always replies


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\xff\xff", b"\x0a\x02\x12\x7f", b"x" * 1000])
async def test_bytes_that_are_no_check_are_a_malformed_request(data: bytes):
    async with running() as door, channel_to(door) as channel:
        reply = await check(channel, data)
    assert (reply.status.code, reply.denied_response.status.code) == (3, 400)
    assert reason_in(reply.denied_response.body) == "malformed_request"


async def test_an_empty_check_is_a_malformed_request():
    async with running() as door, channel_to(door) as channel:
        reply = await check(channel, b"")
    assert reply.denied_response.status.code == 400


async def test_what_breaks_behind_the_door_is_a_refusal(caplog: pytest.LogCaptureFixture):
    class Broken:
        def check_now(self, *_: object) -> None:
            raise RuntimeError("boom")

    broken: Any = Broken()
    with caplog.at_level(logging.CRITICAL):
        reply = await served(CheckServicer(broken), good())
    assert (reply.status.code, reply.denied_response.status.code) == (14, 503)


async def test_a_check_larger_than_the_limit_is_no_allow():
    async with running(limits=GrpcLimits(message_bytes=2000)) as door, channel_to(door) as channel:
        assert (await check(channel, good())).status.code == 0
        large = check_request(Asked((("x-pad", "x" * 2000),)))
        with pytest.raises(grpc.aio.AioRpcError) as fault:
            await check(channel, large)
        assert fault.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await check(channel, good())).status.code == 0


async def test_metadata_larger_than_the_limit_is_no_allow():
    limits = GrpcLimits(metadata_bytes=2000)
    async with running(limits=limits) as door, channel_to(door) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await check(channel, good(), metadata=(("x-pad", "x" * 4000),))
        assert (await check(channel, good())).status.code == 0


async def test_who_connects_and_says_nothing_is_sent_away():
    """A proxy that has begun to speak HTTP/2 stays, though it asks nothing."""
    async with running(limits=GrpcLimits(handshake=0.2)) as door:
        assert isinstance(door.address, TcpAddress)
        here = (door.address.host, door.address.port)
        async with channel_to(door) as channel:
            await channel.channel_ready()
            reader, writer = await asyncio.open_connection(*here)
            async with asyncio.timeout(10):
                while await reader.read(1024):
                    pass
            writer.close()
            assert channel.get_state() is grpc.ChannelConnectivity.READY
            assert (await check(channel, good())).status.code == 0


texts = st.text(max_size=12)
names = st.one_of(st.sampled_from(["authorization", "Authorization", "origin", "host"]), texts)
values = st.one_of(st.sampled_from(["Bearer x", "Bearer ", "Basic x"]), texts)


@st.composite
def checks(draw: st.DrawFn) -> CheckRequest:
    """A check of any form, without a good token."""
    message = CheckRequest()
    attributes = message.attributes
    http = attributes.request.http
    http.method = draw(st.one_of(st.sampled_from(["GET", "POST"]), texts))
    http.path = draw(st.one_of(st.sampled_from(["/notes/mcp", "/notes/health"]), texts))
    http.host = draw(st.one_of(st.just("mcp.example.com"), texts))
    # Two forms that differ are refused before anything else is looked at.
    forms = draw(st.sampled_from([(4, 0), (0, 4), (4, 4)]))
    http.body = draw(texts)
    http.raw_body = draw(st.binary(max_size=12)) if forms == (4, 4) else b""
    http.size = draw(st.integers(-1, 99))
    http.headers.update(draw(st.dictionaries(names, values, max_size=forms[0])))
    raw = st.tuples(names, st.binary(max_size=12))
    for name, value in draw(st.lists(raw, max_size=forms[1])):
        http.header_map.headers.add(key=name, raw_value=value)
    named = st.sampled_from(["mcp_server", "x"])
    servers = st.one_of(st.sampled_from(["notes", "audited"]), texts)
    attributes.context_extensions.update(draw(st.dictionaries(named, servers, max_size=2)))
    scalars = st.one_of(st.none(), st.booleans(), texts)
    said = draw(st.dictionaries(texts, scalars, max_size=3))
    if said:
        attributes.metadata_context.filter_metadata[MCP_NAMESPACE].update(said)
    return message


@given(checks())
async def test_no_check_without_a_token_is_allowed_and_none_fails(message: CheckRequest):
    reply = await served(CheckServicer(authorizer(POLICY)), message)
    if reply.status.code == 0:
        about = dict(reply.dynamic_metadata)
        assert about["server"] == "audited" or about == {"server": "notes"}
        assert "x-auth-subject" in reply.ok_response.headers_to_remove
    else:
        assert reply.denied_response.status.code >= 200


@given(st.binary(max_size=200))
async def test_no_bytes_are_allowed_and_none_fail(data: bytes):
    reply = await served(CheckServicer(authorizer(POLICY)), data)
    assert reply.status.code != 0


# ---- waiting for keys


@pytest.mark.parametrize(
    ("left", "wait"), [(None, 0.25), (10.0, 0.25), (0.3, 0.25), (0.2, 0.15), (0.05, 0), (-1, 0)]
)
async def test_a_key_is_waited_for_no_longer_than_envoy_waits(left: float | None, wait: float):
    keys = Keys()
    reply = await served(CheckServicer(authorizer(POLICY, keys)), unknown(), left)
    assert reason_in(reply.denied_response.body) == "unknown_key"
    assert keys.waits == pytest.approx([wait], abs=0.05)  # less what its turn took


async def test_the_last_proxy_that_waits_too_little_is_remembered():
    asked = authorizer(POLICY)
    for left, remembered in ((0.2, 0.2), (10.0, None), (0.29, 0.29), (None, 0.29), (0.31, None)):
        await served(CheckServicer(asked), unknown(), left)
        assert asked.hurried_by == remembered


async def test_envoys_deadline_arrives():
    keys = Keys()
    async with running(keys=keys) as door, channel_to(door) as channel:
        await check(channel, unknown())
    assert keys.waits == [0.25]


async def test_one_decision_is_told_once_with_its_door():
    observer = Observer()
    servicer = CheckServicer(authorizer(POLICY, None, observer))
    for message in (good(), b"\xff", b"", unknown()):
        await served(servicer, message)
    assert [transport for _, _, transport in observer.told] == ["grpc"] * 4
    assert [getattr(decision, "reason", "allow") for _, decision, _ in observer.told] == [
        "allow",
        Reason.MALFORMED_REQUEST,
        Reason.MALFORMED_REQUEST,
        Reason.UNKNOWN_KEY,
    ]


# ---- health, and the end


async def test_health_is_told_for_both_names_and_changes_with_readiness():
    async with running() as door, channel_to(door) as channel:
        assert [await health(channel, name) for name in ("", SERVICE)] == [1, 1]
        await door.set_ready(False)
        assert [await health(channel, name) for name in ("", SERVICE)] == [2, 2]
        await door.set_ready(True)
        assert await health(channel) == 1
        with pytest.raises(grpc.aio.AioRpcError):
            await health(channel, "other")


async def test_a_door_may_start_unready():
    door = GrpcDoor(authorizer(POLICY), ANYWHERE)
    await door.start(ready=False)
    async with channel_to(door) as channel:
        assert await health(channel) == 2
    await door.stop(0)


async def test_at_the_end_health_says_so_first_and_checks_under_way_are_answered():
    keys = Keys()
    keys.hold = asyncio.Event()
    door = GrpcDoor(authorizer(POLICY, keys), ANYWHERE)
    await door.start()
    async with channel_to(door) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == 1
        pending = asyncio.create_task(check(channel, unknown()))
        await keys.searched.wait()
        stopping = asyncio.create_task(door.stop(10))
        assert (await watch.read()).status == 2
        watch.cancel()
        keys.hold.set()
        assert reason_in((await pending).denied_response.body) == "unknown_key"
        await stopping


async def test_the_end_does_not_wait_longer_than_it_may():
    keys = Keys()
    keys.hold = asyncio.Event()
    door = GrpcDoor(authorizer(POLICY, keys), ANYWHERE)
    await door.start()
    async with channel_to(door) as channel:
        pending = asyncio.create_task(check(channel, unknown()))
        await keys.searched.wait()
        began = time.monotonic()
        await door.stop(0.1)
        assert time.monotonic() - began < 5
        # No error of gRPC, which a proxy may be told to take for an allow.
        reply = await pending
        assert reply.status.code == 14
        assert reason_in(reply.denied_response.body) == "keys_unavailable"


# ---- where it listens


async def test_an_address_in_use_is_said_to_be():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = TcpAddress("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(OSError, match=str(address)):
            await GrpcDoor(authorizer(POLICY), address).start()


async def test_two_services_never_share_a_port_unasked():
    async with running() as door:
        with pytest.raises(OSError, match="cannot listen"):
            await GrpcDoor(authorizer(POLICY), door.address).start()


async def test_workers_may_share_a_port():
    async with running(reuse_port=True) as door, running(door.address, reuse_port=True) as other:
        assert other.address == door.address


async def test_a_unix_socket(tmp_path: Path):
    path = tmp_path / "grpc.sock"
    async with running(UnixAddress(str(path))) as door, channel_to(door) as channel:
        assert door.address == UnixAddress(str(path))
        assert (await check(channel, good())).status.code == 0
    assert not path.exists()


# ---- TLS


def credentials(ca: trustme.CA, client: trustme.LeafCert | None = None) -> grpc.ChannelCredentials:
    if client is None:
        return grpc.ssl_channel_credentials(ca.cert_pem.bytes())
    chain = b"".join(blob.bytes() for blob in client.cert_chain_pems)
    return grpc.ssl_channel_credentials(ca.cert_pem.bytes(), client.private_key_pem.bytes(), chain)


async def allowed_over_tls(door: GrpcDoor, trust: grpc.ChannelCredentials) -> bool:
    assert isinstance(door.address, TcpAddress)
    target = f"localhost:{door.address.port}"
    # Channels of one process share connections unless told not to.
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.secure_channel(target, trust, options=options) as channel:
        try:
            return (await check(channel, good())).status.code == 0
        except grpc.aio.AioRpcError:
            return False


async def test_tls_follows_its_files_and_keeps_what_works(tmp_path: Path, caplog):
    first, second, files = trustme.CA(), trustme.CA(), Files(tmp_path)
    files.write(first)
    async with running(tls=files.source()) as door:
        assert await allowed_over_tls(door, credentials(first))
        assert not await allowed_over_tls(door, credentials(second))
        files.write(second)
        assert await allowed_over_tls(door, credentials(second))
        assert not await allowed_over_tls(door, credentials(first))
        files.certificate.write_bytes(b"rubbish")
        assert await allowed_over_tls(door, credentials(second))
        assert "stays as it was" in caplog.text


async def test_mutual_tls_wants_a_client_of_its_ca(tmp_path: Path):
    ca, clients, files = trustme.CA(), trustme.CA(), Files(tmp_path)
    files.write(ca)
    files.client_ca.write_bytes(clients.cert_pem.bytes())
    async with running(tls=files.source(mutual=True)) as door:
        assert await allowed_over_tls(door, credentials(ca, clients.issue_cert("envoy")))
        assert not await allowed_over_tls(door, credentials(ca))
        assert not await allowed_over_tls(door, credentials(ca, ca.issue_cert("envoy")))


async def test_a_client_ca_that_changes_counts_at_once(tmp_path: Path):
    ca, before, after, files = trustme.CA(), trustme.CA(), trustme.CA(), Files(tmp_path)
    files.write(ca)
    files.client_ca.write_bytes(before.cert_pem.bytes())
    async with running(tls=files.source(mutual=True)) as door:
        assert await allowed_over_tls(door, credentials(ca, before.issue_cert("envoy")))
        files.client_ca.write_bytes(after.cert_pem.bytes())
        assert await allowed_over_tls(door, credentials(ca, after.issue_cert("envoy")))
        assert not await allowed_over_tls(door, credentials(ca, before.issue_cert("envoy")))


async def test_a_client_with_a_certificate_shows_it_each_time(tmp_path: Path):
    """A session taken up again would outlast the CA that it was begun under."""
    ca, files = trustme.CA(), Files(tmp_path)
    files.write(ca)
    files.client_ca.write_bytes(ca.cert_pem.bytes())
    context = ssl.create_default_context()
    ca.configure_trust(context)
    ca.issue_cert("envoy").configure_cert(context)
    async with running(tls=files.source(mutual=True)) as door:
        assert isinstance(door.address, TcpAddress)

        def met(port: int, session: ssl.SSLSession | None = None) -> tuple[bool, Any]:
            with (
                socket.create_connection(("127.0.0.1", port)) as plain,
                context.wrap_socket(
                    plain, server_hostname="localhost", session=session
                ) as connection,
            ):
                connection.sendall(PREFACE + b"\0\0\0\4\0\0\0\0\0")
                assert connection.recv(9)
                return connection.session_reused or False, connection.session

        _, session = await asyncio.to_thread(met, door.address.port)
        assert session is None or not session.has_ticket
        again, _ = await asyncio.to_thread(met, door.address.port, session)
        assert not again


async def test_the_time_that_a_large_message_waited_for_its_turn_is_gone(
    monkeypatch: pytest.MonkeyPatch,
):
    servicer, lefts = CheckServicer(authorizer(POLICY)), []

    async def late(work: Any) -> Any:
        await asyncio.sleep(0.05)
        return work()

    async def noted(_: object, left: float | None) -> bytes:
        lefts.append(left)
        return b""

    monkeypatch.setattr(servicer._authorizer, "in_turn", late)
    monkeypatch.setattr(servicer, "wait", noted)
    for left in (60.0, None):
        await servicer.answer_in_turn(unknown().SerializeToString(), lambda: None, left)
    assert lefts[0] is not None
    assert lefts[0] < 60.0 - 0.04
    assert lefts[1] is None


@pytest.mark.parametrize("name", ["a%41", "a b", "ä"])
async def test_a_folder_for_temporary_files_may_have_any_name(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        folder = Path(short) / name
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        async with running():
            assert [one.is_socket() for one in folder.glob("*/*")] == [True]


async def test_where_the_server_behind_cannot_listen_is_said_and_the_port_is_free_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = TcpAddress(*free.getsockname())
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "mkdtemp", lambda **_: str(tmp_path / "nowhere"))
        with pytest.raises(OSError, match=r"cannot listen on unix:.*; expected \$TMPDIR"):
            await GrpcDoor(authorizer(POLICY, Keys()), address).start()
    async with running(address):
        pass

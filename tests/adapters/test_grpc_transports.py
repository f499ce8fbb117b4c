"""Both gRPC servers keep the same promises: what one does under odd clients, the other does."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from extauthz._pb.external_auth_pb2 import CheckResponse
from extauthz.adapters.grpc_door import LARGE, SERVICE, CheckServicer, GrpcLimits
from extauthz.adapters.grpc_http2 import Call, framed
from extauthz.adapters.grpc_listener import GrpcListener
from extauthz.adapters.grpcio_door import GrpcDoor
from extauthz.adapters.http2_answers import Answers, Stream
from extauthz.adapters.native_door import NativeDoor
from extauthz.config.addresses import UnixAddress
from extauthz.turns import SLICE
from tests.adapters import test_grpc_door as door_tests
from tests.adapters.doors import CHECK, Asked, Keys, authorizer, check_request, reason_in
from tests.adapters.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    REQUEST,
    RST_STREAM,
    Client,
    frame,
)
from tests.adapters.test_grpc_door import (
    ANYWHERE,
    POLICY,
    channel_to,
    check,
    good,
    unknown,
)


@pytest.fixture(params=[GrpcDoor, NativeDoor], ids=["grpcio", "native"])
def transport(request: pytest.FixtureRequest) -> Any:
    return request.param


@asynccontextmanager
async def running(transport: Any, keys: Keys | None = None, **more: Any) -> AsyncIterator[Any]:
    door = transport(authorizer(POLICY, keys), more.pop("address", ANYWHERE), **more)
    await door.start()
    try:
        yield door
    finally:
        await door.stop(0)


def call_to(channel: grpc.aio.Channel, path: str = CHECK) -> Any:
    return channel.unary_unary(path)


SHARED = (
    door_tests.test_bytes_that_are_no_check_are_a_malformed_request,
    door_tests.test_an_empty_check_is_a_malformed_request,
    door_tests.test_a_check_larger_than_the_limit_is_no_allow,
    door_tests.test_metadata_larger_than_the_limit_is_no_allow,
    door_tests.test_envoys_deadline_arrives,
    door_tests.test_health_is_told_for_both_names_and_changes_with_readiness,
    door_tests.test_a_door_may_start_unready,
    door_tests.test_at_the_end_health_says_so_first_and_checks_under_way_are_answered,
    door_tests.test_the_end_does_not_wait_longer_than_it_may,
    door_tests.test_an_address_in_use_is_said_to_be,
    door_tests.test_two_services_never_share_a_port_unasked,
    door_tests.test_workers_may_share_a_port,
    door_tests.test_a_unix_socket,
    door_tests.test_tls_follows_its_files_and_keeps_what_works,
    door_tests.test_mutual_tls_wants_a_client_of_its_ca,
    door_tests.test_a_client_ca_that_changes_counts_at_once,
)


@pytest.mark.parametrize("promise", SHARED, ids=lambda promise: promise.__name__)
async def test_the_native_server_keeps_what_the_usual_one_promises(
    promise: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(door_tests, "GrpcDoor", NativeDoor)
    wanted = {"tmp_path": tmp_path, "caplog": caplog, "data": b"\xff"}
    names = promise.__code__.co_varnames[: promise.__code__.co_argcount]
    await promise(**{name: wanted[name] for name in names})


async def test_a_client_that_gives_up_leaves_nothing_behind(transport: Any):
    keys = Keys()
    keys.hold = asyncio.Event()
    async with running(transport, keys) as door, channel_to(door) as channel:
        call = call_to(channel)(unknown().SerializeToString())
        await keys.searched.wait()
        call.cancel()
        await keys.given_up.wait()
        assert (await check(channel, good())).status.code == 0


async def test_a_deadline_that_passes_ends_the_call(transport: Any):
    keys = Keys()
    keys.hold = asyncio.Event()
    async with running(transport, keys) as door, channel_to(door) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as fault:
            await call_to(channel)(unknown().SerializeToString(), timeout=0.2)
        assert fault.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await keys.given_up.wait()
        assert (await check(channel, good())).status.code == 0


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_whoever_watches_hears_of_every_change(transport: Any, service: str):
    async with running(transport) as door, channel_to(door) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=service)
        )
        heard = [(await watch.read()).status]
        for ready in (False, True):
            await door.set_ready(ready)
            heard.append((await watch.read()).status)
        assert heard == [1, 2, 1]


async def test_whoever_watches_an_unknown_service_is_told_so(transport: Any):
    async with running(transport) as door, channel_to(door) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service="other")
        )
        assert (await watch.read()).status == 3


async def test_an_unknown_method_is_no_allow(transport: Any):
    async with running(transport) as door, channel_to(door) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as fault:
            await call_to(channel, f"/{SERVICE}/Other")(b"", timeout=5)
        assert fault.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_hundreds_of_connections(transport: Any):
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with running(transport) as door:
        channels = [channel_to(door, options=options) for _ in range(200)]
        replies = await asyncio.gather(*(check(channel, good()) for channel in channels))
        assert {reply.status.code for reply in replies} == {0}
        await asyncio.gather(*(channel.close() for channel in channels))


async def test_clients_that_break_off_do_no_harm(transport: Any):
    """Nothing, half a preface, rubbish, a preface and no more: each is cut off in the middle."""
    async with running(transport) as door, channel_to(door) as channel:
        address = (door.address.host, door.address.port)
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        for sent in (b"", preface[:9], os.urandom(64), preface, preface + b"\0\0\0\4\0\0\0\0\0"):
            for _ in range(20):
                with socket.create_connection(address) as client:
                    client.sendall(sent)
        assert (await check(channel, good())).status.code == 0


async def test_clients_that_vanish_while_keys_are_looked_for_do_no_harm(transport: Any):
    keys = Keys()
    keys.hold = asyncio.Event()
    async with running(transport, keys) as door:
        async with channel_to(door) as lost:
            pending = [
                asyncio.ensure_future(call_to(lost)(unknown().SerializeToString()))
                for _ in range(50)
            ]
            await keys.searched.wait()
        await asyncio.gather(*pending, return_exceptions=True)
        keys.hold.set()
        async with channel_to(door) as channel:
            assert (await check(channel, good())).status.code == 0


async def test_many_calls_on_one_connection_each_get_their_own_answer(transport: Any):
    async with running(transport, Keys()) as door, channel_to(door) as channel:
        asked = [good() if number % 3 else unknown() for number in range(300)]
        replies = await asyncio.gather(*(check(channel, message) for message in asked))
        for number, reply in enumerate(replies):
            if number % 3:
                assert reply.status.code == 0
            else:
                assert reason_in(reply.denied_response.body) == "unknown_key"


async def test_a_call_after_the_end_is_no_allow(transport: Any):
    door: Any = transport(authorizer(POLICY), ANYWHERE)
    await door.start()
    async with channel_to(door) as channel:
        assert (await check(channel, good())).status.code == 0
        await door.stop(0)
        with pytest.raises(grpc.aio.AioRpcError):
            await check(channel, good())


async def test_a_unix_socket_of_a_server_that_died_is_taken_over(transport: Any, tmp_path: Path):
    path = tmp_path / "grpc.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with running(transport, address=UnixAddress(str(path))) as door, channel_to(door) as one:
        assert (await check(one, good())).status.code == 0


def test_without_the_extra_the_error_says_what_to_install():
    """In an interpreter of its own, which has imported nothing yet."""
    code = (
        "import sys; sys.modules['hpack'] = None\n"
        "from extauthz.adapters.native_door import NativeDoor\n"
        "from extauthz.config.addresses import TcpAddress\n"
        "NativeDoor(None, TcpAddress('127.0.0.1', 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "NativeMissing: listen.grpc_transport: native needs a package" in done.stderr
    assert "'.[native]' in a clone" in done.stderr


async def test_large_messages_are_answered_one_at_a_time(transport: Any):
    """What comes while several are there waits for one of them at most."""
    order: list[str] = []
    answer = CheckServicer.answer

    def noted(self: CheckServicer, data: bytes, traceparent: Any) -> Any:
        order.append("large" if len(data) > LARGE else "small")
        asyncio.get_running_loop().call_soon(order.append, "turn")
        time.sleep(2 * SLICE)  # as a megabyte takes
        return answer(self, data, traceparent)

    large = check_request(Asked((("authorization", f"Bearer {'A' * LARGE}"),)))
    async with running(transport) as door, channel_to(door) as channel:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(CheckServicer, "answer", noted)
            asked = [large] * 6 + [good()] * 3
            replies = await asyncio.gather(*(check(channel, message) for message in asked))
    assert {reason_in(reply.denied_response.body) for reply in replies[:6]} == {"token_too_large"}
    assert {reply.status.code for reply in replies[6:]} == {0}
    assert order.count("large") == 6
    assert ("large", "large") not in set(pairwise(order))


def broken(*_: Any) -> Any:
    raise RuntimeError("broken")


async def broken_wait(*_: Any) -> Any:
    raise RuntimeError("broken")


@pytest.mark.parametrize(
    ("name", "breaks"), [("answer", broken), ("wait", broken_wait), ("answer_in_turn", broken_wait)]
)
async def test_whatever_breaks_behind_a_check_it_is_a_refusal_and_no_error_of_grpc(
    transport: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    breaks: Any,
):
    """A proxy may be told to take an error of gRPC for an allow."""
    asked = unknown() if name == "wait" else good()
    if name == "answer_in_turn":
        asked = check_request(Asked((("authorization", f"Bearer {'A' * LARGE}"),)))
    async with running(transport) as door, channel_to(door) as channel:
        with monkeypatch.context() as patched:
            patched.setattr(CheckServicer, name, breaks)
            reply = await check(channel, asked)
        assert reply.status.code == 14
        assert reply.denied_response.status.code == 503
        assert reason_in(reply.denied_response.body) == "keys_unavailable"
        assert "a check failed" in caplog.text
        assert (await check(channel, good())).status.code == 0


async def test_a_check_that_comes_while_the_native_server_ends_is_refused():
    """What grpcio's server does not take at its end it leaves unread, for another server."""
    keys = Keys()
    keys.hold = asyncio.Event()
    door: Any = NativeDoor(authorizer(POLICY, keys), ANYWHERE)
    await door.start()
    async with channel_to(door) as channel:
        pending = asyncio.create_task(check(channel, unknown()))
        await keys.searched.wait()
        stopping = asyncio.create_task(door.stop(10))
        await asyncio.sleep(0)
        reply = await check(channel, good())
        assert reason_in(reply.denied_response.body) == "keys_unavailable"
        with pytest.raises(grpc.aio.AioRpcError) as fault:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert fault.value.code() is grpc.StatusCode.UNAVAILABLE
        keys.hold.set()
        assert reason_in((await pending).denied_response.body) == "unknown_key"
        await stopping


def called_in_one_breath() -> tuple[Keys, NativeDoor, Client]:
    """A door that was just sent a check which waits for a key, and has not turned to it yet."""
    keys = Keys()
    keys.hold = asyncio.Event()
    door = NativeDoor(authorizer(POLICY, keys), ANYWHERE)
    service: Any = door
    client = Client(service)
    assert client.send(called(client)) == []
    return keys, door, client


async def test_a_check_that_comes_in_the_same_breath_as_the_end_is_refused():
    keys, door, client = called_in_one_breath()
    await door.stop(0)
    assert not keys.searched.is_set()
    (reply,) = (one.payload for one in client.heard() if one.kind == DATA)
    assert reason_in(CheckResponse.FromString(reply[5:]).denied_response.body) == "keys_unavailable"


async def test_a_message_that_is_compressed_is_no_allow_on_the_native_server():
    async with running(NativeDoor) as door, channel_to(door) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as fault:
            await check(channel, good(), compression=grpc.Compression.Gzip)
        assert fault.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert (await check(channel, good())).status.code == 0


async def test_connections_are_made_anew_now_and_then_and_no_call_is_lost(transport: Any):
    limits = GrpcLimits(connection_age=0.2, connection_grace=5.0)
    async with running(transport, limits=limits) as door, channel_to(door) as channel:
        opened: set[Any] = set()
        async with asyncio.timeout(30):
            while len(opened) < 3:
                replies = await asyncio.gather(*(check(channel, good()) for _ in range(20)))
                assert {reply.status.code for reply in replies} == {0}
                opened |= listener_of(door).connections


def listener_of(door: Any) -> GrpcListener:
    found = getattr(door, "_listener", None) or door._front.listener
    assert isinstance(found, GrpcListener)
    return found


def test_not_all_connections_of_the_native_server_are_made_anew_at_once():
    door = NativeDoor(authorizer(POLICY), ANYWHERE, limits=GrpcLimits(connection_age=100.0))
    ages = sorted(door.age() for _ in range(20))
    assert 90 <= ages[0] < ages[-1] < 110
    assert all(later - earlier > 0.4 for earlier, later in pairwise(ages))


def called(client: Client) -> bytes:
    """The frames of a check that waits for a key."""
    body = framed(unknown().SerializeToString())
    headers = [(name, CHECK if name == ":path" else value) for name, value in REQUEST]
    block = client.encoder.encode(headers)
    return frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, END_STREAM, 1, body)


async def test_a_call_that_is_given_up_in_the_same_breath_leaves_nothing_behind():
    keys, door, client = called_in_one_breath()
    assert len(door._waiting) == 1
    client.send(frame(RST_STREAM, 0, 1, bytes(4)))
    assert not door._waiting
    await asyncio.sleep(0)
    assert not keys.searched.is_set()
    assert client.heard() == []


@pytest.mark.parametrize(("ago", "wait"), [(0.0, 0.25), (100.0, 0.0)], ids=["at once", "late"])
@pytest.mark.parametrize("said", [90.0, None])
async def test_a_caller_has_waited_since_it_began_to_call(
    ago: float, wait: float, said: float | None
):
    """However long its message takes to come, and until it is looked at."""
    keys = Keys()
    door = NativeDoor(authorizer(POLICY, keys), ANYWHERE)
    began = asyncio.get_running_loop().time() - ago
    answers = Answers({}, ended=print, answered=print, write=print)
    stream = Stream(answers, 1, Call(0, said, None), None, began)
    stream.body = framed(unknown().SerializeToString())
    door.requested(stream)
    await keys.searched.wait()
    assert keys.waits == [0.25 if said is None else wait]
    await door.stop(1)

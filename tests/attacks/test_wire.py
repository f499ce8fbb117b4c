"""Rows 106, 114, 115 and 116: bytes that are no request, and a configuration that is none."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import grpc
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection

from extauthz._pb.external_auth_pb2 import CheckRequest
from extauthz.config.load import load
from extauthz.config.problems import ConfigError
from tests.attacks import doors
from tests.attacks.doors import GrpcClient
from tests.attacks.table import ALLOW, Case, Sent
from tests.attacks.world import World
from tests.policies import SERVERS, document
from tests.tokens import mint

USUAL = Case(label="usual", sent=Sent(token=mint()), expected=frozenset({ALLOW}))


def world() -> World:
    made = World()
    made.set(USUAL)
    return made


# ---- 106


@pytest.mark.parametrize(
    "name",
    [
        "host", ":path", ":authority", "content-length", "content-type", "transfer-encoding",
        "connection", "te", "upgrade", "cookie", "authorization", "forwarded", "x-forwarded-for",
        "x-original-uri", "x-envoy-internal", "mcp-name", "mcp-session-id", "x-auth-subject",
        "x auth", "x\r\ny", "",
    ],
)  # fmt: skip
def test_106_no_claim_is_sent_in_a_header_that_proxies_read(name: str) -> None:
    servers = [SERVERS[0] | {"forward": {"headers": {name: "email"}}}]
    text = json.dumps(document(servers=servers)).encode()
    with pytest.raises(ConfigError):
        load("extauthz.yaml", environ={}, read=lambda _: text)


# ---- 114

_TOKEN = b"Authorization: Bearer %b\r\n" % mint().encode()
_ORIGINAL = (
    b"X-Original-URI: /notes/mcp\r\nX-Original-Method: POST\r\nX-Original-Host: mcp.example.com\r\n"
)
_QUESTION = _ORIGINAL + _TOKEN
_START = b"GET /auth/nginx HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        _START
        + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"
        + _QUESTION
        + b"\r\n0\r\n\r\n",
        _START + b"Content-Length: 0\r\nContent-Length: 5\r\n" + _QUESTION + b"\r\nAAAAA",
        _START + b"Content-Length: 0, 0\r\n" + _QUESTION + b"\r\n",
        _START + b"Content-Length: +0\r\n" + _QUESTION + b"\r\n",
        _START + b"Content-Length: 0x0\r\n" + _QUESTION + b"\r\n",
        _START + b"Transfer-Encoding: xchunked\r\n" + _QUESTION + b"\r\n0\r\n\r\n",
        _START + b"Transfer-Encoding: identity\r\n" + _QUESTION + b"\r\n",
        _START + b"Transfer-Encoding: chunked\r\n" + _QUESTION + b"\r\n-1\r\n\r\n",
        _START + _QUESTION + b"X-Folded: a\r\n b\r\n\r\n",
        _START + _QUESTION + b"X-Blank : a\r\n\r\n",
        _START + _QUESTION + b"no colon\r\n\r\n",
        _START + _QUESTION + b"X-Nul: \x00\r\n\r\n",
        _START + _QUESTION.replace(b"\r\n", b"\r") + b"\r\n\r\n",
        b"GET /auth/nginx\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n",
    ],
    ids=lambda data: repr(data[36:70]),
)
async def test_114_a_question_of_two_lengths_or_none_is_never_an_allow(
    request_bytes: bytes,
) -> None:
    async with doors.http_door(world(), "nginx") as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(request_bytes)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(65536), 10)
        writer.close()
    assert not answer.startswith(b"HTTP/1.1 2")
    assert answer.count(b"HTTP/1.1 ") <= 1 or b"HTTP/1.1 400" in answer


@pytest.mark.parametrize(
    "start",
    [
        _START,
        b"GET /auth/nginx HTTP/1.1\r\n",
        b"GET  /auth/nginx HTTP/1.1\r\nHost: x\r\n",
        b"GET /auth/nginx HTTP/1.0\r\n",
    ],
)
async def test_114_a_question_of_one_meaning_is_one_request(start: bytes) -> None:
    async with doors.http_door(world(), "nginx") as client:
        answer = await doors.exchange(client.port, start + _QUESTION + b"\r\n")
    assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))
    assert answer.count(b"HTTP/1.") == 1


_CHUNKED = b" HTTP/1.1\r\nHost: mcp.example.com\r\nTransfer-Encoding: chunked\r\n"
_FORWARDED = _ORIGINAL.replace(b"Original", b"Forwarded") + b"X-Forwarded-Proto: https\r\n"
_NOBODY = b"\r\n0\r\n"


@pytest.mark.parametrize(
    ("flavour", "in_head", "as_trailers"),
    [
        ("envoy-http", b"POST /auth/envoy/notes/mcp" + _CHUNKED + _TOKEN, b""),
        ("envoy-http", b"POST /auth/envoy/notes/mcp" + _CHUNKED, _TOKEN),
        ("nginx", b"GET /auth/nginx" + _CHUNKED + _QUESTION, b""),
        ("nginx", b"GET /auth/nginx" + _CHUNKED, _QUESTION),
        ("nginx", b"GET /auth/nginx" + _CHUNKED + _TOKEN, _ORIGINAL),
        ("nginx", b"GET /auth/nginx" + _CHUNKED + _ORIGINAL, _TOKEN),
        ("forward", b"GET /auth/forward" + _CHUNKED + _FORWARDED + _TOKEN, b""),
        ("forward", b"GET /auth/forward" + _CHUNKED + _TOKEN, _FORWARDED),
    ],
)
async def test_114_what_comes_after_the_body_tells_nothing(
    flavour: str, in_head: bytes, as_trailers: bytes
) -> None:
    async with doors.http_door(world(), flavour) as client:
        answer = await doors.exchange(client.port, in_head + _NOBODY + as_trailers + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200") == (not as_trailers)


# ---- 116


def _checks() -> list[bytes]:
    good = doors.check_request(USUAL.sent, raw=True)
    no_http, both, other_body, values = (CheckRequest() for _ in range(4))
    no_http.attributes.source.principal = "x"
    both.CopyFrom(good)
    both.attributes.request.http.headers["authorization"] = "Bearer other"
    other_body.CopyFrom(good)
    other_body.attributes.request.http.body = '{"method":"ping"}'
    other_body.attributes.request.http.raw_body = b'{"method":"tools/call"}'
    values.CopyFrom(good)
    del values.attributes.request.http.header_map.headers[:]
    values.attributes.request.http.header_map.headers.add(key="authorization", value="Bearer x")
    huge = CheckRequest()
    huge.attributes.request.http.path = "/" + "a" * 5_000_000
    whole = good.SerializeToString()
    return [
        b"", CheckRequest().SerializeToString(), no_http.SerializeToString(),
        both.SerializeToString(), other_body.SerializeToString(), values.SerializeToString(),
        huge.SerializeToString(), whole[:-1], whole[1:], b"\xff" * 100, b"\x00",
        whole.replace(b"/notes/mcp", b"/notes/\xff\xfe"), b"\x0a\xff\xff\xff\xff\x0f",
        b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", b"\x0b" * 10_000,
    ]  # fmt: skip


async def test_116_whatever_a_check_holds_the_answer_is_no_allow_and_no_grpc_error_of_ours() -> (
    None
):
    async with doors.grpc_door(world()) as client:
        for number, data in enumerate(_checks()):
            if len(data) > 4_000_000:
                # gRPC itself refuses it, before anything of it is read.
                with pytest.raises(grpc.aio.AioRpcError, match="RESOURCE_EXHAUSTED"):
                    await client.check(data)
                continue
            reply = await client.check(data)
            assert reply.status.code != 0, number
            assert reply.denied_response.status.code in (400, 401, 403), number


async def test_116_unknown_fields_are_of_no_account() -> None:
    unknown = b"\xfa\x3f\x05hello"  # field 1023
    async with doors.grpc_door(world()) as client:
        data = doors.check_request(USUAL.sent, raw=True).SerializeToString()
        reply = await client.check(data + unknown)
    assert reply.status.code == 0


# ---- 115

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


_SETTINGS = _frame(4, 0, 0, b"")
_FLOODS = {
    "no preface": b"GET / HTTP/1.1\r\n\r\n" * 1000,
    "unknown frames": _PREFACE + _SETTINGS + _frame(200, 255, 0, bytes(1000)) * 1000,
    "data on no stream": _PREFACE + _SETTINGS + _frame(0, 0, 99, bytes(100)) * 100,
    "a frame too long": _PREFACE + _SETTINGS + b"\xff\xff\xff\0\0\0\0\0\1" + bytes(1000),
    "pings": _PREFACE + _SETTINGS + _frame(6, 0, 0, bytes(8)) * 20_000,
    "settings": _PREFACE + _SETTINGS * 20_000,
    "empty data": _PREFACE + _SETTINGS + _frame(0, 0, 1, b"") * 20_000,
    "headers without end": _PREFACE + _SETTINGS + _frame(1, 0, 1, b"\x82" * 100)
    + _frame(9, 0, 1, b"\x82" * 16_000) * 200,
    "a dictionary bomb": _PREFACE + _SETTINGS
    + _frame(1, 4, 1, b"\x40\x01a\x7f\x81\x1e" + b"b" * 4000 + b"\xbe" * 12_000),
    "window updates": _PREFACE + _SETTINGS + _frame(8, 0, 0, b"\x7f\xff\xff\xff") * 1000,
    "garbage": bytes(range(256)) * 400,
}  # fmt: skip


@pytest.fixture
async def grpc_client() -> AsyncIterator[GrpcClient]:
    async with doors.grpc_door(world()) as client:
        yield client


async def _send(client: GrpcClient, data: bytes) -> None:
    host, _, port = client.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        async with asyncio.timeout(5):
            await writer.drain()
            writer.write_eof()
            while await reader.read(65536):
                pass
    except (OSError, TimeoutError):
        pass
    finally:
        writer.close()


@pytest.mark.parametrize("name", _FLOODS)
async def test_115_odd_frames_harm_nobody_else(grpc_client: GrpcClient, name: str) -> None:
    await _send(grpc_client, _FLOODS[name])
    assert (await grpc_client.send(USUAL.sent)).verdict == ALLOW


async def test_115_streams_begun_and_reset_harm_nobody_else(grpc_client: GrpcClient) -> None:
    """Rapid reset, CVE-2023-44487."""
    h2 = H2Connection(H2Configuration(client_side=True))
    h2.initiate_connection()
    data = h2.data_to_send()
    head = [
        (":method", "POST"), (":scheme", "http"), (":authority", "x"),
        (":path", "/envoy.service.auth.v3.Authorization/Check"),
        ("content-type", "application/grpc"), ("te", "trailers"),
    ]  # fmt: skip
    for _ in range(3000):
        stream = h2.get_next_available_stream_id()
        h2.send_headers(stream, head)
        h2.reset_stream(stream)
        data += h2.data_to_send()
    flood = asyncio.gather(*(_send(grpc_client, data) for _ in range(3)))
    served = 0
    for _ in range(50):
        # With more than a thousand streams waiting, gRPC sheds some of anybody's: with an error,
        # never with an allow of its own.
        with contextlib.suppress(grpc.aio.AioRpcError):
            assert (await grpc_client.send(USUAL.sent)).verdict == ALLOW
            served += 1
    await flood
    assert served >= 40
    assert (await grpc_client.send(USUAL.sent)).verdict == ALLOW

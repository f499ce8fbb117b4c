"""gRPC in the words of HTTP/2: what a call's headers say, and what stands in a body."""

from __future__ import annotations

import grpc
import pytest
from hpack import Decoder

from extauthz.adapters import grpc_http2
from extauthz.adapters.grpc_http2 import (
    HEAD,
    TRAILERS,
    Call,
    StatusCode,
    call_of,
    failure,
    framed,
    literal,
    message_in,
    refusal_of,
)

METHODS = {b"/s/One": 0, b"/s/Two": 1}
CALL = {
    b":method": b"POST",
    b":path": b"/s/Two",
    b"content-type": b"application/grpc",
}


def said(block: bytes) -> dict[bytes, bytes]:
    return dict(Decoder().decode(block, raw=True))


def call(**changes: bytes | None) -> Call | bytes:
    names = {"method": b":method", "path": b":path", "type": b"content-type"}
    headers = dict(CALL)
    for name, value in changes.items():
        key = names.get(name, name.replace("_", "-").encode())
        if value is None:
            headers.pop(key)
        else:
            headers[key] = value
    return call_of(list(headers.items()), METHODS, max_bytes=300)


def refusal(**changes: bytes | None) -> dict[bytes, bytes]:
    refused = call(**changes)
    assert isinstance(refused, bytes)
    return said(refused)


def test_a_call_says_its_method_its_time_and_its_trace():
    assert call() == Call(1, None, None)
    more = call(path=b"/s/One", traceparent=b"00-a\xe9", type=b"application/grpc+proto")
    assert more == Call(0, None, "00-a\xe9")


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [
        (b"2H", 7200),
        (b"3M", 180),
        (b"4S", 4),
        (b"250m", 0.25),
        (b"250000u", 0.25),
        (b"1000n", 1e-6),
        (b"99999999m", 99_999.999),
        (b"0m", 0),
        (b"999999999m", None),
        (b"1s", None),
        (b"m", None),
        (b"-1m", None),
        (b"1m ", None),
        (b"", None),
    ],
)
def test_how_long_the_caller_waits(timeout: bytes, seconds: float | None):
    found = call(grpc_timeout=timeout)
    assert isinstance(found, Call)
    assert found.timeout == (None if seconds is None else pytest.approx(seconds))


def test_what_is_no_call_is_refused():
    unknown = refusal(path=b"/s/Three")
    assert (unknown[b"grpc-status"], unknown[b"grpc-message"]) == (b"12", b"unknown method")
    assert refusal(method=b"GET") == {b":status": b"405", b"allow": b"POST"}
    assert refusal(type=b"application/json") == {b":status": b"415"}
    assert refusal(type=None) == {b":status": b"415"}


def test_metadata_may_be_so_large_and_no_larger():
    used = sum(len(name) + len(value) + 32 for name, value in CALL.items()) + 32 + 1
    assert isinstance(call(x=b"y" * (300 - used)), Call)
    large = refusal(x=b"y" * (301 - used))
    assert (large[b"grpc-status"], large[b"grpc-message"]) == (b"8", b"the metadata is too large")


def test_a_body_is_one_message():
    for message in (b"", b"x", b"x" * 70_000):
        assert message_in(framed(message)) == message
        assert message_in(bytearray(framed(message))) == message


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\0\0\0", b"\0\1\0\0\1x", framed(b"x")[:-1], framed(b"x") + b"y", framed(b"x") * 2],
)
def test_a_body_that_is_not_one_message(body: bytes):
    assert message_in(body) is None
    assert said(refusal_of(body))[b"grpc-message"] == b"expected one message"


def test_a_message_that_is_compressed_is_not_understood():
    body = b"\1" + framed(b"x")[1:]
    assert message_in(body) is None
    assert said(refusal_of(body))[b"grpc-accept-encoding"] == b"identity"
    assert said(refusal_of(body))[b"grpc-status"] == b"12"
    why = said(refusal_of(body))[b"grpc-message"]
    assert why == b"compressed messages are not understood"


def test_codes_are_those_of_grpc():
    # By name, since iteration passes over one that has another's number.
    for name, code in grpc_http2.StatusCode.__members__.items():
        told = said(failure(code, "why"))[b"grpc-status"]
        assert int(told) == grpc.StatusCode[name].value[0]


def test_what_an_answer_is_made_of():
    assert said(HEAD) == {b":status": b"200", b"content-type": b"application/grpc"}
    assert said(TRAILERS) == {b"grpc-status": b"0"}
    failed = said(failure(StatusCode.UNAVAILABLE, "the service is stopping"))
    assert failed == {
        **said(HEAD),
        b"grpc-status": b"14",
        b"grpc-message": b"the service is stopping",
    }


def test_a_header_that_nobody_has_to_remember():
    decoder = Decoder()
    for name, value in ((b"a", b""), (b"grpc-status", b"0"), (b"a" * 126, b"b" * 126)):
        assert decoder.decode(literal(name, value), raw=True) == [(name, value)]
    assert not decoder.header_table.dynamic_entries

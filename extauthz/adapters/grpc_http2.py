"""gRPC in the words of HTTP/2: what a call asks for, and how one is answered.

See "gRPC over HTTP2" (PROTOCOL-HTTP2.md) in the documentation of gRPC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from .http2_service import Headers

PREFIX: Final = 5
"""Octets before a message: whether it is compressed, and its length."""

_STATUS_200: Final = b"\x88"  # RFC 7541, appendix A
_TIMEOUT: Final = re.compile(rb"(\d{1,8})([HMSmun])")
_SECONDS: Final = {b"H": 3600, b"M": 60, b"S": 1, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_ENTRY: Final = 32  # RFC 9113, section 6.5.2


class StatusCode(IntEnum):
    """The codes of gRPC that are used here; those of ``grpc`` would bring all of grpcio."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


def literal(name: bytes, value: bytes) -> bytes:
    """One header as nobody has to remember it (RFC 7541, section 6.2.2); both are short."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


HEAD: Final = _STATUS_200 + literal(b"content-type", b"application/grpc")
"""The headers of an answer."""

TRAILERS: Final = literal(b"grpc-status", b"0")
"""What ends an answer that is good."""


def failure(code: StatusCode, message: str) -> bytes:
    """The only headers of a call that fails. ``message`` is of printable ASCII without ``%``."""
    return (
        HEAD
        + literal(b"grpc-status", str(int(code)).encode())
        + literal(b"grpc-message", message.encode())
    )


_NO_GRPC: Final = literal(b":status", b"415")
_NO_POST: Final = literal(b":status", b"405") + literal(b"allow", b"POST")
_UNKNOWN: Final = failure(StatusCode.UNIMPLEMENTED, "unknown method")
_LONG: Final = failure(StatusCode.RESOURCE_EXHAUSTED, "the metadata is too large")
_COMPRESSED: Final = failure(
    StatusCode.UNIMPLEMENTED, "compressed messages are not understood"
) + literal(b"grpc-accept-encoding", b"identity")
_NOT_ONE: Final = failure(StatusCode.UNIMPLEMENTED, "expected one message")


@dataclass(frozen=True, slots=True)
class Call:
    """What a call's headers say: which method, for how many seconds, in which trace."""

    method: int
    timeout: float | None
    traceparent: str | None


def call_of(headers: Headers, methods: Mapping[bytes, int], *, max_bytes: int) -> Call | bytes:
    """Read the headers of a request; ``methods`` are those there are, by path.

    Headers where nothing else can be answered.
    """
    if sum(len(name) + len(value) + _ENTRY for name, value in headers) > max_bytes:
        return _LONG
    said = dict(headers)
    if said[b":method"] != b"POST":
        return _NO_POST
    kind = said.get(b"content-type")
    if kind is None or not kind.startswith(b"application/grpc"):
        return _NO_GRPC
    method = methods.get(said[b":path"])
    if method is None:
        return _UNKNOWN
    timeout, traceparent = said.get(b"grpc-timeout"), said.get(b"traceparent")
    return Call(
        method,
        None if timeout is None else _seconds(timeout),
        None if traceparent is None else traceparent.decode("latin-1"),
    )


def _seconds(timeout: bytes) -> float | None:
    parts = _TIMEOUT.fullmatch(timeout)
    return None if parts is None else int(parts[1]) * _SECONDS[parts[2]]


def message_in(body: bytes | bytearray) -> bytes | None:
    """The one message of a body; None where ``refusal_of`` tells why there is none."""
    if len(body) < PREFIX or body[0] or PREFIX + int.from_bytes(body[1:PREFIX]) != len(body):
        return None
    return bytes(body[PREFIX:])


def refusal_of(body: bytes | bytearray) -> bytes:
    """The headers of a failure for a body that is not one message that we understand."""
    return _COMPRESSED if body[:1] == b"\1" else _NOT_ONE


def framed(message: bytes) -> bytes:
    """A message as it stands in a body."""
    return b"\0" + len(message).to_bytes(4) + message

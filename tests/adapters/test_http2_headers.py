"""Blocks of headers: read right however they were written, and a request's are well-formed."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from extauthz.adapters.grpc_http2 import literal
from extauthz.adapters.http2_headers import (
    BrokenHeaders,
    HeaderReader,
    malformed,
)
from extauthz.adapters.http2_service import Headers

GOOD = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a"), (b"te", b"trailers")]


class Made:
    """What was made of blocks."""

    def __init__(self, max_bytes: int = 4096) -> None:
        self.calls = 0
        self.reader: HeaderReader[list[tuple[bytes, bytes]]] = HeaderReader(
            self.make, max_bytes=max_bytes
        )

    def make(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        self.calls += 1
        return [(bytes(name), bytes(value)) for name, value in headers]


names = st.sampled_from([b"a", b"b", b":path", b"x-long-name", b"grpc-timeout"])
values = st.one_of(st.sampled_from([b"", b"1", b"/", b"gzip, deflate"]), st.binary(max_size=40))
lists = st.lists(st.tuples(names, values, st.booleans()), min_size=1, max_size=6)


@given(
    written=st.lists(st.tuples(lists, st.sampled_from([None, 0, 64, 200, 4096])), max_size=12),
    again=st.lists(st.integers(0, 11), max_size=12),
)
def test_blocks_are_read_as_a_decoder_without_memory_reads_them(
    written: list[tuple[list[tuple[bytes, bytes, bool]], int | None]], again: list[int]
):
    encoder, plain, made = Encoder(), Decoder(), Made(1 << 16)
    order = [*range(len(written)), *(index for index in again if index < len(written))]
    for index in order:
        headers, size = written[index]
        if size is not None:
            encoder.header_table_size = size
        block = encoder.encode(headers)
        assert made.reader.read(block) == plain.decode(block, raw=True)


def test_a_block_that_comes_again_is_not_read_again():
    encoder, made = Encoder(), Made()
    blocks = [encoder.encode(GOOD) for _ in range(4)]
    assert blocks[1] == blocks[2]
    assert [made.reader.read(block) for block in blocks] == [GOOD] * 4
    assert made.calls == 2


def test_a_block_that_comes_again_and_refers_to_something_else_is_read_again():
    made = Made()
    made.reader.read(b"\x40\x01a\x011")
    first = made.reader.read(b"\xbe")
    made.reader.read(b"\x40\x01a\x012")
    assert (first, made.reader.read(b"\xbe")) == ([(b"a", b"1")], [(b"a", b"2")])
    made.reader.read(b"\x21")  # a table of one octet
    with pytest.raises(BrokenHeaders):
        made.reader.read(b"\xbe")


@pytest.mark.parametrize(("size", "times", "calls"), [(511, 4, 1), (682, 3, 2)])
def test_long_headers_are_not_remembered(size: int, times: int, calls: int):
    made = Made(1 << 16)
    rest = size - 127
    made.reader.read(b"\x40\1a\x7f" + bytes([rest % 128 + 128, rest // 128]) + b"x" * size)
    for _ in range(2):
        assert made.reader.read(b"\xbe" * times) == [(b"a", b"x" * size)] * times
    assert made.calls == 1 + calls


@pytest.mark.parametrize(("more", "calls"), [(1, 1), (2, 2)])
def test_long_blocks_are_not_remembered(more: int, calls: int):
    made = Made(1 << 16)
    for _ in range(2):
        read = made.reader.read(b"\0\0\0" * 341 + b"\x82" * more)
        assert read == [(b"", b"")] * 341 + [(b":method", b"GET")] * more
    assert made.calls == calls


def test_eight_blocks_are_remembered():
    made = Made()
    for count, calls in ((8, 8), (8, 8), (9, 9), (9, 18)):
        for number in range(count):
            made.reader.read(literal(b"n", str(number).encode()))
        assert made.calls == calls


@pytest.mark.parametrize("size", [60, 61])
def test_a_block_may_become_so_large_and_no_larger(size: int):
    """A name, a value and 32 octets for each (RFC 9113, section 6.5.2)."""
    made = Made(max_bytes=2 * (32 + 2))
    block = literal(b"a", b"b") * 2
    assert made.reader.read(block) == [(b"a", b"b")] * 2
    with pytest.raises(BrokenHeaders):
        made.reader.read(literal(b"a", b"b" * size) + block)


def test_one_that_refers_again_and_again_to_something_large_is_stopped():
    made = Made()
    made.reader.read(b"\x40\x01a\x7f\x81\x10" + b"x" * 2176)
    with pytest.raises(BrokenHeaders):
        made.reader.read(b"\xbe\xbe")


@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_said_to_be_broken(block: bytes):
    with suppress(BrokenHeaders):
        Made().reader.read(block)


def test_headers_of_a_request():
    assert not malformed(GOOD)
    more = [(b"content-length", b"0"), (b"a", b""), (b"b", b"XbX"), (b"c", b"\x0bc\x0c")]
    assert not malformed([(b":authority", b""), *GOOD, *more])


@pytest.mark.parametrize(
    "headers",
    [
        GOOD[1:],
        [GOOD[0], *GOOD[2:]],
        GOOD[:2],
        [*GOOD[:2], (b":path", b"")],
        [GOOD[0], *GOOD],
        [*GOOD[:3], (b":status", b"200")],
        [GOOD[3], *GOOD[:3]],
        [*GOOD, (b":authority", b"a")],
        [*GOOD, (b"A", b"b")],
        [*GOOD, (b"", b"b")],
        [*GOOD, (b"a b", b"b")],
        [*GOOD, (b"a:", b"b")],
        [*GOOD, (b"a\xff", b"b")],
        [*GOOD, (b"a", b"b\n")],
        [*GOOD, (b"a", b"b\rc")],
        [*GOOD, (b"a", b"\0")],
        [*GOOD, (b"a", b" b")],
        [*GOOD, (b"a", b"b\t")],
        [*GOOD, (b"te", b"gzip")],
        [*GOOD, (b"connection", b"close")],
        [*GOOD, (b"proxy-connection", b"close")],
        [*GOOD, (b"keep-alive", b"1")],
        [*GOOD, (b"transfer-encoding", b"chunked")],
        [*GOOD, (b"upgrade", b"x")],
        [*GOOD, (b"content-length", b"+1")],
        [*GOOD, (b"content-length", b"")],
        [*GOOD, (b"content-length", b"1" * 19)],
    ],
)
def test_headers_that_are_malformed(headers: list[tuple[bytes, bytes]]):
    assert malformed(headers)

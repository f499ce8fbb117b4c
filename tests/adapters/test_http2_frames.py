"""What one client may send over HTTP/2 beside its requests: just enough, and one too many."""

from __future__ import annotations

import pytest

from extauthz.adapters.http2_frames import PREFACE, FrameWatch

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 2, 3, 4, 6, 8, 9,
)  # fmt: skip
END_STREAM, END_HEADERS = 1, 4


def frame(kind: int, flags: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + (1).to_bytes(4) + payload


CALL = frame(HEADERS, END_HEADERS, b"h" * 40) + frame(DATA, END_STREAM, b"d" * 1600)
ANSWER = frame(HEADERS, END_HEADERS, b"h" * 10) + frame(DATA, 0, b"d" * 500)
GIVEN_UP = frame(RST_STREAM, 0, b"code")


def seen(*frame: object) -> None:
    """Told of frames that are somebody else's concern."""


def begun(at: float = 0.0) -> FrameWatch:
    watch = FrameWatch(at, block_bytes=128 * 1024, see=seen)
    assert watch.read(PREFACE, at) is None
    return watch


# ---- what a proxy does is not too much


def test_calls_may_come_without_end():
    watch = begun()
    assert all(watch.read(CALL * 100, 0.0) is None for _ in range(100))


def test_where_the_octets_are_cut_makes_no_difference():
    sent = PREFACE + frame(SETTINGS) + CALL * 3 + frame(PING, 0, bytes(8)) * 100
    for size in (1, 2, 5, 8, 9, 10, 23, 24, 25, 1000, len(sent)):
        watch = FrameWatch(0.0, block_bytes=128 * 1024, see=seen)
        parts = [sent[at : at + size] for at in range(0, len(sent), size)]
        assert [watch.read(part, 0.0) for part in parts] == [None] * len(parts)
        # And the count is the same: 200 at first, 3 times 8 for the calls, and 101 were sent.
        assert watch.read(frame(PING, 0, bytes(8)) * (200 + 3 * 8 - 101), 0.0) is None
        assert watch.read(frame(PING, 0, bytes(8)), 0.0) == "frames that ask for nothing"


def test_a_client_may_measure_the_way_and_tell_what_it_has_read_with_each_call():
    watch = begun()
    more = frame(PING, 0, bytes(8)) + 3 * frame(WINDOW_UPDATE, 0, bytes(4))
    assert all(watch.read(CALL + more, 0.0) is None for _ in range(10_000))


def test_half_of_the_calls_may_be_given_up():
    watch = begun()
    assert all(watch.read(CALL + CALL + GIVEN_UP, 0.0) is None for _ in range(10_000))


def test_many_calls_may_be_given_up_at_once():
    watch = begun()
    for _ in range(4096):
        assert watch.read(CALL, 0.0) is None
    assert watch.read(GIVEN_UP * 2048, 0.0) is None
    # One that is made earns half of one that is given up.
    assert watch.read(CALL + GIVEN_UP, 0.0) == "calls that were given up"


def test_a_proxy_whose_clients_hang_up_may_give_up_many_calls_for_each_that_is_answered():
    watch = begun()
    for _ in range(1000):
        watch.hear(ANSWER)
        assert watch.read((CALL + GIVEN_UP) * 200, 0.0) is None


@pytest.mark.parametrize(
    ("heard", "more"),
    [
        ([], 0),
        ([frame(PING, 1, bytes(8)) * 100], 0),
        ([frame(SETTINGS, 1) + frame(WINDOW_UPDATE, 0, bytes(4))], 0),
        ([b"", b"\0", b"\0\0\1"], 0),
        ([ANSWER], 200),
        ([ANSWER, ANSWER], 400),
        ([ANSWER] * 30, 4095),
    ],
    ids=["silence", "PING", "SETTINGS", "nothing whole", "one answer", "two", "many"],
)
def test_how_many_more_may_be_given_up(heard: list[bytes], more: int):
    watch = begun()
    assert watch.read((CALL + GIVEN_UP) * 50, 0.0) is None
    for part in heard:
        watch.hear(part)
    assert watch.read((CALL + GIVEN_UP) * more, 0.0) is None
    assert watch.read(CALL + GIVEN_UP, 0.0) == "calls that were given up"


def test_whoever_waits_for_no_answer_may_give_up_ten_a_second():
    watch = begun()
    assert watch.read((CALL + GIVEN_UP) * 50, 0.0) is None
    assert watch.read((CALL + GIVEN_UP) * 10, 1.0) is None
    assert watch.read(CALL + GIVEN_UP, 1.0) == "calls that were given up"


def test_a_connection_that_is_kept_alive_lives_on():
    watch = begun()
    for minute in range(24 * 60):
        assert watch.read(frame(PING, 0, bytes(8)) * 6, 60.0 * minute) is None


def test_long_headers_may_come_in_parts():
    watch = begun()
    parts = frame(HEADERS, 0, b"h" * 16_384) + frame(CONTINUATION, 0, b"h" * 16_384) * 3
    assert watch.read(parts + frame(CONTINUATION, END_HEADERS, b"h" * 16_384) + CALL, 0.0) is None


def test_frames_may_be_long():
    watch = begun()
    long = frame(DATA, 0, b"x" * 0x01_02_03)
    assert watch.read(long + frame(PING, 0, bytes(8)) * 200, 0.0) is None
    assert watch.read(frame(PING, 0, bytes(8)), 0.0) == "frames that ask for nothing"


# ---- what a flood does is


def test_whoever_speaks_something_else_is_found_out_at_the_first_octet():
    for sent in (b"G", PREFACE[:10] + b"x", b"\x16\x03\x01"):
        watch = FrameWatch(0.0, block_bytes=1, see=seen)
        assert watch.read(sent, 0.0) == "what is not HTTP/2"
        assert not watch.begun


def test_the_preface_may_come_in_parts():
    assert PREFACE == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    watch = FrameWatch(0.0, block_bytes=1, see=seen)
    assert watch.read(PREFACE[:-1], 0.0) is None
    assert not watch.begun
    assert watch.read(PREFACE[-1:], 0.0) is None
    assert watch.begun


def test_not_every_call_may_be_given_up():
    watch = begun()
    assert watch.read((CALL + GIVEN_UP) * 50, 0.0) is None
    assert watch.read(CALL + GIVEN_UP, 0.0) == "calls that were given up"


@pytest.mark.parametrize(
    "nothing",
    [
        frame(PING, 0, bytes(8)),
        frame(SETTINGS),
        frame(PRIORITY, 0, bytes(5)),
        frame(WINDOW_UPDATE, 0, bytes(4)),
        frame(DATA, 0, b"x" * 255),
        frame(DATA, END_STREAM),
        frame(0x42),
    ],
    ids=["PING", "SETTINGS", "PRIORITY", "WINDOW_UPDATE", "little DATA", "end", "unknown"],
)
def test_frames_that_ask_for_nothing_are_rationed(nothing: bytes):
    watch = begun()
    assert watch.read(nothing * 200, 0.0) is None
    assert watch.read(nothing, 0.0) == "frames that ask for nothing"


def test_more_may_come_each_second_but_never_many_at_once():
    ping = frame(PING, 0, bytes(8))
    watch = begun()
    assert watch.read(ping * 200, 0.0) is None
    assert watch.read(ping * 10, 1.0) is None
    assert watch.read(ping, 1.0) is not None
    rested = begun()
    assert rested.read(ping * 2000, 10_000.0) is None
    assert rested.read(ping, 10_000.0) is not None


def test_calls_earn_no_more_than_many_at_once():
    watch = begun()
    for _ in range(1000):
        assert watch.read(CALL, 0.0) is None
    ping = frame(PING, 0, bytes(8))
    assert watch.read(ping * 2000, 0.0) is None
    assert watch.read(ping, 0.0) == "frames that ask for nothing"


def test_data_that_brings_something_is_not_rationed():
    watch = begun()
    assert watch.read(frame(DATA, 0, b"x" * 256) * 10_000, 0.0) is None
    ended = frame(HEADERS, END_HEADERS, b"h") + frame(DATA, END_STREAM)
    assert watch.read(ended * 10_000, 0.0) is None


def test_a_call_is_ended_once():
    watch = begun()
    calls = frame(HEADERS, END_HEADERS, b"h") * 3
    # 200 at first, 8 for each call, and an end for each.
    assert watch.read(calls + frame(DATA, END_STREAM, b"x" * 300) * (3 + 200 + 3 * 8), 0.0) is None
    assert watch.read(frame(DATA, END_STREAM, b"x" * 300), 0.0) == "frames that ask for nothing"


@pytest.mark.parametrize(("size", "parts"), [(16_384, 7), (0, 31)], ids=["large", "empty"])
def test_headers_come_to_an_end(size: int, parts: int):
    watch = begun()
    more = frame(CONTINUATION, 0, b"h" * size)
    assert watch.read(frame(HEADERS, 0, b"h" * max(size, 4096)) + more * parts, 0.0) is None
    assert watch.read(more, 0.0) == "headers without an end"


@pytest.mark.parametrize("flags", [0, END_STREAM])
@pytest.mark.parametrize("kind", [DATA, HEADERS, PING, RST_STREAM])
def test_nothing_comes_between_parts_of_headers(kind: int, flags: int):
    watch = begun()
    sent = frame(HEADERS, flags, b"h") + frame(kind, END_STREAM, bytes(8))
    assert watch.read(sent, 0.0) == "headers without an end"

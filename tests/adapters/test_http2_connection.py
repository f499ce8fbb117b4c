"""One connection of HTTP/2: what is answered, what is refused, and what ends it (RFC 9113)."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.adapters.http2_answers import Answers, Stream
from extauthz.adapters.http2_frames import PREFACE
from tests.adapters.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEADERS,
    LIMITS,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    REFUSED,
    RST_STREAM,
    SETTINGS,
    TRAILERS,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    Client,
    Frame,
    Service,
    echo,
    frame,
    frames_in,
    raise_window,
    setting,
    wait,
)

NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED = 0, 1, 3, 5
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 6, 7, 8, 9
OLD = replace(LIMITS, keepalive_interval=10_000.0)
BLOCK = b"\x83\x86\x44\x01/"  # POST, http, /
WHOLE = END_HEADERS | END_STREAM


def answer_to(number: int, body: bytes) -> list[Frame]:
    return [
        Frame(HEADERS, END_HEADERS, number, HEAD),
        Frame(DATA, 0, number, body),
        Frame(HEADERS, WHOLE, number, TRAILERS),
    ]


# ---- what is answered


def test_it_says_what_it_allows_and_acknowledges_what_the_client_does():
    ours, window, acknowledged = Client().begun
    values = dict(struct.iter_unpack(">HI", ours.payload))
    assert (ours.kind, values) == (SETTINGS, {3: 3, 4: 100_001, 6: 8000})
    assert window == Frame(WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4))
    assert acknowledged == Frame(SETTINGS, ACK, 0, b"")


def test_a_request_is_answered():
    client = Client()
    assert client.send(client.request(1, b"body")) == answer_to(1, b"body")
    assert client.service.streams[0].head[b":path"] == b"/check"


def test_a_request_may_have_a_high_number():
    client = Client()
    assert client.send(client.request((1 << 31) - 1, b"x")) == answer_to((1 << 31) - 1, b"x")


def test_the_first_of_many_answers_is_sent_at_once_then_twice_as_many_each_time():
    client = Client()
    numbers = range(1, 20, 2)
    before = len(client.transport.writes)
    heard = client.send(b"".join(client.request(number, b"x") for number in numbers))
    assert heard == [part for number in numbers for part in answer_to(number, b"x")]
    writes = client.transport.writes[before:]
    assert [len(list(frames_in(written))) // 3 for written in writes] == [1, 2, 4, 3]
    # Each read begins anew.
    client.send(client.request(21, b"x") + client.request(23, b"x"))
    assert len(client.transport.writes) == before + 4 + 2


@pytest.mark.parametrize(("tls", "high"), [(None, 0), ("a context", None)])
def test_nothing_that_is_written_is_kept_until_all_is_read(tls: str | None, high: int | None):
    assert Client(tls=tls).transport.high == high


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 10, 23, 24, 25, 33, 100])
def test_where_the_octets_are_cut_makes_no_difference(size: int):
    client = Client(begin=False)
    sent = PREFACE + frame(SETTINGS) + client.request(1, b"body") + client.request(3, b"more")
    for at in range(0, len(sent), size):
        client.send(sent[at : at + size])
    assert client.heard() == answer_to(1, b"body") + answer_to(3, b"more")


def test_headers_and_bodies_may_come_in_parts_padded_and_with_priorities():
    client = Client()
    block = client.encoder.encode([(":method", "POST"), (":scheme", "http"), (":path", "/")])
    priority = (5).to_bytes(4) + b"\x10"
    sent = frame(HEADERS, PADDED | WITH_PRIORITY, 1, b"\2" + priority + block[:2] + b"\0\0")
    sent += frame(CONTINUATION, 0, 1, block[2:3]) + frame(CONTINUATION, END_HEADERS, 1, block[3:])
    sent += frame(DATA, PADDED, 1, b"\3" + b"a" * 300 + b"\0" * 3) + frame(DATA, 0, 1, b"b" * 300)
    assert client.send(sent) == []
    assert client.send(frame(DATA, END_STREAM, 1)) == answer_to(1, b"a" * 300 + b"b" * 300)
    assert client.service.unfinished == 0


def test_a_request_may_end_with_its_headers_or_with_trailers():
    client = Client()
    assert client.send(client.request(1, None)) == answer_to(1, b"")
    client.send(client.request(3, b"x" * 300, end=False))
    trailers = frame(HEADERS, WHOLE, 3, client.encoder.encode([("a", "b")]))
    assert client.send(trailers) == answer_to(3, b"x" * 300)


def test_an_answer_may_come_later_and_in_parts():
    client = Client()
    client.service.answer = wait
    assert client.send(client.request(1, b"a") + client.request(3, b"b")) == []
    first, second = client.service.streams
    second.begin(HEAD)
    second.send(b"one")
    second.send(b"two")
    echo(first)
    second.finish(TRAILERS)
    assert client.heard() == [
        Frame(HEADERS, END_HEADERS, 3, HEAD),
        Frame(DATA, 0, 3, b"one"),
        Frame(DATA, 0, 3, b"two"),
        *answer_to(1, b"a"),
        Frame(HEADERS, WHOLE, 3, TRAILERS),
    ]


def test_ping_is_answered_and_what_is_unknown_is_passed_over():
    client = Client()
    assert client.send(frame(PING, 0, 0, b"12345678")) == [Frame(PING, ACK, 0, b"12345678")]
    sent = frame(0x42, 0xFF, 7, b"x") + frame(PING, ACK, 0, bytes(8))
    sent += frame(GOAWAY, 0, 0, bytes(8)) + setting(0x99, 9) + frame(PRIORITY, 0, 9, bytes(5))
    sent += frame(SETTINGS, ACK)
    assert client.send(sent) == [Frame(SETTINGS, ACK, 0, b"")]
    assert client.send(client.request(1, b"x")) == answer_to(1, b"x")


# ---- how fast


def bodies(frames: list[Frame], number: int) -> bytes:
    return b"".join(one.payload for one in frames if one.kind == DATA and one.number == number)


def test_an_answer_is_sent_no_faster_than_the_client_lets_us():
    client = Client()
    client.send(setting(4, 10))
    heard = client.send(client.request(1, b"x" * 25))
    assert heard == [Frame(HEADERS, END_HEADERS, 1, HEAD), Frame(DATA, 0, 1, b"x" * 10)]
    assert bodies(client.send(raise_window(1, 8)), 1) == b"x" * 8
    assert bodies(client.send(raise_window(1, 1)), 1) == b"x"
    assert bodies(client.send(raise_window(0, 1000)), 1) == b""
    last = client.send(setting(4, 100))
    assert bodies(last, 1) == b"x" * 6
    assert last[-1] == Frame(HEADERS, WHOLE, 1, TRAILERS)
    assert not client.connection._answers._held


def test_a_later_answer_is_sent_at_once_as_far_as_may_be():
    client = Client()
    client.send(setting(4, 10))
    client.service.answer = wait
    client.send(client.request(1))
    (stream,) = client.service.streams
    stream.begin(HEAD)
    assert client.heard()[-1] == Frame(HEADERS, END_HEADERS, 1, HEAD)
    stream.send(b"x" * 12)
    assert client.heard()[-1] == Frame(DATA, 0, 1, b"x" * 10)
    stream.send(b"y" * 3)
    assert bodies(client.send(raise_window(1, 100)), 1) == b"xxyyy"


@pytest.mark.parametrize(
    ("allowed", "size", "parts"),
    [(16_384, 16_384, 1), (16_384, 16_385, 2), (20_000, 20_000, 1), (20_000, 20_001, 2)],
)
def test_frames_are_no_longer_than_the_client_wants_them(allowed: int, size: int, parts: int):
    client = Client()
    client.send(setting(5, allowed))
    client.service.answer = lambda stream: stream.respond(HEAD, b"x" * size, TRAILERS)
    heard = client.send(client.request(1))
    assert [one.kind for one in heard] == [HEADERS, *[DATA] * parts, HEADERS]
    assert bodies(heard, 1) == b"x" * size


@pytest.mark.parametrize(
    "sent",
    [
        setting(5, 16_384),
        setting(5, (1 << 24) - 1),
        setting(2, 0),
        setting(2, 1),
        setting(4, (1 << 31) - 1),
        setting(3, 0),
        setting(6, 1 << 31),
    ],
)
def test_what_may_be_set(sent: bytes):
    assert Client().send(sent) == [Frame(SETTINGS, ACK, 0, b"")]


@pytest.mark.parametrize(
    ("sizes", "told"),
    [([4096], False), ([4095], True), ([0], True), ([8192], False), ([8192, 8191], True),
     ([0, 4096], True)],
)  # fmt: skip
@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("refused", [True, False])
def test_headers_after_a_table_was_made_smaller_say_so_once(
    sizes: list[int], told: bool, apart: bool, refused: bool
):
    """RFC 9113, section 4.3.1: clients end a connection that does not."""
    client = Client()
    if refused:
        client.service.answer = lambda stream: stream.finish(REFUSED)
    values = [(1).to_bytes(2) + size.to_bytes(4) for size in sizes]
    for payload in values if apart else [b"".join(values)]:
        client.send(frame(SETTINGS, 0, 0, payload))
    usual = [Frame(HEADERS, WHOLE, 1, REFUSED)] if refused else answer_to(1, b"x")
    update = b"\x20" if told else b""
    first = replace(usual[0], payload=update + usual[0].payload)
    assert client.send(client.request(1, b"x")) == [first, *usual[1:]]
    usual = [replace(one, number=3) for one in usual]
    assert client.send(client.request(3, b"x")) == usual


def test_windows_may_be_raised_as_far_as_they_go():
    client = Client()
    client.service.answer = wait
    client.send(client.request(1))
    most = (1 << 31) - 1 - 65_535
    assert client.send(raise_window(0, most) + raise_window(1, most)) == []


def calls_that_may_be_given_up(client: Client, first: int) -> int:
    """How many may still be given up before the connection is cut off."""
    client.service.answer = wait
    for count in range(400):
        number = first + 2 * count
        client.send(client.request(number) + frame(RST_STREAM, 0, number, bytes(4)))
        if client.transport.aborted:
            return count
    return 400


def test_answers_let_calls_be_given_up():
    client = Client()
    assert calls_that_may_be_given_up(client, 1) == 50
    client = Client()
    client.send(client.request(1))
    assert calls_that_may_be_given_up(client, 3) > 200
    client = Client()
    client.service.answer = lambda stream: stream.begin(HEAD)
    client.send(client.request(1))
    assert calls_that_may_be_given_up(client, 3) > 200
    client = Client()
    client.service.answer = lambda stream: stream.finish(REFUSED)
    client.send(client.request(1))
    assert calls_that_may_be_given_up(client, 3) < 60


@pytest.mark.parametrize("more", [0, (1 << 31) - 1], ids=["by nothing", "too far"])
def test_calls_that_the_client_has_us_give_up_count_as_given_up(more: int):
    client = Client()
    client.service.answer = wait
    for number in range(1, 101, 2):
        fault = client.send(client.request(number) + raise_window(number, more))
        assert fault[0].kind == RST_STREAM
    assert client.service.cuts == []
    client.send(client.request(101) + raise_window(101, more))
    assert client.transport.aborted
    assert client.service.cuts == ["calls that were given up"]


def test_just_what_the_window_lets_through_is_sent_at_once():
    client = Client()
    client.send(setting(4, 10))
    assert client.send(client.request(1, b"x" * 10)) == answer_to(1, b"x" * 10)
    assert Frame(HEADERS, WHOLE, 3, TRAILERS) not in client.send(client.request(3, b"x" * 11))


def test_the_window_of_the_connection_holds_all_back():
    client = Client(Service(replace(LIMITS, streams=100)))
    body = b"x" * 16_000
    sent = 0
    for number in range(1, 13, 2):
        sent += len(bodies(client.send(client.request(number, body)), number))
    assert sent == 65_535
    heard = client.send(raise_window(0, 100_000))
    assert sum(len(one.payload) for one in heard if one.kind == DATA) == 6 * 16_000 - 65_535
    assert [one.number for one in heard if one.flags == WHOLE] == [9, 11]


def test_a_window_that_is_raised_by_one_lets_one_octet_through():
    client = Client()
    client.send(setting(4, 10))
    client.send(client.request(1, b"x" * 25))
    assert bodies(client.send(setting(4, 11)), 1) == b"x"


def test_one_octet_of_its_own_window_is_enough_to_wait_for_that_of_the_connection():
    client = Client()
    client.send(setting(4, 65_536))
    client.service.answer = lambda stream: stream.respond(HEAD, b"x" * 70_000, TRAILERS)
    assert len(bodies(client.send(client.request(1)), 1)) == 65_535
    assert bodies(client.send(raise_window(0, 10)), 1) == b"x"
    # It waits for its own window now, and for no other.
    assert not client.connection._answers._held
    assert bodies(client.send(raise_window(0, 10)), 1) == b""


def test_an_answer_that_waits_for_the_connection_is_forgotten_with_its_call():
    client = Client()
    client.send(setting(4, 1 << 20))
    client.service.answer = lambda stream: stream.respond(HEAD, b"x" * 60_000, TRAILERS)
    client.send(client.request(1) + client.request(3))
    assert client.connection._answers._held
    client.send(frame(RST_STREAM, 0, 3, CANCEL.to_bytes(4)))
    assert not client.connection._answers._held
    client.service.answer = echo
    client.send(client.request(5, b"little"))
    assert [one.number for one in client.send(raise_window(0, 1 << 20)) if one.flags == WHOLE] == [
        5
    ]


def test_who_waits_first_is_served_first_and_nobody_overtakes():
    client = Client()
    client.send(setting(4, 1 << 20))
    client.service.answer = lambda stream: stream.respond(HEAD, b"x" * 60_000, TRAILERS)
    client.send(client.request(1) + client.request(3))
    client.service.answer = echo
    assert bodies(client.send(client.request(5, b"little")), 5) == b""
    heard = client.send(raise_window(0, 1 << 20))
    assert [one.number for one in heard if one.flags == WHOLE] == [3, 5]


class Counted(dict[int, Stream]):
    """Streams that are gone through so often."""

    times = 0

    def values(self) -> Any:
        self.times += 1
        return super().values()


@pytest.mark.parametrize(("last", "times"), [(7, 1), (65_535, 0)])
def test_a_frame_of_settings_goes_through_the_calls_once_however_many_windows_it_sets(
    last: int, times: int
):
    streams = Counted()
    answers = Answers(streams, ended=print, answered=print, write=lambda: None)
    stream = streams[1] = Stream(answers, 1, None, None, 0.0)
    answers.settle([(4, value) for value in range(100)] + [(4, last)])
    assert (streams.times, stream.window) == (times, last)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The calls that were looked at for whether more of their answers may be sent."""
    numbers: list[int] = []
    push = Answers._push

    def noted(answers: Answers, stream: Stream) -> None:
        numbers.append(stream.number)
        push(answers, stream)

    monkeypatch.setattr(Answers, "_push", noted)
    return numbers


def many_answers_held_back(client: Client) -> None:
    client.send(b"".join(client.request(number, b"abc") for number in range(3, 2003, 2)))


def test_answers_that_wait_for_their_own_windows_are_not_looked_at_for_another_one(
    looked_at: list[int],
):
    client = Client(Service(replace(LIMITS, streams=1000)))
    client.send(setting(4, 0))
    many_answers_held_back(client)
    looked_at.clear()
    assert client.send(raise_window(0, 1) * 50) == []
    assert looked_at == []


def test_a_window_of_the_connection_that_is_raised_a_little_has_few_answers_looked_at(
    looked_at: list[int],
):
    client = Client(Service(replace(LIMITS, streams=1000)))
    client.service.answer = lambda stream: stream.respond(HEAD, b"x" * 65_535, TRAILERS)
    client.send(setting(4, 1 << 20) + client.request(1))
    client.service.answer = echo
    many_answers_held_back(client)
    looked_at.clear()
    assert bodies(client.send(raise_window(0, 2)), 3) == b"ab"
    assert bodies(client.send(raise_window(0, 2)), 5) == b"a"
    assert len(looked_at) == 3


@given(
    sizes=st.lists(st.integers(0, 40_000), min_size=1, max_size=3),
    raises=st.lists(st.tuples(st.sampled_from([0, 1, 3, 5]), st.integers(1, 30_000)), max_size=20),
    first=st.integers(0, 70_000),
)
def test_whatever_the_windows_are_they_hold_and_everything_arrives_in_the_end(
    sizes: list[int], raises: list[tuple[int, int]], first: int
):
    client = Client()
    client.send(setting(4, first))
    client.service.answer = lambda stream: stream.respond(
        HEAD, b"x" * sizes[stream.number // 2], TRAILERS
    )
    allowed = {0: 65_535, 1: first, 3: first, 5: first}
    heard = client.send(b"".join(client.request(2 * index + 1) for index in range(len(sizes))))
    for number, more in raises:
        if number // 2 < len(sizes):
            heard += client.send(raise_window(number, more))
            allowed[number] += more
        for one in (0, 1, 3, 5):
            sent = sum(len(f.payload) for f in heard if f.kind == DATA and one in (0, f.number))
            assert sent <= allowed[one]
    heard += client.send(raise_window(0, 1 << 20) + setting(4, 1 << 20))
    for index, size in enumerate(sizes):
        assert bodies(heard, 2 * index + 1) == b"x" * size
        assert [f.flags for f in heard if f.number == 2 * index + 1][-1] == WHOLE
    assert all(len(f.payload) <= 16_384 for f in heard)


def test_what_the_client_has_sent_is_given_back_to_its_window():
    client = Client(Service(replace(LIMITS, body_bytes=1 << 22, unfinished_bytes=1 << 22)))
    client.send(client.request(1, None, end=False))
    part = frame(DATA, PADDED, 1, b"\7" + b"x" * 16_376 + b"\0" * 7)
    for _ in range(2):
        assert client.send(part * 63) == []
        assert client.send(part) == [Frame(WINDOW_UPDATE, 0, 0, (1 << 20).to_bytes(4))]


# ---- how much


def test_a_body_may_be_just_as_long_as_the_limit():
    client = Client()
    sent = client.request(1, None, end=False) + frame(DATA, 0, 1, b"x" * 16_000) * 6
    client.send(sent)
    client.service.answer = lambda stream: stream.finish(REFUSED)
    assert client.send(frame(DATA, END_STREAM, 1, b"x" * 4000)) == [
        Frame(HEADERS, WHOLE, 1, REFUSED)
    ]
    assert client.service.told == [("begun", 0)]


def test_a_body_that_is_longer_is_refused_and_what_follows_is_passed_over():
    client = Client()
    sent = client.request(1, None, end=False) + frame(DATA, 0, 1, b"x" * 16_000) * 6
    client.send(sent)
    heard = client.send(frame(DATA, 0, 1, b"x" * 4001))
    assert heard == [Frame(HEADERS, WHOLE, 1, REFUSED), Frame(RST_STREAM, 0, 1, bytes(4))]
    assert client.service.told[1:] == [("too large", 1)]
    assert client.service.unfinished == 0
    assert client.send(frame(DATA, END_STREAM, 1, b"x" * 300))[0].kind == RST_STREAM
    assert client.send(client.request(3, b"x")) == answer_to(3, b"x")


REFUSALS = {
    "too large": lambda client: client.send(frame(DATA, 0, 1, b"x" * 16_000) * 7),
    "overdue": lambda client: client.clock.after(10.0),
    "a fault": lambda client: client.send(raise_window(1, 0)),
}


@pytest.mark.parametrize("refuse", REFUSALS.values(), ids=REFUSALS.keys())
def test_trailers_of_a_call_that_was_refused_are_passed_over_once(refuse: Any):
    """RFC 9113, section 5.1: they were on their way when it was reset."""
    client = Client()
    client.send(client.request(1, None, end=False))
    refuse(client)
    trailers = frame(HEADERS, WHOLE, 1, client.encoder.encode([("a", "b")]))
    assert client.send(trailers) == []
    assert client.send(client.request(3, b"x")) == answer_to(3, b"x")
    assert client.send(trailers)[-1].code == STREAM_CLOSED


def test_trailers_of_a_call_that_was_one_too_many_end_no_connection():
    client = Client()
    client.service.answer = wait
    client.send(b"".join(client.request(number, b"x") for number in (1, 3, 5)))
    assert client.send(client.request(7, None, end=False))[0].code == REFUSED_STREAM
    assert client.send(frame(HEADERS, WHOLE, 7, client.encoder.encode([("a", "b")]))) == []
    assert not client.transport.closed


def test_bodies_under_way_are_bounded_in_all():
    client = Client()
    part = frame(DATA, 0, 1, b"x" * 15_000)
    client.send(client.request(1, None, end=False) + part * 6 + client.request(3, None, end=False))
    client.send(frame(DATA, 0, 3, b"x" * 15_000) * 4)
    assert client.service.unfinished == 150_000
    assert ("too large", 3) not in client.service.told
    client.send(frame(DATA, 0, 3, b"x" * 300))
    assert client.service.told[-1] == ("too large", 3)
    assert client.service.unfinished == 90_000
    assert bodies(client.send(raise_window(0, 90_000) + setting(4, 90_000)), 1) == b""
    assert bodies(client.send(frame(DATA, END_STREAM, 1)), 1) == b"x" * 90_000
    assert client.service.unfinished == 0


def test_a_client_that_vanishes_gives_its_room_back():
    client = Client()
    client.send(client.request(1, None, end=False) + frame(DATA, 0, 1, b"x" * 15_000))
    client.service.answer = wait
    part = frame(DATA, 0, 3, b"x" * 300) + frame(DATA, END_STREAM, 3)
    client.send(client.request(3, None, end=False) + part)
    client.connection.connection_lost(None)
    assert client.service.unfinished == 0
    assert client.service.connections == []
    assert client.service.told[1:] == [("given up", 1), ("given up", 3), ("closed", 0)]
    echo(client.service.streams[0])
    assert client.clock.due == []


def test_no_more_calls_at_once_than_may_be():
    client = Client()
    client.service.answer = wait
    assert client.send(b"".join(client.request(number, b"x") for number in (1, 3, 5))) == []
    assert client.send(client.request(7, b"x"))[0] == Frame(
        RST_STREAM, 0, 7, REFUSED_STREAM.to_bytes(4)
    )
    echo(client.service.streams[0])
    client.service.answer = echo
    assert client.send(client.request(9, b"y")) == answer_to(9, b"y")


@pytest.mark.parametrize(("length", "answered"), [("4", True), ("3", False), ("5", False)])
def test_a_length_that_is_told_is_that_of_the_body(length: str, answered: bool):
    client = Client()
    heard = client.send(client.request(1, b"body", ("content-length", length)))
    refused = [Frame(RST_STREAM, 0, 1, PROTOCOL_ERROR.to_bytes(4))]
    assert heard == (answer_to(1, b"body") if answered else refused)


# ---- who gives up, and who takes too long


def test_a_call_that_is_given_up_gets_no_answer():
    client = Client()
    client.service.answer = wait
    client.send(client.request(1, b"x"))
    assert client.send(frame(RST_STREAM, 0, 1, CANCEL.to_bytes(4))) == []
    assert client.service.told[-1] == ("given up", 1)
    (stream,) = client.service.streams
    echo(stream)
    stream.begin(HEAD)
    stream.send(b"x")
    stream.finish(TRAILERS)
    assert client.heard() == []
    assert client.send(frame(RST_STREAM, 0, 1, CANCEL.to_bytes(4))) == []


def test_an_answer_that_is_held_back_is_forgotten_with_its_call():
    client = Client()
    client.send(setting(4, 5) + client.request(1, b"x" * 10))
    client.send(frame(RST_STREAM, 0, 1, CANCEL.to_bytes(4)))
    assert not client.connection._answers._held
    assert client.send(setting(4, 500)) == [Frame(SETTINGS, ACK, 0, b"")]
    assert client.send(client.request(3, b"y")) == answer_to(3, b"y")


def test_a_body_has_to_come_in_time():
    client = Client()
    client.send(client.request(1, b"x" * 300, end=False))
    client.clock.after(9.9)
    assert client.heard() == []
    client.clock.after(10.0)
    assert client.heard() == [Frame(HEADERS, WHOLE, 1, REFUSED), Frame(RST_STREAM, 0, 1, bytes(4))]
    assert client.service.told[-1] == ("overdue", 1)


def test_an_answer_has_to_be_taken_in_time():
    client = Client()
    client.send(setting(4, 5) + client.request(1, b"x" * 10))
    client.service.answer = wait
    client.send(client.request(3, b"later"))
    client.clock.after(20.0)
    assert client.heard()[-1] == Frame(RST_STREAM, 0, 1, CANCEL.to_bytes(4))
    assert client.service.told[-1] == ("given up", 1)
    echo(client.service.streams[1])
    assert client.heard()[-1].number == 3


def test_a_client_that_does_not_read_is_not_read():
    client = Client()
    client.connection.pause_writing()
    assert client.transport.paused
    client.connection.resume_writing()
    assert not client.transport.paused


def pause_at_the_next_write(client: Client, *, resume: bool = False) -> None:
    """As a transport does that cannot send it all; some can a moment later."""
    write = client.transport.write

    def written(data: bytes) -> None:
        client.transport.write = write  # type: ignore[method-assign]
        write(data)
        client.connection.pause_writing()
        if resume:
            client.connection.resume_writing()

    client.transport.write = written  # type: ignore[method-assign]


def test_what_has_come_waits_until_the_client_takes_its_answers():
    client = Client()
    pause_at_the_next_write(client)
    calls = b"".join(client.request(number, b"x") for number in range(1, 11, 2))
    assert client.send(calls[:-3]) == answer_to(1, b"x")
    assert client.send(calls[-3:]) == []
    pause_at_the_next_write(client)
    client.connection.resume_writing()
    assert client.heard() == answer_to(1, b"x") + answer_to(3, b"x")
    assert client.transport.paused
    client.connection.resume_writing()
    assert client.heard() == [one for number in range(1, 11, 2) for one in answer_to(number, b"x")]
    assert client.send(client.request(11, b"y")) == answer_to(11, b"y")
    assert not client.transport.paused


def test_a_client_that_takes_its_answers_at_once_after_all_need_not_wait():
    client = Client()
    pause_at_the_next_write(client, resume=True)
    calls = b"".join(client.request(number, b"x") for number in range(1, 11, 2))
    answers = [one for number in range(1, 11, 2) for one in answer_to(number, b"x")]
    assert client.send(calls) == answers


def test_what_waits_is_not_read_after_the_end():
    client = Client()
    pause_at_the_next_write(client)
    client.send(client.request(1, b"x") + client.request(3, b"x"))
    client.connection.close()
    heard = client.heard()
    client.connection.resume_writing()
    assert client.send(client.request(5, b"x")) == []
    assert client.heard() == heard
    assert heard[-1].payload == (1).to_bytes(4) + bytes(4)


def test_no_more_than_64_answers_are_written_together():
    client = Client()
    before = len(client.transport.writes)
    client.send(b"".join(client.request(number, b"x") for number in range(1, 400, 2)))
    writes = client.transport.writes[before:]
    numbers = [len(list(frames_in(written))) // 3 for written in writes]
    assert numbers == [1, 2, 4, 8, 16, 32, 64, 64, 9]


@pytest.mark.parametrize("answers", [True, False])
def test_a_client_that_says_nothing_is_asked_whether_it_is_there(answers: bool):
    client = Client()
    client.clock.after(59.9)
    assert client.heard() == []
    client.clock.after(60.0)
    assert client.heard() == [Frame(PING, 0, 0, bytes(8))]
    if answers:
        client.send(frame(PING, ACK, 0, bytes(8)))
    client.clock.after(79.9)
    assert not client.transport.is_closing()
    client.clock.after(80.0)
    assert client.transport.is_closing() is not answers
    client.clock.after(120.0)
    assert client.heard() == [Frame(PING, 0, 0, bytes(8))] * (2 if answers else 1)
    assert bool(client.clock.due) is answers


def test_an_old_connection_is_made_anew_and_its_calls_go_on():
    client = Client(Service(OLD))
    client.service.answer = wait
    client.clock.after(999.9)
    client.send(client.request(1, b"x"))
    assert client.heard() == []
    client.clock.after(1000.0)
    goodbye, ping = client.heard()[-2:]
    assert (goodbye.kind, goodbye.payload[:4], goodbye.code) == (GOAWAY, b"\x7f\xff\xff\xff", 0)
    # What it sent before it read that still counts.
    client.send(client.request(3, b"y"))
    (last,) = client.send(frame(PING, ACK, 0, ping.payload))
    assert (last.kind, last.payload[:4], last.code) == (GOAWAY, (3).to_bytes(4), NO_ERROR)
    assert client.send(frame(PING, ACK, 0, ping.payload)) == []
    assert client.send(client.request(5, b"z"))[0].code == REFUSED_STREAM
    for stream in client.service.streams:
        assert not client.transport.closed
        echo(stream)
    assert client.transport.closed
    assert [one.number for one in client.heard() if one.flags == WHOLE] == [1, 3]
    # What was said not to be answered stays so.
    assert client.heard()[-1] == last


def test_an_old_connection_without_calls_ends_at_once():
    client = Client(Service(OLD))
    client.clock.after(1010.0)
    assert client.heard()[-2].kind == GOAWAY
    client.send(frame(PING, ACK, 0, bytes(8)))
    assert client.transport.closed


def test_after_the_end_nothing_is_read_nor_sent():
    client = Client(Service(OLD))
    client.service.answer = wait
    client.send(client.request(1, b"x"))
    client.connection.close()
    heard = client.heard()
    for sent in (frame(PUSH_PROMISE), b"part of a frame", client.request(3, b"x")):
        assert client.send(sent) == []
    assert client.connection._reader._part == b""
    echo(client.service.streams[0])
    assert client.heard() == heard
    assert len(client.clock.due) == 1


def test_what_comes_with_the_end_is_not_read():
    client = Client(Service(OLD))
    client.clock.after(1010.0)
    client.send(frame(PING, ACK, 0, bytes(8)) + frame(PUSH_PROMISE))
    assert len(client.clock.due) == 1


def test_an_old_connection_does_not_last_for_ever():
    client = Client(Service(OLD))
    client.service.answer = wait
    client.send(client.request(1, b"x"))
    client.clock.after(1029.9)
    assert not client.transport.is_closing()
    client.clock.after(1030.0)
    assert client.transport.is_closing()
    assert len(client.clock.due) == 1


def test_the_end_is_announced():
    client = Client()
    client.send(client.request(1, b"x"))
    client.connection.close()
    client.connection.close()
    goodbye = client.heard()[-1]
    assert (goodbye.kind, goodbye.payload) == (GOAWAY, (1).to_bytes(4) + bytes(4))
    assert client.transport.closed
    client.connection.resume_writing()
    assert len(client.clock.due) == 1
    client.clock.after(1.0)
    assert client.transport.aborted
    assert client.send(client.request(3, b"x")) == []


def test_who_is_one_too_many_is_turned_away():
    service = Service()
    service.room = False
    client = Client(service, begin=False)
    assert client.transport.aborted
    assert client.send(PREFACE + frame(SETTINGS)) == []


# ---- what breaks a rule


OPENED = frame(HEADERS, END_HEADERS, 1, BLOCK)
CLOSED = frame(HEADERS, WHOLE, 1, BLOCK)
BROKEN = {
    "a long frame": (frame(0x42, 0, 0, bytes(16_385)), FRAME_SIZE_ERROR),
    "a very long frame": (frame(0x42, 0, 0, bytes(1 << 16)), FRAME_SIZE_ERROR),
    "DATA of no stream": (frame(DATA, 0, 0, bytes(300)), PROTOCOL_ERROR),
    "DATA of a stream not begun": (frame(DATA, 0, 1, bytes(300)), PROTOCOL_ERROR),
    "DATA of a stream of ours": (OPENED + frame(DATA, END_STREAM, 2), PROTOCOL_ERROR),
    "DATA that is all padding": (OPENED + frame(DATA, PADDED | 1, 1, b"\1"), PROTOCOL_ERROR),
    "DATA without its padding": (OPENED + frame(DATA, PADDED | 1, 1), PROTOCOL_ERROR),
    "HEADERS of no stream": (frame(HEADERS, WHOLE, 0, BLOCK), PROTOCOL_ERROR),
    "HEADERS of a stream of ours": (frame(HEADERS, WHOLE, 2, BLOCK), PROTOCOL_ERROR),
    "HEADERS that are all padding": (frame(HEADERS, PADDED | WHOLE, 1, b"\1"), PROTOCOL_ERROR),
    "HEADERS without their priority": (
        frame(HEADERS, WITH_PRIORITY | WHOLE, 1, bytes(4)),
        FRAME_SIZE_ERROR,
    ),
    "HEADERS that depend on themselves": (
        frame(HEADERS, WITH_PRIORITY | WHOLE, 1, b"\0\0\0\1\0" + BLOCK),
        PROTOCOL_ERROR,
    ),
    "HEADERS of an earlier stream": (
        frame(HEADERS, WHOLE, 3, BLOCK) + frame(HEADERS, WHOLE, 1, BLOCK),
        STREAM_CLOSED,
    ),
    "HEADERS of a closed stream": (CLOSED + CLOSED, STREAM_CLOSED),
    "HEADERS that cannot be read": (frame(HEADERS, WHOLE, 1, b"\xff\xff\xff"), COMPRESSION_ERROR),
    "HEADERS of no entry": (frame(HEADERS, WHOLE, 1, b"\xbe"), COMPRESSION_ERROR),
    "CONTINUATION of nothing": (frame(CONTINUATION, END_HEADERS, 1, BLOCK), PROTOCOL_ERROR),
    "CONTINUATION after the end": (
        frame(HEADERS, END_STREAM, 1, BLOCK) + frame(CONTINUATION, END_HEADERS, 1) * 2,
        PROTOCOL_ERROR,
    ),
    "CONTINUATION of another stream": (
        frame(HEADERS, 0, 1, BLOCK[:1]) + frame(CONTINUATION, END_HEADERS, 3, BLOCK[1:]),
        PROTOCOL_ERROR,
    ),
    "a short PRIORITY": (frame(PRIORITY, 0, 1, bytes(4)), FRAME_SIZE_ERROR),
    "PRIORITY of no stream": (frame(PRIORITY, 0, 0, b"\0\0\0\3\0"), PROTOCOL_ERROR),
    "PRIORITY that depends on itself": (frame(PRIORITY, 0, 1, b"\0\0\0\1\0"), PROTOCOL_ERROR),
    "a long RST_STREAM": (OPENED + frame(RST_STREAM, 0, 1, bytes(5)), FRAME_SIZE_ERROR),
    "RST_STREAM of no stream": (frame(RST_STREAM, 0, 0, bytes(4)), PROTOCOL_ERROR),
    "RST_STREAM of a stream not begun": (frame(RST_STREAM, 0, 1, bytes(4)), PROTOCOL_ERROR),
    "SETTINGS of a stream": (frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
    "SETTINGS of an odd length": (frame(SETTINGS, 0, 0, bytes(5)), FRAME_SIZE_ERROR),
    "SETTINGS acknowledged at length": (frame(SETTINGS, ACK, 0, bytes(6)), FRAME_SIZE_ERROR),
    "push that is neither on nor off": (setting(2, 2), PROTOCOL_ERROR),
    "a window too large": (setting(4, 1 << 31), FLOW_CONTROL_ERROR),
    "small frames": (setting(5, 16_383), PROTOCOL_ERROR),
    "large frames": (setting(5, 1 << 24), PROTOCOL_ERROR),
    "PUSH_PROMISE": (frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)), PROTOCOL_ERROR),
    "a short PING": (frame(PING, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
    "PING of a stream": (frame(PING, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "GOAWAY of a stream": (frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "a short WINDOW_UPDATE": (frame(WINDOW_UPDATE, 0, 0, bytes(3)), FRAME_SIZE_ERROR),
    "a window raised by nothing": (raise_window(0, 0), PROTOCOL_ERROR),
    "a window raised too far": (raise_window(0, (1 << 31) - 65_535), FLOW_CONTROL_ERROR),
    "WINDOW_UPDATE of a stream not begun": (raise_window(1, 1), PROTOCOL_ERROR),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "code"), BROKEN.values(), ids=BROKEN.keys())
def test_a_rule_that_is_broken_ends_the_connection(sent: bytes, code: int):
    client = Client()
    client.service.answer = echo
    goodbye = client.send(sent)[-1]
    assert (goodbye.kind, goodbye.code) == (GOAWAY, code)
    assert client.transport.closed
    assert client.service.cuts == []


@pytest.mark.parametrize("kind", [DATA, HEADERS, PING, SETTINGS])
def test_nothing_comes_between_parts_of_headers(kind: int):
    client = Client()
    client.send(frame(HEADERS, 0, 1, BLOCK[:1]) + frame(kind, END_HEADERS, 1, bytes(8)))
    assert client.transport.aborted
    assert client.service.cuts == ["headers without an end"]


@pytest.mark.parametrize(
    "first",
    [frame(HEADERS, WHOLE, 1, BLOCK), frame(SETTINGS, ACK)],
    ids=["HEADERS", "SETTINGS acknowledged"],
)
def test_settings_come_first(first: bytes):
    client = Client(begin=False)
    assert client.send(PREFACE + first)[-1].code == PROTOCOL_ERROR


def test_whoever_speaks_something_else_is_cut_off():
    client = Client(begin=False)
    assert client.send(b"GET / HTTP/1.1\r\n\r\n") == []
    assert client.transport.aborted
    assert client.service.cuts == ["what is not HTTP/2"]


FAULTY = {
    "DATA of a whole request": (
        frame(HEADERS, WHOLE, 1, BLOCK) + frame(DATA, END_STREAM, 1),
        STREAM_CLOSED,
    ),
    "HEADERS without a path": (frame(HEADERS, WHOLE, 1, b"\x83\x86"), PROTOCOL_ERROR),
    "trailers that are not the end": (
        OPENED + frame(HEADERS, END_HEADERS, 1, b"\0\1a\1b"),
        PROTOCOL_ERROR,
    ),
    "a window raised by nothing": (OPENED + raise_window(1, 0), PROTOCOL_ERROR),
    "a window raised too far": (
        OPENED + raise_window(1, (1 << 31) - 65_535),
        FLOW_CONTROL_ERROR,
    ),
}


@pytest.mark.parametrize(("sent", "code"), FAULTY.values(), ids=FAULTY.keys())
def test_a_fault_of_one_call_leaves_the_others_alone(sent: bytes, code: int):
    client = Client()
    refused = client.send(sent)[-1]
    assert refused == Frame(RST_STREAM, 0, 1, code.to_bytes(4))
    assert client.send(client.request(3, b"x")) == answer_to(3, b"x")


@pytest.mark.parametrize("kind", [DATA, HEADERS])
def test_more_of_a_call_that_is_being_answered_ends_the_connection(kind: int):
    client = Client()
    client.service.answer = wait
    client.send(client.request(1, b"x"))
    more = frame(kind, WHOLE, 1, b"" if kind == DATA else BLOCK)
    assert client.send(more)[-1].code == STREAM_CLOSED
    assert client.transport.closed


@pytest.mark.parametrize("size", [16_000, 16_001])
def test_a_block_of_headers_may_come_in_parts_that_are_so_long_in_all(size: int):
    client = Client()
    sent = frame(HEADERS, END_STREAM, 1, b"\x00" * 11_904)
    heard = client.send(sent + frame(CONTINUATION, 0, 1, b"\x00" * (size - 11_904)))
    assert heard == []
    assert client.transport.aborted is (size > 16_000)


@pytest.mark.parametrize(("size", "read"), [(15_843, True), (15_844, False)])
def test_headers_may_be_so_large_in_all(size: int, read: bool):
    """Twice what is told, so that what is a little too large is refused and ends no connection."""
    client = Client()
    # Names, values and 32 octets for each: POST, http and / take 124, and "a" 33.
    rest = size - 127
    value = b"\x7f" + bytes([rest % 128 + 128, rest // 128]) + b"x" * size
    heard = client.send(frame(HEADERS, WHOLE, 1, BLOCK + b"\0\1a" + value))
    assert heard[-1].kind == (HEADERS if read else GOAWAY)


def test_a_window_may_become_as_large_as_can_be_and_no_larger_by_settings():
    client = Client()
    client.service.answer = wait
    client.send(client.request(1, b"x") + raise_window(1, 10))
    largest = (1 << 31) - 1
    assert client.send(setting(4, largest - 10)) == [Frame(SETTINGS, ACK, 0, b"")]
    assert client.send(setting(4, largest - 9))[-1].code == FLOW_CONTROL_ERROR


FRAMES = st.builds(
    frame,
    st.integers(0, 11),
    st.integers(0, 255),
    st.integers(0, 9),
    st.one_of(st.binary(max_size=30), st.just(BLOCK)),
)


@given(st.lists(FRAMES, max_size=30))
def test_whatever_comes_nothing_breaks_and_all_is_given_back(sent: list[bytes]):
    client = Client()
    for one in sent:
        client.send(one)
    client.clock.after(2000.0)
    client.connection.connection_lost(None)
    assert client.service.unfinished == 0
    assert client.service.told[-1] == ("closed", 0)

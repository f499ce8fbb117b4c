"""Messages that have not come to their end: how much they take, and how long."""

from __future__ import annotations

import pytest

from extauthz.adapters.http2_frames import PREFACE, FrameWatch
from extauthz.adapters.http2_messages import SECONDS, Held, Messages

DATA, HEADERS, RST_STREAM, SETTINGS, PING = 0, 1, 3, 4, 6
END_STREAM, END_HEADERS = 1, 4
LONGEST = 1000


class Client:
    """One whose frames are followed. ``now`` is when the next one comes."""

    def __init__(self, of_all: Held | None = None) -> None:
        self.of_all = of_all or Held()
        self.messages = Messages(LONGEST, self.of_all)
        self.now = 0.0
        self._watch = FrameWatch(0.0, block_bytes=4096, see=self.messages.see)
        self._watch.read(PREFACE, 0.0)

    def send(self, kind: int, flags: int = 0, size: int = 0, stream: int = 1) -> None:
        head = size.to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4)
        assert self._watch.read(head + bytes(size), self.now) is None


def test_a_message_in_one_frame_takes_nothing():
    client = Client()
    client.send(HEADERS, END_HEADERS, 40)
    client.send(DATA, END_STREAM, 900)
    assert client.messages.held == client.of_all.octets == 0


@pytest.mark.parametrize(
    ("kind", "flags", "size"),
    [(DATA, END_STREAM, 300), (HEADERS, END_HEADERS | END_STREAM, 10), (RST_STREAM, 0, 4)],
    ids=["its end", "trailers", "given up"],
)
def test_what_came_of_a_message_is_kept_until_it_ends(kind: int, flags: int, size: int):
    client = Client()
    client.send(DATA, 0, 300)
    client.send(DATA, 0, 400, stream=3)
    client.send(SETTINGS, 1)
    client.send(PING, 1, 8)
    assert client.messages.held == 700
    client.send(kind, flags, size)
    assert client.messages.held == client.of_all.octets == 400


@pytest.mark.parametrize("stream", [1 | 1 << 8, 1 | 1 << 16, 1 | 1 << 24])
def test_a_message_is_ended_by_its_own_stream(stream: int):
    client = Client()
    client.send(DATA, 0, 300)
    client.send(DATA, END_STREAM, 300, stream=stream)
    assert client.messages.held == 300
    # The first bit is reserved (RFC 9113 section 4.1).
    client.send(DATA, END_STREAM, 300, stream=1 | 1 << 31)
    assert client.messages.held == 0


def test_headers_that_do_not_end_it_end_nothing():
    client = Client()
    client.send(DATA, 0, 300)
    client.send(HEADERS, END_HEADERS, 10)
    assert client.messages.held == 300


def test_of_one_that_is_refused_for_its_length_nothing_is_kept():
    client = Client()
    client.send(DATA, 0, 999)
    client.send(DATA, 0, 1)
    assert client.messages.held == 1000
    client.send(DATA, 0, 1)
    client.send(DATA, 0, 500)
    assert client.messages.held == client.of_all.octets == 0
    client.now = 2 * SECONDS
    assert not client.messages.overdue(client.now)


def test_a_message_has_a_time_from_its_beginning():
    client = Client()
    client.send(DATA, 0, 10, stream=3)
    client.now = SECONDS - 1
    client.send(DATA, 0, 10, stream=3)
    client.send(DATA, 0, 10, stream=5)
    assert not client.messages.overdue(SECONDS - 0.01)
    assert client.messages.overdue(SECONDS)
    client.send(DATA, END_STREAM, 10, stream=3)
    assert not client.messages.overdue(SECONDS)


def test_all_clients_are_counted_together_until_they_go():
    of_all = Held()
    one, other = Client(of_all), Client(of_all)
    one.send(DATA, 0, 300)
    other.send(DATA, 0, 400)
    assert of_all.octets == 700
    one.messages.forget()
    one.messages.forget()
    assert (of_all.octets, one.messages.held, other.messages.held) == (400, 0, 400)

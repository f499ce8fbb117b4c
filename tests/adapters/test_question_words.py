"""The words of questions: the same for what is decided alike, and never for anything else."""

from __future__ import annotations

from itertools import permutations
from typing import Any, cast

import pytest
from google.protobuf.message import DecodeError

from extauthz._pb.external_auth_pb2 import CheckRequest
from extauthz.adapters.check_words import CheckWords
from extauthz.adapters.head_words import HeadWords
from extauthz.adapters.recurring import FLEETING, MOST_FLEETING, Known, Words
from extauthz.core.model import Precedent
from tests.adapters.doors import Asked, check_request
from tests.policies import asking

HEAD = b"GET /auth/nginx HTTP/1.1\r\nHost: a\r\n%b\r\n"


def check(*lines: tuple[str, str], **more: Any) -> bytes:
    return check_request(Asked(lines, **more)).SerializeToString()


def noticing(*names: str) -> CheckWords:
    words = CheckWords()
    for name in names:
        assert words.notice(b"", [name])
    return words


def of(words: Words, question: bytes) -> bytes:
    return words.of(question)[0]


def left_out(words: Words, question: bytes) -> dict[str, str]:
    """The headers that a request has besides what its words tell."""
    known: Known[bytes] = Known(cast(Any, None), b"", Precedent(asking()))
    return dict(known.recurs(words.of(question)[1]).headers)


# ---- checks


def test_the_time_and_the_connection_are_no_words_of_a_check():
    message = check_request(Asked((("Accept", "a"),)))
    before = of(CheckWords(), message.SerializeToString())
    attributes = message.attributes
    attributes.request.time.seconds = 5
    attributes.source.address.socket_address.port_value = 5
    attributes.source.principal = attributes.destination.principal = "x"
    attributes.tls_session.sni = "x"
    attributes.request.http.id = attributes.request.http.query = "x"
    attributes.request.http.scheme = attributes.request.http.protocol = "x"
    assert of(CheckWords(), message.SerializeToString()) == before


@pytest.mark.parametrize(
    "change",
    [
        {"method": "GET"},
        {"target": "/other"},
        {"host": "other"},
        {"body": b"x"},
        {"server": "other"},
        {"mcp": {"method": "x"}},
        {"lines": (("Accept", "b"),)},
        {"lines": (("Accept", "a"), ("Accept", "a"))},
    ],
    ids=str,
)
def test_what_a_decision_reads_are_words_of_a_check(change: dict[str, Any]):
    before = check(("Accept", "a"))
    changed = check_request(Asked(**{"lines": (("Accept", "a"),), **change})).SerializeToString()
    assert of(CheckWords(), changed) != of(CheckWords(), before)


def test_headers_in_a_map_are_words_too():
    one, other = (check_request(Asked((("Accept", value),)), raw=False) for value in "ab")
    assert of(CheckWords(), one.SerializeToString()) != of(CheckWords(), other.SerializeToString())


def test_no_check_has_no_words():
    with pytest.raises(DecodeError):
        of(CheckWords(), b"\xff")


@pytest.mark.parametrize("length", [1, 12, 127])
def test_the_value_of_a_header_that_was_noticed_is_no_word(length: int):
    words = noticing("x-request-id")
    one, other = (check(("Accept", "a"), ("x-request-id", c * length), ("Via", "b")) for c in "cd")
    assert of(words, one) == of(words, other)
    assert len(of(CheckWords(), one)) - len(of(words, one)) == length
    assert b"\x0a\x03via\x1a\x01b" in of(words, one)
    assert left_out(words, one) == {"x-request-id": "c" * length}


def test_a_value_that_is_too_long_is_a_word():
    words = noticing("x-request-id")
    one = check(("x-request-id", "c" * 128), ("Via", "b"))
    assert of(words, one) == of(CheckWords(), one)
    assert left_out(words, one) == {}


def test_a_check_without_the_header_has_all_its_words():
    words = noticing("x-request-id", "traceparent")
    one = check(("Accept", "a"), ("x-request-ids", "b"))
    assert of(words, one) == of(CheckWords(), one)
    assert left_out(words, one) == {}


def test_several_headers_are_left_out_wherever_they_stand():
    words = noticing("x-request-id", "traceparent", "content-length")
    lines = [("traceparent", "1"), ("Accept", "a"), ("x-request-id", "2"), ("content-length", "3")]
    other = [(name, value.replace("2", "9").replace("3", "8")) for name, value in lines]
    assert of(words, check(*lines)) == of(words, check(*other))
    assert left_out(words, check(*other)) == {
        "traceparent": "1", "x-request-id": "9", "content-length": "8",
    }  # fmt: skip


def test_blanks_around_a_value_are_not_told():
    words = noticing("x-request-id")
    assert left_out(words, check(("x-request-id", " \tc d\t "))) == {"x-request-id": "c d"}
    assert left_out(words, check(("x-request-id", "XcX"))) == {"x-request-id": "XcX"}
    assert left_out(words, check(("x-request-id", "\xa0c"))) == {"x-request-id": "\xa0c"}


def test_each_fleeting_header_is_noticed_once_and_at_most_so_many():
    words = CheckWords()
    names = sorted(FLEETING)
    assert not words.notice(b"", ["accept", "authorization", "mcp-method"])
    for name in names[:MOST_FLEETING]:
        assert words.notice(b"", [name]) is True
        assert words.notice(b"", [name]) is False
    assert words.notice(b"", names[MOST_FLEETING:]) is False
    assert CheckWords().notice(b"", ["content-length"]) is True


@pytest.mark.parametrize("control", ["\0", "\n", "\x1f", "\x7f"])
@pytest.mark.parametrize("where", ["method", "path", "host", "name", "value", "raw", "map", "said"])
def test_a_control_character_anywhere_makes_a_check_unclear(where: str, control: str):
    message = check_request(Asked((("Accept", "a"),)))
    http = message.attributes.request.http
    line = http.header_map.headers[1]
    if where in ("map", "said"):
        http.ClearField("header_map")
        http.headers["x-more"] = "b"
    assert CheckWords().are_clear(message.SerializeToString()) is True
    match where:
        case "method" | "path" | "host":
            setattr(http, where, f"a{control}b")
        case "name":
            line.key = f"a{control}b"
        case "value":
            line.value = f"a{control}b"
        case "raw":
            line.raw_value = f"a{control}b".encode()
        case "map":
            http.headers[f"a{control}b"] = "c"
        case _:
            http.headers["c"] = f"a{control}b"
    assert CheckWords().are_clear(message.SerializeToString()) is False


@pytest.mark.parametrize("where", ["server", "mcp", "map"])
def test_what_looks_like_a_header_that_was_noticed_makes_a_check_unclear(where: str):
    words, text = noticing("b3"), "\n\x02b3\x1a\x03abc"
    message = check_request(Asked((("Accept", "a"),)))
    attributes = message.attributes
    match where:
        case "server":
            attributes.context_extensions["mcp_server"] = text
        case "mcp":
            attributes.metadata_context.filter_metadata["x"].update({"a": text})
        case _:
            attributes.request.http.ClearField("header_map")
            attributes.request.http.headers["a"] = text
    assert words.are_clear(message.SerializeToString()) is False
    if where != "map":
        assert CheckWords().are_clear(message.SerializeToString()) is True


def test_what_nobody_knows_in_a_header_line_makes_a_check_unclear():
    message = check_request(Asked((("Accept", "a"),)))
    message.attributes.request.http.header_map.headers.add().MergeFromString(b"\x72\x01a")
    assert CheckWords().are_clear(message.SerializeToString()) is False


def test_what_nobody_knows_elsewhere_makes_no_check_unclear():
    message = check_request(Asked((("Accept", "a"),)))
    message.attributes.MergeFromString(b"\xfa\x01\x01a")
    assert CheckWords().are_clear(message.SerializeToString()) is True


def test_a_value_with_a_line_end_makes_words_that_no_clear_check_has():
    words = noticing("x-request-id")
    one, other = (check(("x-request-id", value), ("Via", "b")) for value in ("a\nb", "a\nc"))
    assert of(words, one) == b"?" + one
    assert of(words, one) != of(words, other)
    assert left_out(words, one) == {}


def test_octets_beyond_ascii_are_clear():
    message = CheckRequest()
    message.attributes.request.http.header_map.headers.add(key="a", raw_value=b"\x80\xff ~")
    assert CheckWords().are_clear(message.SerializeToString()) is True


# ---- heads


@pytest.mark.parametrize(
    ("raw", "one"),
    [
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", True),
        (b"\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nhost: a\r\n", False),
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\nG", False),
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 2, False),
        (b"GET / HTTP/1.1\nhost: a\n\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", False),
        (b"abc", False),
    ],
)
def test_one_head_is_all_there_is(raw: bytes, one: bool):
    assert HeadWords().are_clear(raw) is one


@pytest.mark.parametrize("name", [b"x-request-id", b"X-Request-Id"])
@pytest.mark.parametrize("value", [b"", b"1", b"a b ~!", b"c" * 2000])
def test_the_value_of_a_line_that_was_noticed_is_no_word(name: bytes, value: bytes):
    words, head = HeadWords(), HEAD % (name + b": %b\r\nVia: b\r\n")
    assert of(words, head % value) == head % value
    assert words.notice(head % b"1", ["accept", "x-request-id"]) is True
    assert words.notice(head % b"2", ["x-request-id"]) is False
    assert of(words, head % value) == head % b""
    assert left_out(words, head % value) == {"x-request-id": value.decode()}


def test_blanks_around_the_value_of_a_line_are_not_told():
    words, head = HeadWords(), HEAD % b"X-Request-Id:  c d \r\n"
    words.notice(head, ["x-request-id"])
    assert left_out(words, head) == {"x-request-id": "c d"}
    assert left_out(words, HEAD % b"X-Request-Id: XcX\r\n") == {"x-request-id": "XcX"}


@pytest.mark.parametrize("odd", [b"\0", b"a\rb", b"\xff", b"a\tb", b"\x7f", b"a\nb"])
def test_values_that_are_no_plain_text_stay_words(odd: bytes):
    words, head = HeadWords(), HEAD % b"X-Request-Id: %b\r\n"
    words.notice(head % b"1", ["x-request-id"])
    assert of(words, head % odd) == head % odd
    assert left_out(words, head % odd) == {}


def test_a_head_without_that_line_has_all_its_words():
    words = HeadWords()
    words.notice(HEAD % b"X-Request-Id: 1\r\n", ["x-request-id"])
    for raw in (HEAD % b"x-request-id: 1\r\n", b"X-Request-Id: 1\r\n\r\n", b"\r\nX-Request-Id: 1"):
        assert of(words, raw) == raw
    assert left_out(words, HEAD % b"") == {}


@pytest.mark.parametrize(
    "line",
    [b"x-REQUEST-id: 1", b"X-Request-ID: 1", b"Accept: 1", b"X-Request-Id : 1", b"X-Request-Id:1",
     b"x-request-id", b"Content-Length: 1", b"Authorization: b: c"],
)  # fmt: skip
def test_only_usual_spellings_of_fleeting_headers_are_noticed(line: bytes):
    name = line.partition(b":")[0].decode().lower().strip()
    assert HeadWords().notice(HEAD % (line + b"\r\n"), [name]) is False


def test_both_usual_spellings_are_noticed():
    words = HeadWords()
    heads = [HEAD % (name + b": a: b\r\n") for name in (b"B3", b"b3", b"B3")]
    assert [words.notice(head, ["b3"]) for head in heads] == [True, True, False]


def test_at_most_so_many_lines_are_noticed():
    words = HeadWords()
    lines = b"".join(name.encode() + b": 1\r\n" for name in sorted(FLEETING))
    assert [words.notice(HEAD % lines, FLEETING) for _ in range(MOST_FLEETING + 2)] == (
        [True] * MOST_FLEETING + [False] * 2
    )


ENVOYS = b"POST /auth/envoy/x HTTP/1.1\r\n%b\r\n"


def test_envoys_lines_are_the_same_words_in_any_order():
    words, lines = HeadWords(), [b"b: 1\r\n", b"a: 2\r\n", b"x-request-id: 3\r\n"]
    words.notice(ENVOYS % b"".join(lines), ["x-request-id"])
    in_order = (ENVOYS % b"a: 2\r\nb: 1\r\nx-request-id: \r\n").removesuffix(b"\r\n\r\n")
    for some in permutations(lines):
        assert of(words, ENVOYS % b"".join(some)) == in_order
        assert left_out(words, ENVOYS % b"".join(some)) == {"x-request-id": "3"}


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /auth/forward HTTP/1.1\r\nb: 1\r\na: 2\r\n\r\n",
        b"POST /auth/nginx HTTP/1.1\r\nb: /auth/envoy/\r\na: 2\r\n\r\n",
        # No head by itself, or none that begins with its first line.
        ENVOYS % b"b: 1\r\na: 2\r\n" + b"c",
        b"\r\n" + ENVOYS % b"b: 1\r\na: 2\r\n",
        b"b: 1\r\n" + ENVOYS % b"a: 2\r\n",
    ],
)
def test_other_lines_stay_in_their_order(raw: bytes):
    assert of(HeadWords(), raw) == raw


def test_a_body_that_looks_like_a_line_makes_other_words():
    head = ENVOYS % b"a: 1\r\nb: 2\r\n"
    for other in (ENVOYS % b"a: 1\r\n" + b"b: 2\r\n\r\n", ENVOYS % b"b: 2\r\n" + b"a: 1\r\n\r\n"):
        assert of(HeadWords(), other) != of(HeadWords(), head)

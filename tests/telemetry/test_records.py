"""Records of the standard library's loggers as lines."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hpack import Encoder

from extauthz.adapters.http2_headers import HeaderReader
from extauthz.telemetry.formats import (
    FORMATS,
    beginning,
    json_line,
    text_line,
    timestamp,
    without_tokens,
)
from extauthz.telemetry.log_pipe import LogPipe
from extauthz.telemetry.records import send_logs_to, set_level
from tests.tokens import mint


class Captured:
    """Everything that is logged, as lines."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.pipe = LogPipe(self.written.append, json_line)

    def lines(self) -> list[dict[str, Any]]:
        assert self.pipe.close(10)
        return [json.loads(line) for line in b"".join(self.written).splitlines()]


@pytest.fixture
def captured() -> Iterator[Captured]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.raiseExceptions)
    names = ("httpx", "httpcore", "asyncio", "uvicorn.access", "hpack")
    levels = {name: logging.getLogger(name).level for name in names}
    captured = Captured()
    send_logs_to(captured.pipe, level="info")
    yield captured
    root.handlers[:], level, logging.raiseExceptions = before
    root.setLevel(level)
    for name, number in levels.items():
        logging.getLogger(name).setLevel(number)
    logging.captureWarnings(False)
    captured.pipe.close(10)


def test_a_record_says_when_where_and_what(captured: Captured) -> None:
    log = logging.getLogger("extauthz.keys")
    log.warning("keys of %s are %d s old", "corp", 7, extra={"event": "stale", "issuer": "corp"})
    (line,) = captured.lines()
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "warning",
        "msg": "keys of corp are 7 s old",
        "logger": "extauthz.keys",
        "event": "stale",
        "issuer": "corp",
    }


def test_the_text_of_an_exception_is_withheld_and_its_origin_told(captured: Captured) -> None:
    """Libraries quote what they choked on, which may be a token or a claim."""

    def choke() -> None:
        try:
            int("canary-claim")
        except ValueError as error:
            raise KeyError("canary-key") from error

    try:
        choke()
    except KeyError:
        logging.getLogger("extauthz.authorizer").exception("a decision failed")
    (line,) = captured.lines()
    assert line["exception"] == "KeyError, from ValueError"
    assert line["traceback"][-1].endswith(" choke")
    assert "canary" not in json.dumps(line)


def test_what_the_operating_system_says_is_told(captured: Captured) -> None:
    try:
        open("/nowhere/at/all").close()  # noqa: PTH123
    except OSError:
        logging.getLogger("extauthz").exception("cannot start")
    (line,) = captured.lines()
    assert line["exception"] == "FileNotFoundError: No such file or directory (/nowhere/at/all)"


def test_a_token_in_a_message_of_a_library_is_cut_out(captured: Captured) -> None:
    token = mint()
    logging.getLogger("library").warning("bad header: Bearer %s!", token, extra={"seen": [token]})
    (line,) = captured.lines()
    assert line["msg"] == "bad header: Bearer [token]!"
    assert line["seen"] == ["[token]"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("eyJabcde.", "[token]"),
        ("eyJabcd.", "eyJabcd."),
        ("eyJabcde", "eyJabcde"),
        ("x-eyJabcde.b.c/eyJabcdef..d", "x-[token]/[token]"),
        ("sub.eyJabcde.b", "sub.[token]"),
    ],
)
def test_what_begins_as_a_token_and_has_a_dot_is_cut_out(text: str, shown: str) -> None:
    assert without_tokens(text) == shown


@pytest.mark.parametrize("piece", ["eyJ", "eyJ.", "eyJabcde.", "eyJa/", "a-eyJ", "ewogeyA"])
def test_looking_for_tokens_costs_what_the_text_is_long(piece: str) -> None:
    """Whoever calls a tool chooses its name, of which a body of 1 MiB may be made."""

    def seconds(pieces: int) -> float:
        began = time.process_time()
        without_tokens(piece * pieces)
        return time.process_time() - began

    # Twenty times as long is four hundred times as costly where each piece is a new beginning.
    short = min(seconds(4_000) for _ in range(3))
    assert min(seconds(80_000) for _ in range(2)) < 60 * short


@pytest.mark.parametrize(
    ("text", "length", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc"),
        ("ab.d", 3, "ab."),
        ("eyJhbGci.a", 10, "[token]"),
        ("eyJhbGci", 8, "eyJhbGci"),
        ("x eyJhbGciOiJFUzI1NiJ9.e30.x", 12, "x [token]"),
        ("x eyJhbGciOiJFUzI1NiJ9.e30.x", 26, "x [token]"),
    ],
)
def test_what_a_cut_leaves_of_a_token_is_cut_out_too(text: str, length: int, shown: str) -> None:
    assert beginning(text, length) == shown


@pytest.mark.parametrize("before", [0, 100, 240, 250, 300])
def test_no_part_of_a_token_is_in_a_text_of_a_long_line(before: int) -> None:
    """Wherever the text is cut."""
    text = "x" * before + " " + "eyJhbGciOiJFUzI1NiJ9" * 200 + ".e30.c2lnbmF0dXJl"
    line = json_line({"ts": "t", "msg": "m", "tool": text})
    assert "OiJFUzI1NiJ9" not in line
    assert len(line) < 400


def test_libraries_that_report_every_fetch_are_quiet_unless_debugging(captured: Captured) -> None:
    httpx = logging.getLogger("httpx")
    httpx.info("HTTP Request: GET https://idp.example.com")
    httpx.warning("odd")
    set_level("debug")
    httpx.debug("details")
    assert [line["msg"] for line in captured.lines()] == ["odd", "details"]


def test_debugging_writes_down_no_metadata_of_calls(captured: Captured) -> None:
    """A proxy may say by a secret among it who it is."""
    set_level("debug")
    call = [(b"x-api-key", b"canary"), (b"authorization", b"Basic canary")]
    block = Encoder().encode(call)
    assert HeaderReader(list, max_bytes=1000).read(block) == call
    assert not captured.lines()


def test_the_level_holds_for_all_loggers(captured: Captured) -> None:
    log = logging.getLogger("extauthz.any")
    log.debug("no")
    log.info("yes")
    set_level("error")
    log.warning("no")
    log.error("yes")
    assert [line["msg"] for line in captured.lines()] == ["yes", "yes"]


def test_arguments_that_do_not_fit_the_text_lose_no_line(captured: Captured) -> None:
    logging.getLogger("extauthz").warning("one %d", "canary")
    assert [line["msg"] for line in captured.lines()] == ["one %d"]


def test_what_is_no_json_is_named_by_its_type(captured: Captured) -> None:
    logging.getLogger("extauthz").warning("odd", extra={"thing": object(), "data": b"canary"})
    (line,) = captured.lines()
    assert (line["thing"], line["data"]) == ("object", "bytes")


def test_text_lines_are_read_by_people() -> None:
    fields = {
        "ts": timestamp(0.0),
        "level": "warning",
        "msg": 'deny "quoted"\nsecond',
        "event": "decision",
        "scopes": ["a", "b c"],
        "duration_ms": 0.123,
        "detail": "two words",
    }
    assert text_line(fields) == (
        '1970-01-01T00:00:00.000Z WARNING deny "quoted"\\nsecond event=decision '
        'scopes="a b c" duration_ms=0.123 detail="two words"'
    )


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS.keys())
def test_a_line_is_bounded_and_one_line(form: Any) -> None:
    fields = {f"field{n}": "x\n" * 5000 for n in range(12)} | {"list": ["y" * 500] * 5000}
    line = form(fields)
    assert "\n" not in line
    assert len(line) < 20_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_795_000_000.9996, "2026-11-18T11:06:40.999Z"),
        (1_795_000_001.0, "2026-11-18T11:06:41.000Z"),
    ],
)
def test_times_are_utc_to_the_millisecond_and_never_rounded_up(seconds: float, text: str) -> None:
    assert timestamp(seconds) == text

"""The .env file: what is beyond doubt is read, all else is reported with its line."""

from __future__ import annotations

import pytest

from extauthz.config.dotenv import MAX_BYTES, parse_dotenv


def values(text: str) -> dict[str, str]:
    found = parse_dotenv(text.encode(), ".env")
    assert found.problems == []
    return {name: value for name, (value, _) in found.values.items()}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=b", "b"),
        ("A=", ""),
        ("A = b c ", "b c"),
        ("export A=b", "b"),
        ("A=b # comment", "b"),
        ("A=b#c", "b#c"),
        ("A='b # c'", "b # c"),
        ("A='b\\n'", "b\\n"),
        ('A="b\\n\\"c\\" \\$d"', 'b\n"c" $d'),
        ("A='one\ntwo'", "one\ntwo"),
        ("A=${B}", "${B}"),
        ("A=https://x/?a=b&c", "https://x/?a=b&c"),
        ("\ufeffA=b", "b"),
        ("A=b\r\n", "b"),
        ("# x\n\n  A=b", "b"),
        ("A=b\nA=b", "b"),
    ],
)
def test_values(text: str, value: str) -> None:
    assert values(text) == {"A": value}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("A=1\nnonsense", ".env:2:1: expected NAME=value or a # comment"),
        ("=x", ".env:1:1: expected NAME=value or a # comment"),
        ("A='x", ".env:1:3: A: the quote ' is never closed; expected another one"),
        ("A='x'y", ".env:1:6: A: text after the quotes; expected the end of the line"),
        ("A=1\nA=2", ".env:2:3: A: has another value in line 1; expected only one"),
    ],
)
def test_problems_name_file_and_line_and_never_the_value(text: str, problem: str) -> None:
    assert [str(one) for one in parse_dotenv(text.encode(), ".env").problems] == [problem]


def test_what_can_be_read_besides_a_bad_line_is_kept() -> None:
    found = parse_dotenv(b"A=1\nbad\nB=2", ".env")
    assert list(found.values) == ["A", "B"]


def test_bytes_that_are_no_text_are_reported() -> None:
    assert str(parse_dotenv(b"A=1\nB=\xff", ".env").problems[0]).startswith(".env:2:1: not UTF-8")


def test_a_huge_file_is_refused() -> None:
    assert len(parse_dotenv(b"#" * (MAX_BYTES + 1), ".env").problems) == 1
    assert parse_dotenv(b"#" * MAX_BYTES, ".env").problems == []

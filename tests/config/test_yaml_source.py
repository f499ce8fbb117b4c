"""YAML 1.2 core schema, with places, within bounds."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
import yaml

from extauthz.config.yaml_source import Document, parse_yaml
from extauthz.config.yaml_text import MAX_BYTES

LOADERS = [
    pytest.param(yaml.SafeLoader, id="python"),
    pytest.param(yaml.CSafeLoader, id="libyaml"),
]


BELL = "\\x07"
PRINTABLE = "expected printable text"


def parse(text: str | bytes, loader: Any = yaml.CSafeLoader) -> Document:
    data = text.encode() if isinstance(text, str) else text
    return parse_yaml(data, "f", loader=loader)


def problems(text: str | bytes) -> list[str]:
    return [str(problem) for problem in parse(text).problems]


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("null", None),
        ("~", None),
        ("", None),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("-3", -3),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("12:30:45", "12:30:45"),
        ("2026-07-28", "2026-07-28"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("1.2.3", "1.2.3"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("!!int 12", 12),
        ("!!float 1", 1),
        ("=", "="),
    ],
)
def test_scalars_mean_what_the_core_schema_says(loader: Any, text: str, value: object) -> None:
    document = parse(f"a: {text}", loader)
    assert document.problems == []
    assert document.root is not None
    found = document.root.plain()
    assert found == {"a": value}
    assert isinstance(found, dict)
    assert type(found["a"]) is type(value)


@pytest.mark.parametrize("loader", LOADERS)
def test_every_value_knows_its_place(loader: Any) -> None:
    document = parse("a: 1\nb:\n  - c: {d: [x, yy]}\n  -  e\n", loader)
    for loc, place in {
        ("a",): "f:1:4",
        ("b",): "f:2:1",
        ("b", 0, "c", "d", 1): "f:3:16",
        ("b", 1): "f:4:6",
        ("b", 0, "missing"): "f:3:5",
        ("b", 7): "f:2:1",
        ("nowhere", "at", "all"): "f:1:1",
    }.items():
        assert str(document.place(loc)) == place
    assert str(document.key_place(("b", 0, "c", "d"))) == "f:3:9"


def test_duplicate_keys_are_errors_and_the_first_is_kept() -> None:
    document = parse("a: 1\nb: {c: 1, c: 2}\na: 3")
    assert list(map(str, document.problems)) == [
        "f:2:11: b.c: duplicate key; it was given before at 2:5",
        "f:3:1: a: duplicate key; it was given before at 1:1",
    ]
    assert document.root is not None
    assert document.root.plain() == {"a": 1, "b": {"c": 1}}


def test_keys_that_only_look_equal_are_duplicates() -> None:
    assert "duplicate key" in problems("'a': 1\na: 2")[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "f:1:1: the file is empty; expected settings"),
        ("# nothing", "f:1:1: the file is empty; expected settings"),
        ("- a", "f:1:1: expected a mapping of settings that begins with: version: 1"),
        ("a: 1\n---\nb: 2", "f:2:1: a second document; expected one per file"),
        ("a:\n\tb: 1", "f:2:1: a tab; expected spaces, since YAML does not indent with tabs"),
        (
            "a: *x",
            ('f:1:4: a: alias *x is unknown; expected an anchor &x above, or text in quotes: "*x"'),
        ),
        ("a: {*x: b}", 'f:1:5: a: *x is an alias; expected text in quotes: "*x"'),
        ("a: &x [*x]", "f:1:8: alias *x stands inside the value it names"),
        ("1: a", "f:1:1: the key 1 is not text; expected it in quotes"),
        ("? [a]\n: b", "f:1:3: a key that is not plain text; expected a name"),
        ("a: !!set {}", 'f:1:4: a: tag "tag:yaml.org,2002:set" is not supported; expected no tag'),
        ("a: !x [b]", 'f:1:4: a: tag "!x" is not supported; expected no tag'),
        ("a: !!int b", 'f:1:4: a: "b" does not fit its tag !!int'),
        ("a: " + "9" * 5000, "f:1:4: a: a number of absurd length; expected fewer digits"),
        ("a: 1\nb: \x07", f'f:2:4: character "{BELL}" is not allowed in YAML; {PRINTABLE}'),
        (b"a: \xff", "f:1:4: not UTF-8; expected a text file in UTF-8"),
        (b"a: 1\rb: 2\r\nc: \xff", "f:3:4: not UTF-8; expected a text file in UTF-8"),
        ("a: " + "[" * 50, "f:1:36: nested too deeply; expected at most 32 levels"),
        ("? " * 50, "f:1:67: nested too deeply; expected at most 32 levels"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str | bytes, problem: str) -> None:
    assert problems(text) == [problem]


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: b: c", "f:1:5: a second colon with a blank after it; expected quotes"),
        ("a: 1\n b: 2", "f:2:3: a key that is indented deeper than those beside it; expected"),
        ("a:\n  - b: 1\n     c: 2", "f:3:7: a key that is indented deeper"),
        ("a:1\n\nb: 2", "f:3:2: a key after a line without a blank after its colon; expected one"),
        (
            "a:\n  - b:c\n    d: 2",
            "f:3:6: a key after a line without a blank after its colon; expected one after b:",
        ),
        ("a: 1\nb:c\n", "f:3:1: no blank after the colon in line 2; expected one after b:"),
        ("a: 1\nb c\n", "f:3:1: YAML syntax: could not find expected ':'"),
        ("a:\n  - b: 1\n   c: 2", "f:3:4: an indentation that does not fit what begins in line 2"),
        ("a:\n  b: 1\n c: 2", "f:3:2: an indentation that does not fit what begins in line 1"),
        ('a: 1\nb: "c\nd: 1\n', "f:2:4: a quote that is never closed; expected another one"),
        ("a: 1\nb: 'c\n", "f:2:4: a quote that is never closed; expected another one"),
        ("a: @b", 'f:1:4: a text cannot begin with "@"; expected quotes'),
        ("a: [b\nc: d", "f:2:2: a list or a map in brackets that begins in line 1 does not go"),
        ('a: "b" c', "f:1:8: YAML syntax: "),
    ],
)
def test_what_people_get_wrong_about_yaml_is_said_in_their_words(
    loader: Any, text: str, problem: str
) -> None:
    (found,) = map(str, parse(text, loader).problems)
    assert found.startswith(problem)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    "text", ["a: [", "a: {b", r'a: "\q"', "}", 'a: "b" c', "a: [b c]]", "a: !!", "&a &b c"]
)
def test_what_was_expected_is_always_said(loader: Any, text: str) -> None:
    (found,) = map(str, parse(text, loader).problems)
    assert re.match(r"f:\d+:\d+: .*expected ", found)


@pytest.mark.parametrize(("text", "line"), [("a: [b\nc: d", 1), ("a: 1\nb: [b\nc: d", 2)])
def test_where_what_is_broken_begins_is_said(text: str, line: int) -> None:
    (found,) = problems(text)
    assert f" that begins in line {line} " in found


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    ("text", "place", "meant"),
    [
        ("a: {*: allow}", "f:1:5", "*"),
        ("a: 1\nb:\n  *: allow", "f:3:3", "*"),
        ("a: [*]", "f:1:5", "*"),
        ("a: *", "f:1:4", "*"),
        ("a: [*.example.com, b]", "f:1:5", "*.example.com"),
    ],
)
def test_a_star_without_quotes_is_shown_with_them(
    loader: Any, text: str, place: str, meant: str
) -> None:
    what = "a star without quotes begins an alias; expected quotes around it"
    assert list(map(str, parse(text, loader).problems)) == [f'{place}: {what}: "{meant}"']


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("code", ["0085", "2028", "2029"])
def test_what_only_yaml_1_1_takes_for_a_line_break_stands_in_double_quotes_or_nowhere(
    loader: Any, code: str
) -> None:
    """Else the rest of a comment could be live settings (YAML 1.2.2 section 5.4)."""
    character = chr(int(code, 16))
    found = parse(f"a: 1 # hi\nb: 2 # hi{character}c: 3", loader)
    (problem,) = map(str, found.problems)
    assert problem.startswith(f"f:2:10: character U+{code} ends a line for some programs")
    assert problem.endswith(f'expected a plain line break, or "\\u{code}" inside double quotes')
    assert found.root is None
    escaped = parse(f'a: "x\\u{code}y"', loader)
    assert escaped.root is not None
    assert escaped.root.plain() == {"a": f"x{character}y"}


def test_a_byte_order_mark_is_passed_over() -> None:
    assert problems(b"\xef\xbb\xbfa: 1") == []


def test_an_alias_repeats_its_value() -> None:
    document = parse("a: &x {b: [1]}\nc: *x")
    assert document.root is not None
    assert document.root.plain() == {"a": {"b": (1,)}, "c": {"b": (1,)}}


def test_aliases_cannot_blow_a_small_file_up() -> None:
    names = "abcdefghi"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{n}: &{n} [{', '.join(['*' + p] * 10)}]" for p, n in pairwise(names)]
    assert "too many values, aliases included" in problems("\n".join(lines))[0]


def test_aliases_cannot_nest_deeper_than_the_limit() -> None:
    lines = ["a0: &a0 x"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 60)]
    assert "nested too deeply" in problems("\n".join(lines))[0]


def test_a_file_may_be_as_large_as_the_limit_and_no_larger() -> None:
    text = "a: 1 #"
    assert problems(text + "x" * (MAX_BYTES - len(text))) == []
    assert problems(text + "x" * (MAX_BYTES - len(text) + 1)) == [
        "f: the file is too large; expected at most 4 MiB"
    ]

"""JSON that two readers could read differently is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.core import strict_json
from extauthz.core.strict_json import MAX_DEPTH, NotStrictJson


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"{}", {}), (b'{"a":1}', {"a": 1}), (b' {"a":1}\n', {"a": 1}), (b"[]", []), (b"1", 1),
        (b'"x"', "x"), (b"null", None), (b"true", True), (b'{"a":[{}]}', {"a": [{}]}),
        (b'"\\ud83d\\ude00"', "\U0001f600"), (b'{"\\u0061":1}', {"a": 1}), (b"-0.5e3", -500.0),
        ('"é"'.encode(), "é"), (b"9" * 400, int("9" * 400)), (b"1e308", 1e308), (b"-0", 0),
    ],
)  # fmt: skip
def test_one_document_has_one_meaning(text, value):
    assert strict_json.parse(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"", b" ", b"{", b"}", b"{}{}", b"{} {}", b"{},", b'{"a":1,}', b"{a:1}", b"{'a':1}",
        b'{"a":}', b'{"a":x}', b'{"a":1]', b'{"a"', b"[1,]", b"NaN", b"Infinity", b"-Infinity",
        b'{"a":NaN}', b"1e309", b"-1e309", b'{"a":1e400}', b"9" * 401, b"-" + b"9" * 400,
        b'{"a":1,"a":1}', b'{"a":1,"\\u0061":2}', b'[{"b":{"a":1,"a":2}}]', b'"\\ud800"',
        b'{"\\ud800":1}', b'["\\udc00\\ud800"]', b"\xff", b'"\xc0\xaf"', b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"), "{}".encode("utf-32-le"), b"\x00{}", b"{}\x00", b'"\n"', b'"\\x"',
        b"01", b"1.", b".5", b"+1", b"0x1", b"undefined", b"/**/{}", b"{}//", b"\x0c{}",
    ],
)  # fmt: skip
def test_anything_else_is_refused_without_being_repeated(text):
    with pytest.raises(NotStrictJson) as caught:
        strict_json.parse(text)
    assert len(str(caught.value)) < 60


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_nesting_ends_at_its_bound(opening, closing):
    levels = opening.count("[") + opening.count("{")
    fits = MAX_DEPTH // levels
    strict_json.parse((opening * fits + "1" + closing * fits).encode())
    with pytest.raises(NotStrictJson, match="nested"):
        strict_json.parse((opening * (fits + 1) + "1" + closing * (fits + 1)).encode())


@pytest.mark.parametrize("before", [0, 4_000, 5_000, 100_000])
def test_nesting_is_counted_wherever_it_stands_in_a_long_document(before):
    start, end = b'{"text":"' + b"x" * before + b'","deep":', b"}"
    fits = b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
    padding = b" " * 5_000
    strict_json.parse(start + fits + end + padding)
    with pytest.raises(NotStrictJson, match="nested"):
        strict_json.parse(start + b"[" + fits + b"]" + end + padding)


def test_what_lies_side_by_side_is_not_nested():
    assert strict_json.parse(b"[" + b",".join([b"[[],{}]"] * 500) + b"]") == [[[], {}]] * 500
    long = b"[" + b",".join([b"[]"] * 3000) + b"]"
    assert strict_json.parse(long) == [[]] * 3000
    inner = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    value = strict_json.parse(f"[{inner},{inner},[]]".encode())
    assert isinstance(value, list)
    assert len(value) == 3


@pytest.mark.parametrize(
    "text", ['"' + "[" * 500 + '"', '["\\"' + "{" * 500 + '"]', '"\\\\' + "[" * 99 + '"']
)
def test_brackets_in_text_are_no_nesting(text):
    strict_json.parse(text.encode())


@pytest.mark.parametrize("text", ['["' * 65, "]" * 500, "[[]," + "[" * (MAX_DEPTH - 1)])
def test_brackets_that_are_never_closed_are_refused(text):
    with pytest.raises(NotStrictJson, match="not one"):
        strict_json.parse(text.encode())


@pytest.mark.parametrize("text", ["[" * 65, "[" * 65 + '"', "[" * 65 + '"\\', "[" * 129 + "]" * 64])
def test_too_many_levels_are_refused_as_such_though_they_are_never_closed(text):
    with pytest.raises(NotStrictJson, match="nested"):
        strict_json.parse(text.encode())


def test_a_byte_order_mark_is_called_one():
    with pytest.raises(NotStrictJson, match="byte order mark"):
        strict_json.parse(b"\xef\xbb\xbf{}")


_NAMES = st.sampled_from(["a", "b", "a:", 'a":', '"a":', " a", "a\n", "é"])
_VALUES = st.recursive(
    st.sampled_from([None, True, 0, -1.5, "", "x", '":', '" :', '{"a":1}']),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(_NAMES, inner), max_size=4),
    max_leaves=12,
)
_BLANKS = st.sampled_from(["", "", "", " ", "\n", "\t\r"])


@st.composite
def _documents(draw: st.DrawFn) -> tuple[str, bool]:
    """A document, and whether a member occurs twice in one of its objects."""
    twice = False

    def written(value: object) -> str:
        nonlocal twice
        blank, other = draw(_BLANKS), draw(_BLANKS)
        if not isinstance(value, list):
            return json.dumps(value)
        if value and isinstance(value[0], tuple):
            pairs = [pair for pair in value if isinstance(pair, tuple)]
            twice |= len({name for name, _ in pairs}) < len(pairs)
            escaped = draw(st.booleans())
            members = [
                f"{json.dumps(name, ensure_ascii=escaped)}{blank}:{other}{written(inner)}"
                for name, inner in pairs
            ]
            return "{" + ",".join(members) + blank + "}"
        return "[" + f",{blank}".join(map(written, value)) + "]"

    text = written(draw(_VALUES))
    return text, twice


@given(_documents())
def test_a_member_that_occurs_twice_is_found_wherever_and_however_it_is_written(document):
    text, twice = document
    if twice:
        with pytest.raises(NotStrictJson, match="twice"):
            strict_json.parse(text.encode())
    else:
        assert strict_json.parse(text.encode()) == json.loads(text)

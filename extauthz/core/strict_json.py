"""JSON as two parties must agree on it: one document, one meaning (RFC 8259, RFC 7493)."""

from __future__ import annotations

import json
import re
from itertools import accumulate

MAX_DEPTH = 64

_GLANCE = 4096


class NotStrictJson(ValueError):
    """The bytes are not one unambiguous JSON document. The message repeats none of them."""


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotStrictJson("a member name occurs twice")
    return members


def _no_constant(_: str) -> object:
    raise NotStrictJson("NaN and Infinity are not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise NotStrictJson("a number is out of range")
    return number


def _bounded_integer(text: str) -> int:
    if len(text) > 400:
        raise NotStrictJson("a number is out of range")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_no_duplicates,
    parse_constant=_no_constant,
    parse_float=_finite,
    parse_int=_bounded_integer,
)


def parse(data: bytes) -> object:
    """Parse one JSON document.

    Raises NotStrictJson for anything that readers take differently: other encodings than
    UTF-8, a byte order mark, duplicate members, NaN, numbers out of range, lone
    surrogates, nesting deeper than MAX_DEPTH, or anything after the document.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise NotStrictJson("not UTF-8") from None
    if text.startswith("\ufeff"):
        raise NotStrictJson("a byte order mark is not allowed")
    # Brackets without end mostly come first, and then the rest need not be looked at.
    if (len(data) > _GLANCE and _is_deep(data[:_GLANCE])) or _is_deep(data):
        raise NotStrictJson(f"nested deeper than {MAX_DEPTH}")
    try:
        value = _decoded(text)
    except NotStrictJson:
        raise
    except (ValueError, RecursionError):
        raise NotStrictJson("not one JSON document") from None
    if "\\u" in text and not _encodable(value):
        raise NotStrictJson("a lone surrogate is not a character")
    return value


def _decoded(text: str) -> object:
    value, end = None, -1
    if text[:1] == "{":
        value, end = _DECODER.raw_decode(text)
    # With blanks around it, or not a document at all.
    return value if end == len(text) else _DECODER.decode(text)


# Possessive, and an open string runs to the end: time stays linear in the length, whatever the
# text. No octet of a character beyond ASCII is a quote, a backslash or a bracket.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _is_deep(data: bytes) -> bool:
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        return False
    # Which closes which is the decoder's business; here only the levels count: a step up or down
    # for each bracket, as signed octets.
    steps = _STRING.sub(b"", data).translate(_STEPS, _NO_BRACKETS)
    # Most brackets are of the innermost level, which is quickly taken away.
    return _exceeds(MAX_DEPTH - 1, steps.replace(b"\x01\xff", b"")) and _exceeds(MAX_DEPTH, steps)


def _exceeds(levels: int, steps: bytes) -> bool:
    return any(map(levels.__lt__, accumulate(memoryview(steps).cast("b"))))


def _encodable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True

"""JSON as two parties must agree on it: one document, one meaning (RFC 8259, RFC 7493)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

_Read = TypeVar("_Read")

MAX_DEPTH = 64
MAX_FORGIVEN_DEPTH = 512

_GLANCE = 4096
_LONGEST_INTEGER = 400
_TWICE = "a member name occurs twice"
_CONSTANT = "NaN and Infinity are not JSON"
_OUT_OF_RANGE = "a number is out of range"
_SURROGATE = "a lone surrogate is not a character"


class NotStrictJson(ValueError):
    """The bytes are not one unambiguous JSON document. The message repeats none of them."""


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotStrictJson(_TWICE)
    return members


def _no_constant(_: str) -> object:
    raise NotStrictJson(_CONSTANT)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise NotStrictJson(_OUT_OF_RANGE)
    return number


def _bounded_integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise NotStrictJson(_OUT_OF_RANGE)
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
    value = _read(data, MAX_DEPTH, _DECODER)
    # One octet is found several times faster than two.
    if b"\\" in data and b"\\u" in data and not _encodable(value):
        raise NotStrictJson(_SURROGATE)
    return value


@dataclass(frozen=True, slots=True)
class Fault:
    """Stands where a value was that is not strict JSON, and says why it is not."""

    reason: str


_FORGIVING = json.JSONDecoder(
    object_pairs_hook=lambda pairs: _replaced(_no_duplicates, pairs),
    parse_constant=lambda _: Fault(_CONSTANT),
    parse_float=lambda text: _replaced(_finite, text),
    parse_int=lambda text: _replaced(_bounded_integer, text),
)


def _replaced(read: Callable[[_Read], object], what: _Read) -> object:
    try:
        return read(what)
    except NotStrictJson as fault:
        return Fault(str(fault))


def parse_forgivingly(data: bytes) -> object:
    """Parse one JSON document whose parts are to be judged one by one, with ``fault_in``.

    Raises NotStrictJson for what no reader takes for one JSON document in UTF-8, and for
    nesting deeper than MAX_FORGIVEN_DEPTH.
    """
    return _read(data, MAX_FORGIVEN_DEPTH, _FORGIVING)


def fault_in(value: object, levels: int = MAX_DEPTH) -> str | None:
    """Why ``parse`` would not take this part of a document, None when it would.

    ``levels`` is how deep it may be nested.
    """
    waiting = [(value, levels)]
    while waiting:
        part, left = waiting.pop()
        if isinstance(part, Fault):
            return part.reason
        if isinstance(part, str) and not _encodable(part):
            return _SURROGATE
        if isinstance(part, dict | list):
            if left == 0:
                return f"nested deeper than {MAX_DEPTH}"
            waiting += [(inner, left - 1) for inner in part]
            if isinstance(part, dict):
                waiting += [(inner, left - 1) for inner in part.values()]
    return None


def _read(data: bytes, levels: int, decoder: json.JSONDecoder) -> object:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise NotStrictJson("not UTF-8") from None
    is_object = text[:1] == "{"
    if not is_object and text.startswith("\ufeff"):
        raise NotStrictJson("a byte order mark is not allowed")
    if _has_more_brackets(data, levels) and _is_deep(data, levels):
        raise NotStrictJson(f"nested deeper than {levels}")
    value, end = None, -1
    try:
        if is_object:
            value, end = decoder.raw_decode(text)
        # With blanks around it, or not a document at all.
        return value if end == len(text) else decoder.decode(text)
    except NotStrictJson:
        raise
    except (ValueError, RecursionError):
        raise NotStrictJson("not one JSON document") from None


# Possessive, and an open string runs to the end: time stays linear in the length, whatever the
# text. No octet of a character beyond ASCII is a quote, a backslash or a bracket.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _has_more_brackets(data: bytes, levels: int) -> bool:
    # Octets are found several times faster than counted, and there are few.
    for bracket in (b"{", b"["):
        at = data.find(bracket)
        while at >= 0:
            if levels == 0:
                return True
            levels -= 1
            at = data.find(bracket, at + 1)
    return False


def _is_deep(data: bytes, levels: int) -> bool:
    # Brackets without end mostly come first, and then the rest need not be looked at.
    return (len(data) > _GLANCE and _goes_deep(data[:_GLANCE], levels)) or _goes_deep(data, levels)


def _goes_deep(data: bytes, levels: int) -> bool:
    # Which closes which is the decoder's business; here only the levels count: a step up or down
    # for each bracket, as signed octets.
    steps = _STRING.sub(b"", data).translate(_STEPS, _NO_BRACKETS)
    # Most brackets are of the innermost level, which is quickly taken away.
    return _exceeds(levels - 1, steps.replace(b"\x01\xff", b"")) and _exceeds(levels, steps)


def _exceeds(levels: int, steps: bytes) -> bool:
    return any(map(levels.__lt__, accumulate(memoryview(steps).cast("b"))))


def _encodable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True

r"""The ``.env`` file: ``NAME=value`` lines, as far as their meaning is beyond doubt.

A value is bare up to a blank and ``#``, or in single quotes (as it is), or in double
quotes (``\n``, ``\t``, ``\"``, ``\\``, ``\$`` are read). Quoted values may span lines.
``export`` before the name is passed over. ``${NAME}`` stays as it is.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

from .problems import Place, Problem

MAX_BYTES: Final = 1024 * 1024

_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|$)")
_NAME = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r"[^\n]*?(?=[ \t]+#|[ \t]*(?:\n|$))")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(slots=True)
class DotEnv:
    """What a ``.env`` file says: values by name with their places, and its mistakes."""

    values: dict[str, tuple[str, Place]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def parse_dotenv(data: bytes, name: str) -> DotEnv:
    """Parse the bytes of a ``.env`` file called ``name``. Never raises."""
    found = DotEnv()
    if len(data) > MAX_BYTES:
        what = "the file is too large; expected at most 1 MiB"
        found.problems.append(Problem(Place(name), "", what))
        return found
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        place = Place(name, data.count(b"\n", 0, error.start) + 1, 1)
        found.problems.append(Problem(place, "", "not UTF-8; expected a text file in UTF-8"))
        return found
    _Reader(text, name, found).read()
    return found


class _Reader:
    def __init__(self, text: str, source: str, found: DotEnv) -> None:
        self._text = text
        self._source = source
        self._found = found
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def read(self) -> None:
        at = 0
        while at < len(self._text):
            blank = _BLANK.match(self._text, at)
            at = self._entry(at) if blank is None else max(blank.end(), at + 1)

    def _entry(self, at: int) -> int:
        """Read one entry and return where the next line begins."""
        text = self._text
        named = _NAME.match(text, at)
        if named is None:
            return self._fault(at, "", "expected NAME=value or a # comment")
        key, begin = named[1], named.end()
        opening = text[begin : begin + 1]
        if opening in ("'", '"'):
            inside = (_SINGLE if opening == "'" else _DOUBLE).match(text, begin)
            if inside is None:
                what = f"the quote {opening} is never closed; expected another one"
                return self._fault(begin, key, what)
            value, end = inside[1], inside.end()
            if opening == '"':
                value = _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), value)
        else:
            bare = _BARE.match(text, begin)
            value, end = (bare[0], bare.end()) if bare else ("", begin)
        rest = _BLANK.match(text, end)
        if rest is None:
            return self._fault(end, key, "text after the quotes; expected the end of the line")
        before = self._found.values.setdefault(key, (value, self._place(begin)))
        if before[0] != value:
            what = f"has another value in line {before[1].line}; expected only one"
            self._fault(begin, key, what)
        return max(rest.end(), end + 1)

    def _fault(self, at: int, key: str, what: str) -> int:
        self._found.problems.append(Problem(self._place(at), key, what))
        newline = self._text.find("\n", at)
        return len(self._text) if newline < 0 else newline + 1

    def _place(self, at: int) -> Place:
        line = bisect_right(self._lines, at)
        return Place(self._source, line, at - self._lines[line - 1] + 1)

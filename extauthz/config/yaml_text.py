"""The bytes of a file to text, where YAML 1.2 allows every character of it."""

from __future__ import annotations

import re
from typing import Final

from .problems import Place, Problem, quoted

MAX_BYTES: Final = 4 * 1024 * 1024

# What YAML 1.2 section 5.1 does not let a stream hold. Said as what is allowed, the same set
# takes ten times as long to compile.
_UNPRINTABLE = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff"
# Line breaks for YAML 1.1, and so for PyYAML, but not for YAML 1.2 (section 5.4): what an editor
# shows as the rest of a comment would be read as settings.
_BREAKS = "\x85\u2028\u2029"
_BAD = re.compile(f"[{_UNPRINTABLE}{_BREAKS}]")
_LINE_END = re.compile(r"\r\n?|\n")


def read_text(data: bytes, name: str) -> str | Problem:
    """The text of a file called ``name``, or why there is none, with its place."""
    if len(data) > MAX_BYTES:
        return Problem(Place(name), "", "the file is too large; expected at most 4 MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        what = "not UTF-8; expected a text file in UTF-8"
        return Problem(_place_after(before, name), "", what)
    bad = _BAD.search(text)
    if bad is None:
        return text
    if bad[0] in _BREAKS:
        code = f"{ord(bad[0]):04X}"
        what = f"character U+{code} ends a line for some programs and not for others; expected a "
        what += f'plain line break, or "\\u{code.lower()}" inside double quotes'
    else:
        what = f"character {quoted(bad[0])} is not allowed in YAML; expected printable text"
    return Problem(_place_after(text[: bad.start()], name), "", what)


def _place_after(before: str, name: str) -> Place:
    line, begin = 1, 0
    for end in _LINE_END.finditer(before):
        line, begin = line + 1, end.end()
    return Place(name, line, len(before) - begin + 1)

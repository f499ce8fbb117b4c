"""What is there already, compared with what would be written: lines of a diff for a person."""

from __future__ import annotations

import re
from difflib import unified_diff
from itertools import islice
from typing import Final

MOST_LINES: Final = 200
"""Lines of a diff that are shown."""

_LONGEST: Final = 400
_FIRST_LINE: Final = re.compile(r"# Written by `(extauthz generate [a-z -]{1,60})`")
_NO_NEWLINE: Final = "\\ No newline at end of file"


def difference(name: str, found: bytes, wanted: str) -> list[str]:
    """A unified diff from ``found`` to ``wanted``; empty where they are equal to the byte.

    Lines have no ends and no control characters, and are ``MOST_LINES`` and one at most.
    """
    if found == wanted.encode():
        return []
    now = _lines(_text(found))
    lines = unified_diff(now, _lines(wanted), name, f"{name} (to be written)", lineterm="")
    shown = [_shown(line) for line in islice(lines, MOST_LINES)]
    more = sum(1 for _ in lines)
    return [*shown, f"… and {more} more"] if more else shown


def written_by(text: str | bytes) -> str | None:
    """The command that a main file says it was written by; None where it says nothing."""
    begin = text[:100] if isinstance(text, str) else _text(text[:100])
    found = _FIRST_LINE.match(begin)
    return found[1] if found else None


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")


def _lines(text: str) -> list[str]:
    # Not splitlines(), which takes more for the end of a line than a proxy does.
    lines = text.split("\n")
    if lines[-1]:
        lines[-1] += f"\n{_NO_NEWLINE}"
    else:
        del lines[-1]
    return lines


def _shown(line: str) -> str:
    """A line that does nothing to a terminal, whatever somebody wrote into the file."""
    body, newline, mark = line.partition("\n")
    if len(body) > _LONGEST:
        body = f"{body[:_LONGEST]}…"
    body = "".join(
        char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in body
    )
    return body + newline + mark

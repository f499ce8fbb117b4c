"""The words of an HTTP question: its head, as octets that are the same when it recurs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .recurring import FLEETING, MOST_FLEETING

_END: Final = b"\r\n"
_END_OF_HEAD: Final = b"\r\n\r\n"
_PLAIN: Final = re.compile(rb"[ -~]*")


class HeadWords:
    """Finds the words of heads: no values of fleeting headers, once one was noticed."""

    def __init__(self) -> None:
        self._marks: dict[bytes, str] = {}

    def of(self, raw: bytes) -> bytes:
        """What a decision about the question with this head may depend on."""
        for mark in self._marks:
            at = raw.find(mark)
            if at > 0:
                at += len(mark)
                end = raw.find(_END, at)
                if _PLAIN.fullmatch(raw, at, end):
                    raw = raw[:at] + raw[end:]
        return raw

    def notice(self, raw: bytes, names: Iterable[str]) -> bool:
        """Leave out the values of fleeting headers in this head; whether there is a new one.

        ``names`` are those of its headers, in lower case.
        """
        for name in sorted(FLEETING.intersection(names)):
            for usual in (name, name.title()):
                mark = f"\r\n{usual}: ".encode()
                if mark not in self._marks and mark in raw and len(self._marks) < MOST_FLEETING:
                    self._marks[mark] = name
                    return True
        return False

    def fleeting(self, raw: bytes) -> dict[str, str]:
        """The values that were left out."""
        found = {}
        for mark, name in self._marks.items():
            at = raw.find(mark) + len(mark)
            if at >= len(mark):
                value = raw[at : raw.find(_END, at)]
                found[name] = value.decode("latin-1").strip(" \t")
        return found


def is_one_head(raw: bytes) -> bool:
    """Whether these octets, of which a request without a body was read, are it and no other."""
    return (
        raw.endswith(_END_OF_HEAD)
        and raw.find(_END_OF_HEAD) == len(raw) - len(_END_OF_HEAD)
        and raw.count(b"\n") == raw.count(_END)
    )

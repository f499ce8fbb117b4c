"""The words of an HTTP question: its head, as octets that are the same when it recurs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .recurring import FLEETING, MOST_FLEETING, LeftOut

_END: Final = b"\r\n"
_END_OF_HEAD: Final = b"\r\n\r\n"
_PLAIN: Final = re.compile(rb"[ -~]*")
_OF_ENVOY: Final = b" /auth/envoy/"


class HeadWords:
    """Finds the words of heads, as ``Recurring`` wants it."""

    def __init__(self) -> None:
        self._marks: dict[bytes, str] = {}

    def of(self, question: bytes) -> tuple[bytes, LeftOut]:
        """As Words says."""
        raw, left_out = question, []
        for mark, name in self._marks.items():
            at = raw.find(mark)
            if at > 0:
                at += len(mark)
                end = raw.find(_END, at)
                if _PLAIN.fullmatch(raw, at, end):
                    left_out.append((name, raw[at:end]))
                    raw = raw[:at] + raw[end:]
        # Envoy writes the lines in another order each time. None that is told twice is remembered.
        first, _, rest = raw.partition(_END)
        if _OF_ENVOY in first and rest.endswith(_END_OF_HEAD):
            raw = _END.join((first, *sorted(rest.removesuffix(_END_OF_HEAD).split(_END))))
        return raw, left_out

    def notice(self, question: bytes, names: Iterable[str]) -> bool:
        """As Words says."""
        for name in sorted(FLEETING.intersection(names)):
            for usual in (name, name.title()):
                mark = f"\r\n{usual}: ".encode()
                if (
                    mark not in self._marks
                    and mark in question
                    and len(self._marks) < MOST_FLEETING
                ):
                    self._marks[mark] = name
                    return True
        return False

    def are_clear(self, question: bytes) -> bool:
        """As Words says, where a request without a body was read: whether that is all there is."""
        return (
            question.endswith(_END_OF_HEAD)
            and question.find(_END_OF_HEAD) == len(question) - len(_END_OF_HEAD)
            and question.count(b"\n") == question.count(_END)
        )

"""The words of a check: what its answer depends on, as octets that are the same when it recurs.

No two CheckRequests are the same, for they tell the time and who is connected. What a decision
reads of two may well be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from extauthz._pb.check_outline_pb2 import CheckOutline
from extauthz._pb.external_auth_pb2 import CheckRequest

from .recurring import FLEETING, MOST_FLEETING, LeftOut

# How long the content is matters where there is some, and then nothing is remembered.
_FLEETING: Final = FLEETING | {"content-length"}
_LONG: Final = 0x80
_NEWLINE: Final = b"\n"
# No words begin so.
_UNKNOWN: Final = b"?"
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")


class CheckWords:
    """Finds the words of checks, as ``Recurring`` wants it."""

    def __init__(self) -> None:
        self._marks: dict[str, bytes] = {}

    def of(self, question: bytes) -> tuple[bytes, LeftOut]:
        """As Words says. Raises DecodeError where it is no CheckRequest."""
        outline = CheckOutline.FromString(question)
        outline.DiscardUnknownFields()
        words, left_out = outline.SerializeToString(), []
        for name, mark in self._marks.items():
            at = words.find(mark, 0, -1)
            if at > 0:
                at += len(mark)
                length = words[at]
                if length < _LONG:
                    end = at + 1 + length
                    value = words[at + 1 : end]
                    if _NEWLINE in value:
                        # In it another header line might seem to begin: no check that is known.
                        return _UNKNOWN + question, ()
                    left_out.append((name, value))
                    words = words[: at + 1] + words[end:]
        return words, left_out

    def notice(self, question: bytes, names: Iterable[str]) -> bool:  # noqa: ARG002
        """As Words says."""
        new = _FLEETING.intersection(names).difference(self._marks)
        for name in sorted(new)[: MOST_FLEETING - len(self._marks)]:
            # A header line's first field, its name, and the second, its raw value, of which the
            # length follows.
            self._marks[name] = b"\x0a" + bytes([len(name)]) + name.encode() + b"\x1a"
            return True
        return False

    def are_clear(self, question: bytes) -> bool:
        """As Words says.

        In texts without control characters nothing looks like the head of a header line, and
        elsewhere nothing may. Of what is left out nothing may be told a second time, be it in
        the other form or in the same line.
        """
        check = CheckRequest.FromString(question)
        check.DiscardUnknownFields()
        http = check.attributes.request.http
        said = CheckOutline.FromString(question).attributes
        if http.headers and http.header_map.headers:
            return False
        if http.header_map.SerializeToString() != b"".join(said.request.http.header_map):
            return False
        texts = [http.method, http.path, http.host, *http.headers, *http.headers.values()]
        for line in http.header_map.headers:
            texts += (line.key, line.value)
            if _CONTROL.search(line.raw_value):
                return False
        if _CONTROL.search("".join(texts).encode()):
            return False
        entries = said.request.http.headers
        others = b"".join((*entries, *said.context_extensions, *said.metadata_context))
        return not any(mark in others for mark in self._marks.values())

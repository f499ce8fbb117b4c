"""The lines of requests that come again: one text, with gaps for what differs each time."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from extauthz.core.model import Decision, Recurrence

from .decision_log import (
    DecisionLine,
    DecisionLog,
    Occasion,
    fields_differing,
    line_of,
    request_id_of,
)
from .formats import MAX_LINE, Fields, Format, is_whole, without_tokens
from .log_pipe import ReadyLine
from .trace_context import traceparent_of

# Stand in the gaps while a text is made. Every format writes them as they are, as it does what
# is plain.
_MARKS: Final[dict[str, object]] = {
    "ts": "@ts@",
    "request_id": "@request_id@",
    "trace_id": "@trace_id@",
    "duration_ms": 9007199254740991,
}
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:/+@-]+")
_ROOM: Final = 256


class RecurringLines:
    """Writes the lines of requests that came before, and were allowed, into the pipe of ``log``."""

    def __init__(self, log: DecisionLog) -> None:
        self._log = log

    def put(self, recurrence: Recurrence, decision: Decision, occasion: Occasion) -> None:
        """Queue the line of one decision that is wanted: the same as ``log`` would."""
        first, style, pipe = recurrence.precedent.line, self._log.style, self._log.pipe
        if isinstance(first, _First) and first.line.style is style:
            links = request_id_of(recurrence), traceparent_of(recurrence)
            pipe.put(_LineAgain(first, occasion, *links))
        else:
            line = line_of(recurrence.request(), decision, occasion, "info", style)
            recurrence.precedent.line = _First(line.asked_by(None, None))
            pipe.put(line)


class _First:
    """A line that others are like, and the last text that the writing thread made of it."""

    __slots__ = ("_made_for", "_text", "line")

    def __init__(self, line: DecisionLine) -> None:
        self.line = line
        self._made_for: tuple[object, ...] = ()
        self._text = ""

    def text(self, form: Format, gaps: tuple[str, ...], fields: Callable[[], Fields]) -> str:
        """What ``form`` makes of such fields, with ``%s`` for those named; empty: it cannot."""
        if self._made_for != (form, gaps):
            marks = {name: _MARKS[name] for name in gaps}
            self._text = _with_gaps(form({**fields(), **marks}), marks)
            self._made_for = form, gaps
        return self._text


def _with_gaps(text: str, marks: Fields) -> str:
    # With longer values it might be cut, and so it might where something else was taken out.
    if len(text) > MAX_LINE - _ROOM or not is_whole(text):
        return ""
    text = text.replace("%", "%%")
    for mark in map(str, marks.values()):
        if text.count(mark) != 1:
            return ""
        text = text.replace(mark, "%s")
    return text


class _LineAgain(ReadyLine):
    """A line that is like the first but for when, how long, and the names of request and trace."""

    __slots__ = ("_first", "_links", "_occasion")

    def __init__(
        self, first: _First, occasion: Occasion, request_id: str | None, traceparent: str | None
    ) -> None:
        self._first = first
        self._occasion = occasion
        self._links = request_id, traceparent

    def fields(self) -> Fields:
        """As of any line."""
        line = self._first.line.asked_by(*self._links)
        return line._replace(occasion=self._occasion).fields()

    def text(self, form: Format) -> str:
        """What ``form`` makes of the fields."""
        differing = fields_differing(self._occasion, *self._links)
        # Any format may write other names of requests otherwise. The rest is plain.
        name = str(differing.get("request_id", "-"))
        if _PLAIN.fullmatch(name) and without_tokens(name) == name:
            text = self._first.text(form, tuple(differing), self.fields)
            if text:
                return text % tuple(differing.values())
        return form(self.fields())

"""One log line from named fields: JSON for machines, text for a terminal.

Whatever a line is made of, it is one line, and what looks like a JWT is taken out of it:
a safety net below the rule that no token gets here in the first place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Final, TypeVar

Fields = Mapping[str, object]
Format = Callable[[Fields], str]

MAX_LINE: Final = 4096
"""Characters of a line. In a longer one every text is cut to MAX_TEXT and ends in ``…``,
and a further field ``cut`` says so."""

MAX_TEXT: Final = 256

LOOKED_AT: Final = 4095
"""Characters of a text of which MAX_TEXT are shown. More than that, as it may begin with tokens."""

_encode = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=True, default=lambda value: type(value).__name__
).encode
# How a JSON object begins in base64url: a brace and a quote, or white space between them. Looked
# for only in a run of such characters that a dot follows, and from its start alone: whatever the
# text, none of it is read again for each place where a token could begin.
_JWT = re.compile(
    r"(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]++\.)([A-Za-z0-9_-]*?)"
    r"(?:eyJ|eyA|ewog|ewoJ|ew0K)[A-Za-z0-9_-]{5,}+(?:\.[A-Za-z0-9_-]*+)++"
)
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+*\[\]-]+")
_HEAD: Final = frozenset({"ts", "level", "msg"})
_TAKEN_OUT: Final = "[token]"
# How either format ends where it says so.
_CUT: Final = (',"cut":true}', " cut=true")


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    whole, millis = divmod(int(seconds * 1000), 1000)
    return f"{_to_the_second(whole)}.{millis:03}Z"


@lru_cache(maxsize=4)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def without_tokens(text: str) -> str:
    """The text without anything that looks like a JWT."""
    # Looked for one by one: several times faster than the pattern, on every line.
    if "eyJ" in text or "eyA" in text or "ewo" in text or "ew0" in text:
        return _JWT.sub(rf"\1{_TAKEN_OUT}", text)
    return text


def beginning(text: str, length: int) -> str:
    """At most that many characters of the text, without what looks like a JWT, cut off or whole."""
    if len(text) <= length:
        return without_tokens(text)
    # What the cut left of a token may have no dot.
    return without_tokens(text[:length] + ".").removesuffix(".")


def is_whole(line: str) -> bool:
    """Whether a line has all of its fields: nothing was cut, nor taken out."""
    return _TAKEN_OUT not in line and not line.endswith(_CUT)


def json_line(fields: Fields) -> str:
    """The fields as one JSON object of ASCII on one line."""
    return _bounded(_json, fields)


def text_line(fields: Fields) -> str:
    """Time, level and message, then the other fields as ``name=value``."""
    return _bounded(_text, fields)


def _bounded(write: Format, fields: Fields) -> str:
    line = write(fields)
    if len(line) > MAX_LINE:
        line = write({name: _cut(value) for name, value in fields.items()} | {"cut": True})
    return without_tokens(line)


def _cut(value: object) -> object:
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"{beginning(value, MAX_TEXT - 1)}…"
    if isinstance(value, Mapping):
        return {str(name)[:MAX_TEXT]: _cut(inner) for name, inner in _first(value.items())}
    if isinstance(value, Iterable):
        return [_cut(inner) for inner in _first(value)]
    return value


_T = TypeVar("_T")


def _first(values: Iterable[_T]) -> Iterable[_T]:
    return islice(values, 32)


def _json(fields: Fields) -> str:
    return _encode(fields)


def _text(fields: Fields) -> str:
    head = f"{fields.get('ts', '')} {str(fields.get('level', '')).upper():<7} "
    message = _encode(str(fields.get("msg", "")))[1:-1].replace('\\"', '"')
    rest = "".join(f" {name}={_word(value)}" for name, value in fields.items() if name not in _HEAD)
    return f"{head}{message}{rest}"


def _word(value: object) -> str:
    if isinstance(value, list | tuple):
        return _word(" ".join(map(str, value)))
    text = value if isinstance(value, str) else _encode(value)
    return text if _PLAIN.fullmatch(text) else _encode(text)


FORMATS: Final[Mapping[str, Format]] = {"json": json_line, "text": text_line}

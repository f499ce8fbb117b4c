"""Values as nginx reads them: one token each, and no variable within."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from .artefacts import CannotWrite

_PLAIN = re.compile(r"[A-Za-z0-9_./:*@%+-]+|\[[0-9a-f:.]+\](?::[0-9]+)?")
_PLAIN_PATTERN = re.compile(r"\^[A-Za-z0-9_/|().$-]*")
# The parser reads into a buffer of 4096 bytes.
_LONGEST = 2000


def token(text: str) -> str:
    """Text as one token. Raises CannotWrite for what nginx would read something into."""
    if "$" in text or not text.isprintable():
        raise CannotWrite(
            f"nginx would take a part of {text!r} for a variable or a control character; "
            "expected another name"
        )
    return text if _PLAIN.fullmatch(text) else _quoted(text)


def below(path: str) -> str:
    """A pattern for a path and everything below it, on a segment border.

    nginx matches locations against the path with its escapes decoded.
    """
    literal = "".join(map(_literal, unquote_to_bytes(path)))
    pattern = f"^{literal}(/|$)" if path else "^/"
    return pattern if _PLAIN_PATTERN.fullmatch(pattern) else _quoted(pattern)


def _literal(octet: int) -> str:
    char = chr(octet)
    if char.isascii() and (char.isalnum() or char in "_/-"):
        return char
    return f"\\{char}" if 0x20 < octet < 0x7F else f"\\x{octet:02x}"


def _quoted(text: str) -> str:
    if len(text) > _LONGEST:
        raise CannotWrite(f"nginx takes no word longer than {_LONGEST} characters: {text[:40]!r}…")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

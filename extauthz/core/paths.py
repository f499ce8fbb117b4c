"""Request targets: canonical, or refused. Nothing is guessed at (contract, section 8)."""

from __future__ import annotations

import re

MAX_PATH = 8192
"""Servers differ on longer paths: some refuse, some cut."""

# Everything a path may hold as sent: unreserved and reserved characters of RFC 3986
# that no server reads differently, and well-formed escapes.
_PLAIN = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,=:@/|^\"<>`{}\[\]]++|%[0-9A-Fa-f]{2})*+")
# Escapes of controls and of  # % . / ; ? \ in that order.
_FORBIDDEN_ESCAPE = re.compile(r"%(?:[01].|7[Ff]|23|25|2[Ee]|2[Ff]|3[Bb]|3[Ff]|5[Cc])")
# The other unreserved characters: letters, digits and  - _ ~
_UNRESERVED_ESCAPE = re.compile(
    r"%(2[Dd]|3[0-9]|4[1-9A-Fa-f]|5[0-9Aa]|5[Ff]|6[1-9A-Fa-f]|7[0-9AaEe])"
)
_BEYOND_ASCII = re.compile(r"(?:%[89A-Fa-f][0-9A-Fa-f])+")
_CONTROL = re.compile("[\x80-\x9f]")


def split_target(target: str) -> tuple[str, str]:
    """Split a request target at its first ``?`` into path and query (without the ``?``)."""
    path, _, query = target.partition("?")
    return path, query


def canonical_path(target: str) -> str | None:
    """The path of ``target`` with escapes of unreserved characters decoded, without query.

    None when the path could mean different things to different servers: ``//``, a dot
    segment, a backslash, ``;``, ``#``, a control, blank or non-ASCII character, a malformed
    escape, one of a slash, a backslash or ``. % ; # ?``, of a control character or of what is
    no UTF-8, more than MAX_PATH characters, or anything but origin form (RFC 9112 section 3.2.1).
    """
    path = target.partition("?")[0]
    if len(path) > MAX_PATH or _PLAIN.fullmatch(path) is None or "//" in path:
        return None
    if "%" in path:
        if _FORBIDDEN_ESCAPE.search(path) or not all(map(_is_text, _BEYOND_ASCII.findall(path))):
            return None
        path = _UNRESERVED_ESCAPE.sub(_decoded, path)
    if "/." in path and any(segment in (".", "..") for segment in path.split("/")):
        return None
    return path


def _is_text(escapes: str) -> bool:
    """Whether these are whole characters in UTF-8 (RFC 3629 section 3), and no control among them.

    Lenient readers take an overlong ``%c0%ae`` for a dot.
    """
    try:
        text = bytes.fromhex(escapes.replace("%", "")).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(text) is None


def _decoded(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def is_inside(path: str, prefix: str) -> bool:
    """Whether a canonical path lies under ``prefix`` on a segment border.

    ``prefix`` has no final slash; the empty prefix holds every path.
    """
    return path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/")

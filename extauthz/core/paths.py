"""Request targets: canonical, or refused. Nothing is guessed at (contract, section 8)."""

from __future__ import annotations

import re

# Everything a path may hold as sent: unreserved and reserved characters of RFC 3986
# that no server reads differently, and well-formed escapes.
_PLAIN = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,=:@/|^\"<>`{}\[\]]|%[0-9A-Fa-f]{2})*")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_FORBIDDEN_ESCAPES = frozenset(b"/\\.%;?#") | frozenset(range(0x20)) | {0x7F}


def split_target(target: str) -> tuple[str, str]:
    """Split a request target at its first ``?`` into path and query (without the ``?``)."""
    path, _, query = target.partition("?")
    return path, query


def canonical_path(target: str) -> str | None:
    """The path of ``target`` with escapes of unreserved characters decoded, without query.

    None when the path could mean different things to different servers: ``//``, a dot
    segment, a backslash, ``;``, ``#``, a control, blank or non-ASCII character, a malformed
    escape, an escape of one of those or of ``. % ?``, or anything but origin form
    (RFC 9112 section 3.2.1).
    """
    path = target.partition("?")[0]
    if _PLAIN.fullmatch(path) is None or "//" in path:
        return None
    if "%" in path:
        for match in _ESCAPE.finditer(path):
            if int(match[1], 16) in _FORBIDDEN_ESCAPES:
                return None
        path = _ESCAPE.sub(_decoded, path)
    if "/." in path and any(segment in (".", "..") for segment in path.split("/")):
        return None
    return path


def _decoded(match: re.Match[str]) -> str:
    value = int(match[1], 16)
    return chr(value) if value in _UNRESERVED else match[0]


def is_inside(path: str, prefix: str) -> bool:
    """Whether a canonical path lies under ``prefix`` on a segment border.

    ``prefix`` has no final slash; the empty prefix holds every path.
    """
    return path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/")

"""Identifiers made of names: unique, and plain enough for the language they go into."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LONGEST = 48


def identifiers(
    names: Iterable[str], *, reserved: Iterable[str] = (), joint: str = "_"
) -> dict[str, str]:
    """An identifier for each name: lower-case letters, digits and ``joint``; at most 53 long.

    Names that would get the same one are numbered. None is in ``reserved``.
    """
    taken = set(reserved)
    found: dict[str, str] = {}
    for name in names:
        if name in found:
            continue
        stem = re.sub(r"[^a-z0-9]+", joint, name.lower()).strip(joint)[:_LONGEST].rstrip(joint)
        stem = stem or "server"
        candidate, number = stem, 1
        while candidate in taken:
            number += 1
            candidate = f"{stem}{joint}{number}"
        taken.add(candidate)
        found[name] = candidate
    return found

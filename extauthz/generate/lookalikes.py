"""Patterns of the headers that a server could take for identity headers.

As ``core.identity`` has it, which refuses or removes what comes through all the same.
"""

from __future__ import annotations

import re

from extauthz.core.identity import PREFIX


def alike(extra: tuple[str, ...]) -> tuple[str, ...]:
    """A pattern for all names with the prefix, and one for each of ``extra`` without it."""
    first, *others = dict.fromkeys(map(_in_any_spelling, (PREFIX, *extra)))
    return (f"{first}.*", *(each for each in others if not each.startswith(first)))


def _in_any_spelling(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "[^a-z0-9]", name)

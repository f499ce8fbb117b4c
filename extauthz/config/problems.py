"""What is wrong with a configuration, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

Loc = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top of the settings."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place a person can go to. ``line`` and ``column`` count from 1; 0 means unknown."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong at ``loc``, before it is known where that was written.

    ``on_key`` says that the key is at fault and not its value, ``because`` which setting asks
    for one that is missing.
    """

    loc: Loc
    text: str
    on_key: bool = False
    because: Loc = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong (or, as a warning, risky): place, path of the setting, and text."""

    place: Place
    path: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.place), self.path, self.text) if part)


class ConfigError(Exception):
    """The configuration cannot be used. ``problems`` holds everything that is wrong."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(
            sorted(dict.fromkeys(problems), key=lambda p: (p.place.line, p.place.column))
        )
        super().__init__("\n".join(map(str, self.problems)))


_BARE = re.compile(r"[A-Za-z0-9_-]+")


def path_text(loc: Loc) -> str:
    """Write a path as people read it: ``servers[0].tools["danger_*"]``."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _BARE.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{quoted(part)}]"
    return text


# A user name or password in a URL, also where it is no URL only because the password holds a
# slash or a hash. What is a port, or IPv6, is no password.
_USER = re.compile(r"(?<=//)(?:[^/?#@:\[\s]*+:(?![0-9]*(?:[/?#]|$))\S*@|[^/?#\s]*@)")
_LONGEST_URL = 4096


def names_user(url: str) -> bool:
    """Whether a URL holds a user name or password."""
    return _USER.search(url[:_LONGEST_URL]) is not None


def quoted(text: str, limit: int = 60) -> str:
    """Text in double quotes on one line, cut short where it is long.

    What may be a password in a URL is left out.
    """
    text = _USER.sub("", text[:_LONGEST_URL])
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return f'"{shown}"'

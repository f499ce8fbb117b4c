"""Templates: the files in ``templates/`` with ``{{name}}`` where something is filled in.

A marker alone on its line stands for any number of lines, each indented as the marker is;
elsewhere it stands for text without line breaks. There is no other syntax: what depends on
the inventory is worked out before it is filled in.
"""

from __future__ import annotations

import re
from importlib.resources import files

_ALONE = re.compile(r"([ \t]*)\{\{(\w+)\}\}")
_INLINE = re.compile(r"\{\{(\w+)\}\}")


def template(name: str) -> str:
    """The text of a template that comes with the package."""
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")


def fill(text: str, /, **values: str) -> str:
    """Fill every marker in. Raises ValueError when markers and ``values`` do not fit."""
    named = set(_INLINE.findall(text))
    if named != set(values):
        raise ValueError(f"the template and its values differ in {sorted(named ^ set(values))}")
    lines: list[str] = []
    for line in text.splitlines():
        alone = _ALONE.fullmatch(line)
        if alone is not None:
            lines += indented(values[alone[2]], alone[1]).splitlines()
        else:
            lines.append(_INLINE.sub(lambda marker: _on_one_line(values[marker[1]]), line))
    return "\n".join(lines) + "\n"


def indented(text: str, by: str) -> str:
    """Every line that is not empty, with ``by`` put before it."""
    return "\n".join(by + line if line else "" for line in text.splitlines())


def comment(*lines: str, mark: str = "#") -> str:
    """Lines of a comment. Whatever they hold, it stays in the comment."""
    return "\n".join(f"{mark} {' '.join(line.split())}".rstrip() for line in lines)


def _on_one_line(value: str) -> str:
    if "\n" in value or "\r" in value:
        raise ValueError("a marker within a line stands for text without line breaks")
    return value

"""What a YAML parser found wrong, in words for the person who wrote the file."""

from __future__ import annotations

import re

import yaml

from .problems import Place, Problem, quoted

_STARRED = re.compile(r"\*[^\s,:\[\]{}]*")


def syntax_problem(error: yaml.MarkedYAMLError, text: str, name: str) -> Problem:
    """The mistake in the text of a file called ``name``, and where it is."""
    mark = error.problem_mark or error.context_mark
    line = _line(text, mark)
    star = error.context_mark
    if error.context == "while scanning an alias" and star is not None:
        starred = _STARRED.match(_line(text, star), star.column)
        meant = quoted(starred[0] if starred else "*")
        what = f"a star without quotes begins an alias; expected quotes around it: {meant}"
        return Problem(_place(star, name), "", what)
    if mark is not None and "\t" in line[: mark.column + 1]:
        what = "a tab; expected spaces, since YAML does not indent with tabs"
    else:
        what = "YAML syntax: " + (error.problem or "not YAML").removeprefix("found ")
        what += f" ({error.context})" if error.context else ""
    return Problem(_place(mark, name), "", what)


def _place(mark: yaml.Mark | None, name: str) -> Place:
    return Place(name, mark.line + 1, mark.column + 1) if mark else Place(name, 1, 1)


def _line(text: str, mark: yaml.Mark | None) -> str:
    lines = text.splitlines()
    return lines[mark.line] if mark is not None and mark.line < len(lines) else ""

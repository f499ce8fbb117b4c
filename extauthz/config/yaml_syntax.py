"""What a YAML parser found wrong, in words for the person who wrote the file."""

from __future__ import annotations

import re

import yaml

from .problems import Place, Problem, quoted

_STARRED = re.compile(r"\*[^\s,:\[\]{}]*")
_NO_BLANK = re.compile(r"[ ]*(?:- +)*([A-Za-z_]+:)[^\s:]")
_IN_BLOCK = ("while parsing a block mapping", "while parsing a block collection")
_INDENTATION = "expected the indentation of the entries it belongs to"
_QUOTES = "expected quotes around the whole text"


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
    elif (error.context or "").endswith("a quoted scalar") and "end of" in (error.problem or ""):
        mark = error.context_mark or mark
        what = "a quote that is never closed; expected another one"
    else:
        what = _usual(error, text) or _unusual(error)
    return Problem(_place(mark, name), "", what)


def _usual(error: yaml.MarkedYAMLError, text: str) -> str:
    """What people mostly did where a parser says so; empty for all else."""
    mark, problem = error.problem_mark, error.problem or ""
    if mark is None:
        return ""
    before = _line(text, mark)[: mark.column]
    if "cannot start any token" in problem:
        return f"a text cannot begin with {quoted(_line(text, mark)[mark.column :][:1])}; {_QUOTES}"
    if problem.startswith("mapping values are not allowed"):
        if ": " in before:
            return f"a second colon with a blank after it; {_QUOTES}, or a line of its own"
        above = text.splitlines()[: mark.line]
        last = next((one for one in reversed(above) if one.strip()), "")
        if key := _NO_BLANK.match(last):
            return (
                f"a key after a line without a blank after its colon; expected one after {key[1]}"
            )
        return f"a key that is indented deeper than those beside it; {_INDENTATION}"
    if (error.context or "").startswith("while parsing a flow"):
        start = None if (error.context or "").endswith("node") else error.context_mark
        since = f" that begins in line {start.line + 1}" if start else ""
        return (
            f"a list or a map in brackets{since} does not go on; "
            "expected a comma, or the bracket that closes it"
        )
    if "unknown escape character" in problem:
        return "an escape that YAML does not know; expected two backslashes, or single quotes"
    key = _NO_BLANK.match(_line(text, error.context_mark))
    if key and error.context == "while scanning a simple key":
        line = error.context_mark.line + 1 if error.context_mark else 0
        return f"no blank after the colon in line {line}; expected one after {key[1]}"
    if error.context_mark is not None and (error.context or "").startswith(_IN_BLOCK):
        since = f"what begins in line {error.context_mark.line + 1}"
        if not before.strip():
            return f"an indentation that does not fit {since}; {_INDENTATION}"
    return ""


def _unusual(error: yaml.MarkedYAMLError) -> str:
    what = "YAML syntax: " + (error.problem or "not YAML").removeprefix("found ")
    if error.context:
        begins = error.context_mark
        since = f" that begins in line {begins.line + 1}" if begins is not None else ""
        what += f" ({error.context}{since})"
    return what if "expected" in what else what + "; expected what YAML allows here"


def _place(mark: yaml.Mark | None, name: str) -> Place:
    return Place(name, mark.line + 1, mark.column + 1) if mark else Place(name, 1, 1)


def _line(text: str, mark: yaml.Mark | None) -> str:
    lines = text.splitlines()
    return lines[mark.line] if mark is not None and mark.line < len(lines) else ""

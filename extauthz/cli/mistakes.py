"""What may have been meant by a command or an option that there is not."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Final

_ALIKE: Final = 0.7


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that looks most like ``name``; None where none does.

    Case and dashes in front do not count: those alone make no two names look alike.
    """
    from difflib import get_close_matches  # noqa: PLC0415  only where something is wrong

    bare = {one.lstrip("-"): one for one in known}
    near = get_close_matches(name.lstrip("-").lower(), bare, n=1, cutoff=_ALIKE)
    return bare[near[0]] if near else None


def choice(text: str, known: Iterable[str]) -> str:
    """``text``, if it is one of ``known``. Raises ArgumentTypeError, which argparse tells."""
    known = tuple(known)
    if text in known:
        return text
    near = nearest(text, known)
    hint = f"did you mean {near}?" if near else f"expected one of {', '.join(known)}"
    raise argparse.ArgumentTypeError(f"invalid choice: {text!r}; {hint}")


def command_in(
    parser: argparse.ArgumentParser, arguments: Sequence[str], commands: Iterable[str]
) -> str | None:
    """The command that is called; None where there is none, which argparse tells.

    Leaves the program with a word about a command, or an option before it, that there is not.
    """
    if not arguments:
        return None
    commands, options = tuple(commands), _options(parser)
    first = arguments[0]
    if first.startswith("-"):
        option = first.partition("=")[0]
        if any(known.startswith(option) for known in options):
            # Help or version: whatever stands behind it is not looked at.
            return None
        near = nearest(option, options)
        hint = f"did you mean {near}?" if near else "options stand behind the command"
        parser.error(f"unrecognized arguments: {first}; {hint}")
    if first not in commands:
        near = nearest(first, (*commands, *options))
        hint = f"did you mean {near}?" if near else f"expected one of {', '.join(commands)}"
        parser.error(f"unknown command {first!r}; {hint}")
    return first


def meant(left: Sequence[str], parser: argparse.ArgumentParser, *, lacks_file: bool) -> str:
    """What to add to a complaint about arguments that ``parser`` does not know.

    ``lacks_file`` says that the command takes ``--config``, which was not given.
    """
    option = next((argument for argument in left if argument.startswith("-")), None)
    if option is not None:
        near = nearest(option.partition("=")[0], _options(parser))
        return f"; did you mean {near}?" if near else ""
    is_file = left[0].endswith((".yaml", ".yml"))
    return f"; give the file as --config {left[0]}" if is_file and lacks_file else ""


def _options(parser: argparse.ArgumentParser) -> list[str]:
    # There is no other way to ask; help texts leave out the flags of settings.
    return list(parser._option_string_actions)

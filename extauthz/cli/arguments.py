"""Forms of arguments that several commands take. Nothing here needs more than argparse."""

from __future__ import annotations

import argparse
from typing import Final

_LONGEST: Final = 300


def add_unread_config(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``, which every command takes, to one that needs no configuration."""
    parser.add_argument("--config", metavar="FILE", help="taken, and not read by this command")


def seconds(text: str) -> float:
    """A number of seconds that somebody may wait."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= _LONGEST:
        raise argparse.ArgumentTypeError(f"expected more than 0 and at most {_LONGEST} seconds")
    return number

"""Options that several commands share: which file, and flags that win over it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from extauthz.config import names

if TYPE_CHECKING:
    from extauthz.config.load import Loaded

_PREFIX = "setting "


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="configuration file; default: $EXTAUTHZ_CONFIG, ./extauthz.yaml, "
        "/etc/extauthz/extauthz.yaml, or the environment alone",
    )


def add_settings(parser: argparse.ArgumentParser, *, listed: bool = False) -> None:
    """Add a flag for every setting that may be given outside the file.

    Only where they are ``listed`` does ``--help`` tell of each: elsewhere they would bury the rest.
    """
    flags: argparse._ActionsContainer = parser
    if listed:
        parser.usage = f"{parser.prog} [options]"
        flags = parser.add_argument_group("settings", "each wins over its variable and the file")
    else:
        parser.epilog = "Every setting is a flag too: see `extauthz serve --help`."
    for setting in names.SETTINGS:
        flags.add_argument(
            names.flag(setting),
            dest=_PREFIX + setting,
            metavar="VALUE",
            help=f"{setting}; variable {names.variable(setting)}" if listed else argparse.SUPPRESS,
        )


def given_settings(options: argparse.Namespace) -> dict[str, str]:
    """The settings that were given as flags."""
    return {
        name.removeprefix(_PREFIX): value
        for name, value in vars(options).items()
        if name.startswith(_PREFIX) and value is not None
    }


def load_again(options: argparse.Namespace, source: str | None = None) -> Loaded:
    """The settings as they are now, of the file ``source`` where that is known.

    Raises ConfigError with every problem.
    """
    from extauthz.config.load import load  # noqa: PLC0415  pydantic takes time to import

    return load(source or options.config, environ=os.environ, flags=given_settings(options))


def load_or_complain(options: argparse.Namespace) -> Loaded | None:
    """The settings, or None after every problem was written to stderr."""
    from extauthz.config.problems import ConfigError  # noqa: PLC0415

    try:
        return load_again(options)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return None

"""``extauthz version``."""

from __future__ import annotations

import argparse

from extauthz import __version__

from .arguments import add_unread_config


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what the command does, and add its options."""
    parser.description = "Print the version."
    add_unread_config(parser)


def run(args: argparse.Namespace) -> int:  # noqa: ARG001  every command takes its options
    """Print the version; always 0."""
    print(f"extauthz {__version__}")
    return 0

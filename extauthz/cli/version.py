"""``extauthz version``."""

from __future__ import annotations

import argparse

from extauthz import __version__

from .arguments import add_unread_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "version", help="print the version", description="Print the version."
    )
    add_unread_config(parser)


def run(args: argparse.Namespace) -> int:  # noqa: ARG001  every command takes its options
    """Print the version; always 0."""
    print(f"extauthz {__version__}")
    return 0

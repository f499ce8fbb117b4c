"""``extauthz schema``: the JSON Schema of the configuration file."""

from __future__ import annotations

import argparse

from extauthz.config.schema import schema_text

from .arguments import add_unread_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "schema",
        help="print the JSON Schema of the configuration file",
        description="Print the JSON Schema of the configuration file, for editors: "
        "`# yaml-language-server: $schema=extauthz.schema.json` as the first line of a file.",
    )
    add_unread_config(parser)


def run(args: argparse.Namespace) -> int:  # noqa: ARG001 - every command takes them
    """Print the schema."""
    print(schema_text(), end="")
    return 0

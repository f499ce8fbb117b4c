"""``extauthz schema``: the JSON Schema of the configuration file."""

from __future__ import annotations

import argparse

from extauthz.config.schema import schema_text

from .arguments import add_unread_config


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what the command does, and add its options."""
    parser.description = (
        "Print the JSON Schema of the configuration file, for editors: "
        "`# yaml-language-server: $schema=extauthz.schema.json` as the first line of a file."
    )
    add_unread_config(parser)


def run(args: argparse.Namespace) -> int:  # noqa: ARG001 - every command takes them
    """Print the schema."""
    print(schema_text(), end="")
    return 0

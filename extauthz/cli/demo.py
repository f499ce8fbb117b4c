"""``extauthz demo``: everything on loopback in one command."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from .arguments import add_unread_config


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what the command does, and add its options."""
    parser.description = (
        "Start an OAuth issuer, two MCP servers, extauthz and Envoy on loopback, "
        "send an MCP client through them, and show what it tried, expected and got."
    )
    parser.add_argument(
        "--stay", action="store_true", help="leave all running and print what to try, until Ctrl-C"
    )
    parser.add_argument(
        "--fixed-ports",
        action="store_true",
        help="the ports of the shipped proxy files (edge: 10000) instead of free ones",
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path(".demo"),
        metavar="DIR",
        help="folder for configuration and logs (default: .demo)",
    )
    add_unread_config(parser)


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 when every step went as expected, 1 when not or not possible."""
    missing = [name for name in ("mcp", "httpx2") if not importlib.util.find_spec(name)]
    if missing:
        print(
            f"extauthz demo: not installed: {', '.join(missing)}; "
            "in a clone: pip install '.[demo]'",
            file=sys.stderr,
        )
        return 1
    from extauthz.demo.run import Options, run  # noqa: PLC0415

    options = Options(work_directory=args.work_dir, stay=args.stay, fixed_ports=args.fixed_ports)
    return run(options, os.environ)

"""The command line: ``extauthz COMMAND``. One module per command, imported when chosen.

Exit codes: 0 good, 1 the thing checked is bad or failed at run time, 2 usage.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "serve": "run until SIGTERM",
    "validate": "check the configuration; --online also fetches discovery and keys",
    "explain": "show every check of one request, and the exact answer",
    "replay": "judge recorded decisions by another file: who gains and who loses what",
    "generate": "write proxy configuration for this file",
    "doctor": "walk and attack a live edge, and say what to mend",
    "token": "get a client_credentials token and print it",
    "demo": "everything on loopback in one command",
    "schema": "print the JSON Schema of the configuration file",
    "healthcheck": "exit 0 when the running service is ready",
    "version": "print the version",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="extauthz",
        description="External authorization for MCP servers behind Envoy, nginx and others.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((argument for argument in arguments if argument in COMMANDS), None)
    for name, purpose in COMMANDS.items():
        if name == chosen:
            importlib.import_module(f"{__name__}.{name}").add_parser(commands)
        else:
            commands.add_parser(name, help=purpose)
    options = parser.parse_args(arguments)
    try:
        return int(importlib.import_module(f"{__name__}.{options.command}").run(options))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1

"""The command line: ``extauthz COMMAND``. One module per command, imported when chosen.

Exit codes: 0 good, 1 the thing checked is bad or failed at run time, 2 usage.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence

from extauthz import __version__

from .mistakes import command_in, meant

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


# Why output may end before we do. What else goes wrong in a command is said by the command.
_OUTPUT = frozenset({errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _fill_standard_descriptors()
    _write_anything()
    try:
        try:
            return _run(arguments)
        finally:
            # Left to the interpreter, what fails here would end in noise and exit code 120.
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _write_no_more()
        return 1
    except OSError as error:
        if error.errno not in _OUTPUT or error.filename is not None:
            raise
        _write_no_more()
        with contextlib.suppress(OSError):
            print(f"extauthz: cannot write the output: {error.strerror}", file=sys.stderr)
        return 1


def _run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="extauthz",
        description="External authorization for MCP servers behind Envoy, nginx and others.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = command_in(parser, arguments, COMMANDS)
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose)
        if name == chosen:
            importlib.import_module(f"{__name__}.{name}").add_options(command)
    options, left = parser.parse_known_args(arguments)
    if left:
        # With the usage of the command, where argparse shows that of the whole.
        at_fault = commands.choices[options.command]
        lacks_file = getattr(options, "config", "") is None
        hint = meant(left, at_fault, lacks_file=lacks_file)
        at_fault.error(f"unrecognized arguments: {' '.join(left)}{hint}")
    if getattr(options, "config", None) == "":
        # As from an unset shell variable: another file in its place would be no kindness.
        parser.error("argument --config: found an empty path; expected the path of a file")
    return int(importlib.import_module(f"{__name__}.{options.command}").run(options))


def _fill_standard_descriptors() -> None:
    """Whoever started us may have closed some: the next connection would have their numbers.

    What is then written to standard output would be read there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest that is free, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _write_anything() -> None:
    """Escape characters that the encoding of a terminal or pipe does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _write_no_more() -> None:
    """Let what is still to be written to stdout vanish."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)

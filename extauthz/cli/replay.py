"""``extauthz replay``: recorded decisions against another file."""

from __future__ import annotations

import argparse
import json
import sys

from .options import add_config, add_settings, load_or_complain

_GAINS = "gains"
_LOSSES = "losses"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what the command does, and add its options."""
    parser.description = (
        "Judge the decision lines of a log by the file given, with the code of "
        "`serve`, and say who gains and who loses what. Exit 0: nobody does, 1: somebody does."
    )
    parser.add_argument(
        "--log",
        metavar="FILE",
        action="append",
        required=True,
        help="what `serve` wrote, as JSON lines; .gz is read as well, - is standard input; "
        "may be given several times",
    )
    add_config(parser)
    parser.add_argument(
        "--allow",
        choices=(_GAINS, _LOSSES),
        action="append",
        default=[],
        help="changes that are meant, and do not make the exit code 1",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit 1 also where it cannot be told, and where lines cannot be read",
    )
    parser.add_argument(
        "--with-doctor",
        action="store_true",
        help="judge also what `extauthz doctor` was refused, which is nobody's access",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_settings(parser)


def run(options: argparse.Namespace) -> int:
    """Replay the logs."""
    from extauthz.config.compile import compile_policy  # noqa: PLC0415
    from extauthz.replay import report  # noqa: PLC0415
    from extauthz.replay.judge import Change  # noqa: PLC0415
    from extauthz.replay.reading import CannotRead  # noqa: PLC0415
    from extauthz.replay.run import replay  # noqa: PLC0415

    loaded = load_or_complain(options)
    if loaded is None:
        return 1
    try:
        tally = replay(options.log, compile_policy(loaded), with_doctor=options.with_doctor)
    except CannotRead as error:
        print(f"extauthz replay: {error}", file=sys.stderr)
        return 1
    config = f"{loaded.source or 'the environment'} ({loaded.short_digest})"
    if options.json:
        print(json.dumps(report.document(tally, config), indent=2))
    else:
        for line in report.text(tally, config):
            print(line)
    changes = tally.changes
    unwanted = [
        not tally.decisions,
        changes[Change.GAINED] and _GAINS not in options.allow,
        changes[Change.LOST] and _LOSSES not in options.allow,
        options.strict and (changes[Change.CANNOT_TELL] or tally.unreadable),
    ]
    return 1 if any(unwanted) else 0

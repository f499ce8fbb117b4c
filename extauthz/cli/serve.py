"""``extauthz serve``: run until SIGTERM."""

from __future__ import annotations

import argparse
import signal

from extauthz.service.garbage import begin_start

from .options import add_config, add_settings, load_again, load_or_complain


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "serve",
        help="run until SIGTERM",
        description="Serve until SIGTERM or SIGINT, then drain and exit 0. SIGHUP reads the "
        "configuration again; a changed file is noticed within 10 s.",
    )
    add_config(parser)
    add_settings(parser, listed=True)


def run(options: argparse.Namespace) -> int:
    """Serve."""
    begin_start()
    # By itself it would end us. What it asks for is about to be read, and looked at again later.
    signal.signal(signal.SIGHUP, lambda *_: None)
    loaded = load_or_complain(options)
    if loaded is None:
        return 1
    from extauthz.service.run import serve  # noqa: PLC0415  everything else is imported here

    return serve(loaded, lambda: load_again(options))

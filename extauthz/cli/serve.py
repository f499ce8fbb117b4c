"""``extauthz serve``: run until SIGTERM."""

from __future__ import annotations

import argparse
import os
import signal

from extauthz.service.garbage import begin_start

from .options import add_config, add_settings, load_again, load_or_complain


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what the command does, and add its options."""
    parser.description = (
        "Serve until SIGTERM or SIGINT, then drain and exit 0. SIGHUP reads the "
        "configuration again and asks every issuer for its keys; a changed file is noticed within "
        "10 s."
    )
    add_config(parser)
    add_settings(parser, listed=True)


def run(options: argparse.Namespace) -> int:
    """Serve."""
    begin_start()
    _mind_signals()
    loaded = load_or_complain(options)
    if loaded is None:
        return 1
    from extauthz.service.run import serve  # noqa: PLC0415  everything else is imported here

    # A file that is gone for a moment must not bring another one into force, or the environment.
    return serve(loaded, lambda: load_again(options, loaded.source))


def _mind_signals() -> None:
    """Until the service minds them itself: what takes half a second is still to be imported."""
    # By itself it would end us. What it asks for is about to be read, and looked at again later.
    signal.signal(signal.SIGHUP, lambda *_: None)
    # As process 1 of a container SIGTERM would be lost, elsewhere it would end us as if we had
    # failed. Nothing is open or under way yet, and an exception could end up anywhere.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))

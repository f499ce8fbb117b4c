"""``extauthz validate``: is the configuration good, and what in it is risky?"""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import TYPE_CHECKING

from extauthz.config.compile import compile_policy
from extauthz.config.load import Loaded, load
from extauthz.config.problems import ConfigError

from .options import add_config, add_settings, given_settings

if TYPE_CHECKING:
    from .online import Finding


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what the command does, and add its options."""
    parser.description = (
        "Check the configuration: every problem with its place, warnings for what "
        "is allowed but risky. Exit code 0 when it can be used, 1 when it cannot."
    )
    add_config(parser)
    parser.add_argument(
        "--online",
        action="store_true",
        help="also fetch discovery and keys of every issuer",
    )
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Print what was found, one thing a line."""
    try:
        flags = given_settings(args)
        loaded = load(args.config, environ=os.environ, flags=flags, look_at_files=True)
    except ConfigError as error:
        for problem in error.problems:
            print(problem)
        count = len(error.problems)
        print(f"not usable: {count} problem{'' if count == 1 else 's'}")
        return 1
    for warning in loaded.warnings:
        print(f"warning: {warning}")
    warnings = len(loaded.warnings)
    if args.online:
        findings = _online(loaded)
        if any(finding.level == "error" for finding in findings):
            print("not usable: an issuer has no usable keys")
            return 1
        warnings += sum(finding.level == "warning" for finding in findings)
    print(f"ok: {summary(loaded, warnings)}")
    return 0


def summary(loaded: Loaded, warnings: int) -> str:
    """What the configuration holds, in one line, and how many ``warnings`` there were."""
    policy = compile_policy(loaded)
    rules = sum(
        len(kind.rules())
        for server in policy.servers
        for kind in (server.tools, server.prompts, server.resources, server.methods)
    )
    counts = [
        _count(len(policy.issuers), "issuer"),
        _count(len(policy.servers), "server"),
        _count(rules, "rule"),
        _count(warnings, "warning"),
    ]
    what = f"{loaded.source or 'environment'}: {', '.join(counts)}"
    return f"{what}; digest {loaded.short_digest}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _online(loaded: Loaded) -> list[Finding]:
    """Print what was found about every issuer, and give it back."""
    from .online import survey  # noqa: PLC0415 - needs an HTTP client, which nothing else here does

    findings = asyncio.run(survey(loaded))
    for finding in findings:
        print(finding)
    return findings

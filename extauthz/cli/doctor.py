"""``extauthz doctor``: walk and attack a live edge, and say what to mend."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .arguments import seconds
from .options import add_settings, load_or_complain

if TYPE_CHECKING:
    from extauthz.doctor.edge import Edge
    from extauthz.doctor.expectations import Expectations
    from extauthz.doctor.running import GivenFile


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what the command does, and add its options."""
    parser.description = (
        "Walk a live edge as an MCP client does, attack it as an intruder would, with "
        "and without a token, and report each finding with its cure. Exit 0: nothing to mend, "
        "1: something. Only doctor's own names and the echo tool are called."
    )
    parser.add_argument(
        "--url", required=True, help="the MCP server as clients know it: https://host/path"
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="what the edge should hold to; default: $EXTAUTHZ_CONFIG, ./extauthz.yaml, "
        "/etc/extauthz/extauthz.yaml; without any, less can be told",
    )
    parser.add_argument(
        "--token-file", metavar="FILE", help="a good access token for it; - reads standard input"
    )
    parser.add_argument(
        "--echo-tool",
        metavar="NAME",
        help="a tool of the server that returns the identity headers it got, as get_me of the "
        "demo: with it spoofs are seen, not guessed",
    )
    parser.add_argument(
        "--resource-metadata", metavar="URL", help="default: what the challenge names"
    )
    parser.add_argument(
        "--connect", metavar="HOST:PORT", help="connect there, and name the URL's host all the same"
    )
    parser.add_argument("--ca-file", metavar="FILE", help="private authorities, PEM")
    parser.add_argument(
        "--timeout", type=seconds, default=10.0, help="seconds for an answer; default: %(default)g"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=("walk", "intruder", "token"),
        help="make this part only (may be repeated): walk as a client, attack without a token, "
        "attack with one; default: all three",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_settings(parser)


def run(options: argparse.Namespace) -> int:
    """Examine, and print what was found."""
    from extauthz.doctor.edge import Edge  # noqa: PLC0415 - brings an HTTP client along
    from extauthz.doctor.examine import PARTS, examine  # noqa: PLC0415
    from extauthz.doctor.telling import document, table  # noqa: PLC0415

    try:
        edge = Edge(
            url=_url(options.url),
            connect=_address(options.connect),
            ca_file=options.ca_file,
            timeout=options.timeout,
        )
        token = _token(options.token_file)
        if edge.ca_file is not None:
            _load(edge)
    except (ValueError, OSError) as error:
        print(f"extauthz doctor: {error}", file=sys.stderr)
        return 2
    known = _known(options, edge.authority, edge.path)
    if known is None:
        return 1
    expected, given = known
    report = examine(
        edge,
        expected,
        now=time.time(),
        token=token,
        echo_tool=options.echo_tool,
        metadata_url=options.resource_metadata,
        parts=options.only or PARTS,
        given=given,
    )
    print(document(report) if options.json else table(report), end="\n" if options.json else "")
    return 0 if report.healthy else 1


def _url(text: str) -> str:
    wrong = "--url: expected https://host/path, without user, query and fragment"
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        raise ValueError(wrong) from None
    extra = parts.username or parts.query or parts.fragment
    if not good or extra or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(wrong)
    return text


def _load(edge: Edge) -> None:
    try:
        edge.context()
    except OSError as error:
        what = error.strerror or str(error)
        raise ValueError(f"--ca-file {edge.ca_file}: {what}; expected PEM") from None


def _address(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"--connect {text!r}: expected host:port")
    return host.strip("[]"), int(port)


def _token(file: str | None) -> str | None:
    from extauthz.core.near_requests import copied_along, token_alone  # noqa: PLC0415

    if file is None:
        return None
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"--token-file {file}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        text = ""
    token = token_alone(text)
    wrong = next(copied_along(token), "")
    if not (token and token.isascii() and token.isprintable()):
        wrong = wrong or "no token in it; expected one, alone, on one line"
    if wrong:
        raise ValueError(f"--token-file {file}: {wrong}")
    return token


def _known(
    options: argparse.Namespace, authority: str, path: str
) -> tuple[Expectations, GivenFile | None] | None:
    """What the configuration says, and which one it is, where there is one; None when it is bad."""
    from extauthz.config.compile import compile_policy  # noqa: PLC0415
    from extauthz.config.names import CONFIG, SEARCHED  # noqa: PLC0415
    from extauthz.doctor.expectations import Expectations, expectations  # noqa: PLC0415
    from extauthz.doctor.running import GivenFile  # noqa: PLC0415
    from extauthz.service.meaning import meaning_of  # noqa: PLC0415
    from extauthz.service.sources import issuer_sources  # noqa: PLC0415

    named = options.config or os.environ.get(CONFIG)
    if not named and not any(map(_may_be_there, SEARCHED)):
        return Expectations(), None
    loaded = load_or_complain(options)
    if loaded is None:
        return None
    policy, sources = compile_policy(loaded), issuer_sources(loaded)
    found = expectations(policy, authority, path, sources)
    if found.server is None:
        print(f"note: no server of {loaded.source} matches {options.url}", file=sys.stderr)
    given = GivenFile(
        source=loaded.source or "the environment",
        digest=loaded.short_digest,
        meaning=meaning_of(policy, sources),
        admin=loaded.settings.listen.admin,
    )
    return found, given


def _may_be_there(path: str) -> bool:
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        # Reading it will say what is in the way.
        return True
    return True

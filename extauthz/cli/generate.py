"""``extauthz generate``: proxy configuration for the inventory."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .mistakes import choice
from .options import add_config, add_settings, load_or_complain

if TYPE_CHECKING:
    from extauthz.generate.artefacts import Artefact

PROXIES = {
    "envoy": "Envoy, asking over gRPC",
    "envoy-http": "Envoy, asking over HTTP",
    "nginx": "nginx with auth_request",
    "caddy": "Caddy",
    "traefik": "Traefik 3, file provider",
    "haproxy": "HAProxy, with a Lua action",
    "envoy-gateway": "Envoy Gateway, on Kubernetes",
    "istio": "Istio, on Kubernetes",
}


CHECKED = ("envoy", "envoy-http")
"""What is read again by Envoy's API, where that is installed."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what the command does, and add its options."""
    parser.description = (
        "Write the configuration of a proxy for the servers of extauthz.yaml. What "
        "needs attention is said on standard error. Exit code 1 when the file is bad or "
        "cannot be written safely for that proxy, and with --check when something differs."
    )
    parser.add_argument(
        "proxy",
        type=partial(choice, known=PROXIES),
        metavar="PROXY",
        help="; ".join(f"{name}: {what}" for name, what in PROXIES.items()),
    )
    add_config(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--output",
        metavar="FOLDER",
        type=_path,
        help="write every file there, over those that are; default: standard output, as one file",
    )
    where.add_argument(
        "--check",
        metavar="PATH",
        type=_path,
        help="write nothing: compare with the file there, or with those of --output in a folder; "
        "a diff and exit code 1 when something differs or is missing",
    )
    parser.add_argument(
        "--calls",
        choices=("mcp", "body", "none"),
        help="how Envoy tells which tool is called: its MCP filter, the whole body, or not; "
        "default: mcp where some server has rules for calls, else none",
    )
    parser.add_argument(
        "--namespace",
        default="default",
        metavar="NAME",
        help="namespace of Kubernetes objects; default: %(default)s",
    )
    add_settings(parser)


def run(options: argparse.Namespace) -> int:
    """Write the configuration of one proxy."""
    from extauthz.generate.artefacts import CannotWrite  # noqa: PLC0415
    from extauthz.generate.proxies import Choices, generate  # noqa: PLC0415

    loaded = load_or_complain(options)
    if loaded is None:
        return 1
    if options.calls is not None and options.proxy != "envoy":
        print("extauthz generate: --calls is for envoy only", file=sys.stderr)
        return 2
    choices = Choices(calls=options.calls, namespace=options.namespace)
    try:
        artefact = generate(options.proxy, loaded, choices)
    except CannotWrite as error:
        print(f"extauthz generate: {error}", file=sys.stderr)
        return 1
    for warning in artefact.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if options.proxy in CHECKED and not _checked(artefact.alone):
        return 1
    if options.check is not None:
        from .generate_check import check  # noqa: PLC0415

        return check(artefact, options, loaded.source or "the environment")
    if options.output is None:
        print(artefact.alone, end="")
        return 0
    return _write(artefact, Path(options.output))


def _path(text: str) -> str:
    if not text:
        # As from an unset shell variable: the working directory would be no kindness.
        raise argparse.ArgumentTypeError("found an empty path")
    return text


def _write(artefact: Artefact, folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in artefact.files:
            (folder / file.name).write_text(file.text, encoding="utf-8")
    except OSError as error:
        what = f"cannot write to {folder}: {error.strerror}"
        print(f"extauthz generate: {what}", file=sys.stderr)
        return 1
    return 0


def _checked(text: str) -> bool:
    """Whether Envoy's API knows every field; a note where nobody can tell."""
    from extauthz.generate.envoy_check import NoChecker, fault_of  # noqa: PLC0415

    try:
        fault = fault_of(text)
    except NoChecker as error:
        print(f"note: not checked against Envoy's API: {error}", file=sys.stderr)
        return True
    if fault is not None:
        what = f"Envoy's API does not know what was written ({fault}); please report this"
        print(f"extauthz generate: {what}", file=sys.stderr)
    return fault is None

"""``extauthz healthcheck``: is the running service ready? For containers without a shell.

It starts every few seconds beside the service, so it reads one setting and not the whole
configuration; a file that is broken otherwise does not matter to the service that runs.
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from extauthz.config import names
from extauthz.config.addresses import EVERYWHERE

from .arguments import seconds

DEFAULT: Final = "127.0.0.1:9090"
_ADMIN: Final = names.variable("listen.admin")
_LONGEST_REASON: Final = 400

Reader = Callable[[str], bytes]
"""Reads a file by its path; raises OSError."""


class NotReadyError(Exception):
    """Why the service is not known to be ready, in one line."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what the command does, and add its options."""
    parser.description = (
        "Ask the admin listener of the running service whether it is ready. "
        "Exit code 0 when it is, 1 when it is not or cannot be asked."
    )
    parser.add_argument(
        "--admin",
        type=_address,
        metavar="ADDRESS",
        help="host:port, unix:/path, or a URL (default: listen.admin of the configuration)",
    )
    parser.add_argument("--config", metavar="FILE", help="the configuration file of the service")
    parser.add_argument(
        "--timeout", type=seconds, default=3.0, metavar="SECONDS", help="default: 3 seconds"
    )


def run(args: argparse.Namespace) -> int:
    """Ask, and print the reason in one line; 0 when ready, 1 when not."""
    try:
        address = args.admin
        if address is None:
            address = admin_address(args.config, os.environ, _read)
        print(ask(address, args.timeout))
    except NotReadyError as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


def _address(text: str) -> str:
    if text != "off" and not text.startswith("unix:"):
        try:
            _host_and_port(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


def admin_address(config: str | None, environ: Mapping[str, str], read: Reader) -> str:
    """Where the service listens for its admins: environment, file, default.

    Raises NotReadyError when a file that was named cannot be read.
    """
    if value := environ.get(_ADMIN):
        return value
    named = (environ.get(names.CONFIG) or None) if config is None else config
    for path in names.SEARCHED if named is None else (named,):
        try:
            return _from_file(path, read(path))
        except OSError as error:
            if named is not None:
                raise NotReadyError(f"cannot read {path}: {error.strerror}") from None
    try:
        return _from_dotenv(read(names.DOTENV))
    except OSError:
        return DEFAULT


# Imported where needed: with --admin or the variable, neither costs anything.


def _from_file(path: str, data: bytes) -> str:
    from extauthz.config.yaml_source import parse_yaml  # noqa: PLC0415

    node = parse_yaml(data, path).find(("listen", "admin"))
    return node.value if node is not None and isinstance(node.value, str) else DEFAULT


def _from_dotenv(data: bytes) -> str:
    from extauthz.config.dotenv import parse_dotenv  # noqa: PLC0415

    found = parse_dotenv(data, names.DOTENV).values.get(_ADMIN)
    return found[0] if found is not None and found[0] else DEFAULT


def ask(address: str, timeout: float) -> str:
    """The answer of ``/readyz`` in one line, within ``timeout`` seconds for each step.

    Raises NotReadyError when it is not 200, or there is none.
    """
    if address == "off":
        raise NotReadyError("the admin listener is off (listen.admin): nobody can be asked")
    connection = _connection(address, timeout)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        reason = _one_line(response.read(_LONGEST_REASON))
    except TimeoutError:
        raise NotReadyError(f"no answer from {address} within {timeout:g} seconds") from None
    except (OSError, http.client.HTTPException) as error:
        what = getattr(error, "strerror", None) or type(error).__name__
        raise NotReadyError(
            f"cannot ask {address}: {what}; expected the admin listener of a running service"
        ) from None
    finally:
        connection.close()
    if response.status != 200:
        raise NotReadyError(reason or f"{address} answered {response.status}")
    return reason


def _connection(address: str, timeout: float) -> http.client.HTTPConnection:
    if address.startswith("unix:"):
        return _UnixConnection(address.removeprefix("unix:"), timeout)
    try:
        scheme, host, port = _host_and_port(address)
    except ValueError as error:
        raise NotReadyError(str(error)) from None
    host = EVERYWHERE.get(host, host)
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    return kind(host, port, timeout=timeout)


def _host_and_port(address: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of ``host:port`` or a URL. Raises ValueError for anything else."""
    is_url = "://" in address
    try:
        url = urlsplit(address if is_url else f"http://{address}")
        scheme, host, port = url.scheme, url.hostname, url.port
    except ValueError:
        scheme, host, port = "", None, None
    if not host or scheme not in ("http", "https") or not (port or is_url):
        what = f"{address} is no address; expected host:port, unix:/path, or an http(s) URL"
        raise ValueError(what)
    return scheme, host, port


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _one_line(body: bytes) -> str:
    text = " ".join(body.decode("utf-8", "replace").split())
    return "".join(character for character in text if character.isprintable())

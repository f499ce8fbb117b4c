"""Addresses and networks as people write them."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

from extauthz.core.hosts import split_host

from .addresses import Address, Network, TcpAddress, UnixAddress
from .values import shown, text_of, wrong

_AN_ADDRESS = "host:port or unix:/path"
_A_NETWORK = "a network such as 10.0.0.0/8 or ::1/128"
_PORT = re.compile(r"[0-9]{1,5}")


def parse_address(value: object, expected: str = _AN_ADDRESS) -> Address:
    """``host:port``, ``[address]:port`` or ``unix:/path``."""
    text = text_of(value, expected)
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or not path.isprintable():
            raise wrong(f"{shown(text)} is not an address", "unix: and an absolute path")
        return UnixAddress(path)
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > 65535:
        raise wrong(f"{shown(text)} is not an address", expected)
    if not host:
        raise wrong(f"{shown(text)} names no host", f"0.0.0.0:{port} to listen everywhere")
    if split_host(f"{host}:1") is None:
        raise wrong(f"{shown(text)} is not an address", expected)
    return TcpAddress(host.removeprefix("[").removesuffix("]"), int(port))


def parse_listen(value: object) -> Address | None:
    """An address, or None for ``off``."""
    return None if value == "off" else parse_address(value, f"{_AN_ADDRESS}, or off")


def parse_network(value: object) -> Network:
    """An address or a network in CIDR notation."""
    text = text_of(value, _A_NETWORK)
    try:
        return ip_network(text)
    except ValueError:
        try:
            meant = str(ip_network(text, strict=False))
        except ValueError:
            meant = _A_NETWORK
    raise wrong(f"{shown(text)} is not a network", meant)


Listen = Annotated[
    Address | None,
    PlainValidator(parse_listen),
    WithJsonSchema({"type": "string", "pattern": r"^(off|unix:/.+|.+:[0-9]{1,5})$"}),
]
ListenAddress = Annotated[
    Address,
    PlainValidator(parse_address),
    WithJsonSchema({"type": "string", "pattern": r"^(unix:/.+|.+:[0-9]{1,5})$"}),
]
TrustedNetwork = Annotated[
    Network, PlainValidator(parse_network), WithJsonSchema({"type": "string"})
]

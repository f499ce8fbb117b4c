"""Addresses, networks and the mode of sockets as people write them."""

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
_A_MODE = 'octal digits in quotes that let the owner read and write, such as "0660"'
_MODE = re.compile(r"0?[67][0-7]{2}")
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


def parse_addresses(value: object) -> tuple[Address, ...]:
    """An address, or a list of ``host:port``: the same thing several times, to choose from."""
    if not isinstance(value, tuple):
        return (parse_address(value),)
    found = tuple(parse_address(each) for each in value)
    if not found:
        raise wrong("the list is empty", f"{_AN_ADDRESS}, or a list of host:port")
    if len(set(found)) < len(found):
        raise wrong("an address stands in the list twice", "each address once")
    if len(found) > 1 and any(isinstance(each, UnixAddress) for each in found):
        raise wrong("a Unix socket stands in a list of several", "host:port, or one socket alone")
    return found


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


def parse_mode(value: object) -> int:
    """The mode of a Unix socket, in octal digits.

    Without quotes YAML 1.2 reads 0660 as the decimal number 660. An owner who may not write could
    not tell at the next start whether anybody still listens there.
    """
    text = text_of(value, _A_MODE)
    if not _MODE.fullmatch(text):
        raise wrong(f"{shown(text)} is not the mode of a socket", _A_MODE)
    return int(text, 8)


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
ReplicaAddresses = Annotated[
    tuple[Address, ...],
    PlainValidator(parse_addresses),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^(unix:/.+|.+:[0-9]{1,5})$"},
                {
                    "type": "array",
                    "items": {"type": "string", "pattern": r"^(unix:/.+|.+:[0-9]{1,5})$"},
                    "minItems": 1,
                    "uniqueItems": True,
                },
            ]
        }
    ),
]
TrustedNetwork = Annotated[
    Network, PlainValidator(parse_network), WithJsonSchema({"type": "string"})
]
UnixMode = Annotated[
    int,
    PlainValidator(parse_mode),
    WithJsonSchema({"type": "string", "pattern": f"^{_MODE.pattern}$"}),
]

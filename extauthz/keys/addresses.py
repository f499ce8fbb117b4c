"""Which URLs keys may be fetched from.

URLs are read by one narrow grammar, so that no two parsers can see two hosts in one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass

_URL = re.compile(
    r"(https?)://"
    r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?)"
    r"(?::([0-9]{1,5}))?"
    r"(?:[/?][\x21\x24-\x5b\x5d-\x7e]*)?",
    re.IGNORECASE,
)
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_SIX_TO_FOUR = ipaddress.ip_network("2002::/16")
# Python's own is_loopback counts 127.0.0.1 dressed as IPv6 in from 3.13 on, and not before.
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1"))


class BadAddress(ValueError):
    """The URL may not be fetched; the message says why, and what would do."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a URL leads: lower-case scheme and host (no brackets, no final dot), and port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Address:
        """Read an http or https URL of plain ASCII, without user, fragment or backslash.

        Raises BadAddress for anything else, and for an IP address written in other than
        its usual form (``127.1``, ``0x7f000001``).
        """
        parts = _URL.fullmatch(url)
        if parts is None:
            raise BadAddress("not a plain http or https URL")
        scheme, host = parts[1].lower(), parts[2].lower().strip("[]").removesuffix(".")
        port = int(parts[3]) if parts[3] else {"http": 80, "https": 443}[scheme]
        if not 0 < port < 65536:
            raise BadAddress("its port is not between 1 and 65535")
        looks_numeric = ":" in host or _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2])
        if looks_numeric and _ip(host) is None:
            raise BadAddress("its host looks like an IP address but is not written as one")
        return cls(scheme, host, port)

    @property
    def is_loopback(self) -> bool:
        """Whether it leads to this machine by its form alone; no name is resolved."""
        ip = _ip(self.host)
        return self.host == "localhost" or (ip is not None and any(ip in net for net in _LOOPBACK))

    @property
    def is_inside(self) -> bool:
        """Whether it leads to this machine or is an IP address that is not public.

        IPv4 addresses dressed as IPv6 (mapped, 6to4, Teredo, NAT64) count as inside.
        """
        ip = _ip(self.host)
        if ip is None:
            return self.host == "localhost" or self.host.endswith(".localhost")
        if isinstance(ip, ipaddress.IPv4Address):
            return not ip.is_global or ip.is_multicast
        return not ip.is_global or ip not in _GLOBAL_UNICAST or ip in _SIX_TO_FOUR


def check_scheme(address: Address, allow_http_hosts: Collection[str]) -> None:
    """Plain http only on loopback and to hosts that were allowed by name.

    Raises BadAddress otherwise.
    """
    if address.scheme == "https" or address.is_loopback or address.host in allow_http_hosts:
        return
    raise BadAddress("plain http is refused; use https, or list the host in allow_http_hosts")


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None

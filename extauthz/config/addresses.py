"""Where to listen, and whom to trust: addresses and networks. ``listening`` reads them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from extauthz.core.hosts import is_loopback

EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
"""Hosts that stand for every address of a machine, and where it reaches itself there."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host name or address (IPv6 without brackets) and a port; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches who listens there."""
        return is_loopback(f"[{self.host}]" if ":" in self.host else self.host)

    def from_here(self) -> TcpAddress:
        """Where this machine itself reaches who listens there."""
        return TcpAddress(EVERYWHERE.get(self.host, self.host), self.port)


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The absolute path of a Unix socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress
Network = IPv4Network | IPv6Network

"""Which peers may speak for a client (contract, section 2: ``listen.trusted_proxies``)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import Final

from extauthz.config.addresses import Network

_MAX_KNOWN: Final = 1024


class TrustedPeers:
    """Tells by its address whether a peer is one of our proxies; answers are remembered.

    ``unix`` is for a listener on a Unix socket, whose peers always are.
    """

    def __init__(self, networks: Iterable[Network], *, unix: bool = False) -> None:
        self._networks = tuple(networks)
        self._unix = unix
        self._known: dict[str, bool] = {}

    def trusts(self, peer: str | None) -> bool:
        """Whether the headers of ``peer`` count. A peer without an address is unknown."""
        if self._unix:
            return True
        if peer is None:
            return False
        known = self._known.get(peer)
        if known is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            known = self._known[peer] = self._is_listed(peer)
        return known

    def _is_listed(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)

"""What has to be known of an issuer to fetch its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .fetch import FetchLimits

DiscoveryMode = Literal["auto", "oidc", "oauth", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerSource:
    """Where one issuer's keys come from, and how patiently.

    Of ``jwks_file``, ``jwks_uri``, ``well_known_url`` and discovery the first that is given
    is used. ``issuer_templates`` are further values that the ``issuer`` of the metadata may
    have (Entra ID's ``{tenantid}`` template), compared byte for byte. ``ca_file`` replaces
    the usual certificate authorities. ``advertised`` is what clients are told in place of
    ``issuer``, if anything. ``egress_proxy`` is the URL of a proxy to fetch through.
    ``refresh``, ``cooldown``, ``max_stale`` and
    ``timeout`` are in seconds; ``timeout`` covers discovery and keys together.
    """

    name: str
    issuer: str
    advertised: str | None = None
    jwks_uri: str | None = None
    jwks_file: str | None = None
    discovery: DiscoveryMode = "auto"
    well_known_url: str | None = None
    issuer_templates: tuple[str, ...] = ()
    ca_file: str | None = None
    egress_proxy: str | None = None
    allow_http_hosts: frozenset[str] = frozenset()
    refresh: float = 600.0
    cooldown: float = 10.0
    max_stale: float = 86400.0
    timeout: float = 5.0
    max_bytes: int = 1024 * 1024

    @property
    def limits(self) -> FetchLimits:
        """The bounds of each single fetch."""
        return FetchLimits(
            timeout=self.timeout,
            max_bytes=self.max_bytes,
            ca_file=self.ca_file,
            egress_proxy=self.egress_proxy,
            allow_http_hosts=self.allow_http_hosts,
        )

    @property
    def origin(self) -> tuple[object, ...]:
        """All that decides whose keys these are; the rest is patience and the way there."""
        return (
            self.issuer,
            self.jwks_uri,
            self.jwks_file,
            self.discovery,
            self.well_known_url,
            self.issuer_templates,
            self.ca_file,
            tuple(sorted(self.allow_http_hosts)),
        )

"""From the settings of issuers to what fetching their keys takes."""

from __future__ import annotations

from extauthz.config.load import Loaded
from extauthz.keys.source import IssuerSource


def issuer_sources(loaded: Loaded) -> tuple[IssuerSource, ...]:
    """One source for each issuer of the settings."""
    mode = loaded.environment
    return tuple(
        IssuerSource(
            name=issuer.name,
            issuer=issuer.issuer,
            advertised=issuer.advertised_issuer,
            jwks_uri=issuer.jwks_uri,
            jwks_file=issuer.jwks_file,
            discovery=issuer.discovery,
            well_known_url=None if mode is None else mode.metadata_url,
            issuer_templates=issuer.accepted_issuers,
            ca_file=issuer.ca_file,
            egress_proxy=issuer.egress_proxy,
            allow_http_hosts=frozenset(issuer.allow_http_hosts),
            refresh=issuer.keys.refresh,
            cooldown=issuer.keys.cooldown,
            max_stale=issuer.keys.max_stale,
            timeout=issuer.keys.timeout,
            max_bytes=issuer.keys.max_bytes,
        )
        for issuer in loaded.settings.issuers
    )

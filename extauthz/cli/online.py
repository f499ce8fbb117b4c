"""What ``extauthz validate --online`` finds out: does every issuer have usable keys?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from extauthz.config.issuer import IssuerSettings
from extauthz.config.load import Loaded
from extauthz.keys.discovery import called_otherwise, discover
from extauthz.keys.fetch import FetchError, fetch
from extauthz.keys.load import load_keys
from extauthz.keys.source import IssuerSource
from extauthz.service.sources import issuer_sources


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found about an issuer. ``level`` is ``ok``, ``warning`` or ``error``."""

    level: str
    issuer: str
    text: str

    def __str__(self) -> str:
        return f"{self.level}: issuer {self.issuer}: {self.text}"


async def survey(loaded: Loaded) -> list[Finding]:
    """Fetch discovery and keys of every issuer, all at the same time."""
    found = await asyncio.gather(*map(_survey, loaded.settings.issuers, issuer_sources(loaded)))
    return [finding for findings in found for finding in findings]


async def _survey(issuer: IssuerSettings, source: IssuerSource) -> list[Finding]:
    try:
        keys = await load_keys(source)
    except FetchError as fault:
        return [Finding("error", issuer.name, str(fault))]
    algorithms = {name for key in keys.key_set.keys for name in key.algorithms}
    usable = sorted(algorithms.intersection(issuer.algorithms))
    number = len(keys.key_set.keys)
    what = f"{number} key{'' if number == 1 else 's'} from {keys.jwks_uri or issuer.jwks_file}"
    found = [Finding("ok", issuer.name, f"{what} for {', '.join(usable) or 'nothing'}")]
    if not usable:
        text = f"no key fits its algorithms; the keys are for {', '.join(sorted(algorithms))}"
        found.append(Finding("error", issuer.name, text))
    found += [
        Finding("warning", issuer.name, f"key skipped: {one}") for one in keys.key_set.skipped
    ]
    if keys.note:
        found.append(Finding("warning", issuer.name, keys.note))
    metadata = keys.metadata or await _metadata_for_clients(issuer, source)
    if isinstance(metadata, Finding):
        return [*found, metadata]
    return [*found, *(one for one in _for_clients(issuer, metadata) if one not in found)]


async def _metadata_for_clients(
    issuer: IssuerSettings, source: IssuerSource
) -> Mapping[str, object] | Finding:
    """The metadata that clients will look for, where the keys were had without it."""
    asked = replace(source, issuer=issuer.advertised, jwks_uri=None, jwks_file=None)
    if asked.discovery == "off":
        asked = replace(asked, discovery="auto")
    try:
        async with asyncio.timeout(source.timeout):
            return (await discover(asked, fetch)).metadata
    except (FetchError, TimeoutError) as fault:
        text = str(fault) or "no answer in time"
        return Finding("warning", issuer.name, f"clients will find no metadata: {text}")


def _for_clients(issuer: IssuerSettings, metadata: Mapping[str, object]) -> Iterator[Finding]:
    """What keeps MCP clients from logging in, although tokens could be judged."""

    def warning(text: str) -> Finding:
        return Finding("warning", issuer.name, text)

    if otherwise := called_otherwise(metadata, issuer.advertised):
        yield warning(otherwise)
    methods = metadata.get("code_challenge_methods_supported")
    if not isinstance(methods, list) or "S256" not in methods:
        yield warning(
            "its metadata lacks code_challenge_methods_supported with S256: MCP clients must "
            "refuse to log in there"
        )
    if not metadata.get("registration_endpoint") and not metadata.get(
        "client_id_metadata_document_supported"
    ):
        yield warning(
            "its metadata offers no way for clients to register themselves: each one needs a "
            "client id from you"
        )

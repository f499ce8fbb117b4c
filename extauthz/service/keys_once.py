"""Every issuer's keys, fetched once: for commands that judge without serving."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from extauthz.config.load import Loaded
from extauthz.core.keyset import KeySet
from extauthz.keys.fetch import FetchError
from extauthz.keys.load import load_keys

from .sources import issuer_sources


async def fetch_keys_once(loaded: Loaded) -> tuple[Mapping[str, KeySet], Mapping[str, str]]:
    """The key sets by issuer name, and for those that could not be had, why not."""
    sources = issuer_sources(loaded)
    results = await asyncio.gather(*map(load_keys, sources), return_exceptions=True)
    keys: dict[str, KeySet] = {}
    failed: dict[str, str] = {}
    for source, result in zip(sources, results, strict=True):
        if isinstance(result, FetchError):
            failed[source.name] = str(result)
        elif isinstance(result, BaseException):
            raise result
        else:
            keys[source.name] = result.key_set
    return keys, failed

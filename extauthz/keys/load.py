"""One attempt at an issuer's keys, from wherever they come."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from extauthz.core.keyset import KeySet, KeySetError, parse_key_set

from .apart import apart
from .discovery import IssuerMismatch, called_otherwise, discover
from .fetch import Fetched, Fetcher, FetchError, FetchLimits, fetch, http_library
from .reading import read
from .source import IssuerSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A usable key set, the document it was read from, and how to ask for a newer one.

    ``max_age`` is in seconds, None when not said. ``metadata`` is that of the last
    discovery, None when there was none. ``note`` is a fault that did not stop us.
    """

    key_set: KeySet = field(repr=False)
    document: bytes = field(repr=False)
    jwks_uri: str | None = None
    etag: str | None = None
    max_age: float | None = None
    metadata: Mapping[str, object] | None = field(default=None, repr=False)
    note: str = ""


async def load_keys(
    source: IssuerSource,
    known: Loaded | None = None,
    *,
    fetcher: Fetcher = fetch,
    rediscover: bool = True,
) -> Loaded:
    """Fetch the keys of one issuer within ``source.timeout`` seconds altogether.

    ``known`` is what the last success brought: its entity tag is offered, its address is
    used when ``rediscover`` is False or the metadata cannot be had just now, and its
    ``key_set`` comes back when nothing has changed. Raises FetchError, also for a document
    without a usable key.
    """
    waiting_for = f"jwks_file {source.jwks_file}"
    if source.jwks_file is None and fetcher is fetch:
        await http_library()

    async def noted(url: str, limits: FetchLimits, *, etag: str | None = None) -> Fetched:
        nonlocal waiting_for
        waiting_for = url.partition("?")[0]
        return await fetcher(url, limits, etag=etag)

    try:
        async with asyncio.timeout(source.timeout):
            if source.jwks_file is not None:
                return await _load_file(source.jwks_file, source.max_bytes, known)
            return await _load_url(source, known, noted, rediscover=rediscover)
    except TimeoutError:
        raise FetchError(
            f"{waiting_for}: no complete answer when the {source.timeout:g} s for discovery and "
            "keys were over (keys.timeout); check that the address is right and reachable from here"
        ) from None


async def _load_file(path: str, max_bytes: int, known: Loaded | None) -> Loaded:
    document = await apart(_read, Path(path), max_bytes)
    if known is not None and known.document == document:
        return known
    try:
        return Loaded(key_set=await parsed(document), document=document)
    except KeySetError as fault:
        raise FetchError(f"jwks_file {path}: {fault}", answered=True) from None


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        # A pipe or a device could make us wait for ever.
        if not path.is_file():
            raise FetchError(f"jwks_file {path}: no such file")
        with path.open("rb") as file:
            document = file.read(max_bytes + 1)
    except OSError as fault:
        raise FetchError(f"jwks_file {path}: {fault.strerror or 'not readable'}") from None
    if len(document) > max_bytes:
        raise FetchError(f"jwks_file {path}: larger than {max_bytes} bytes (keys.max_bytes)")
    return document


async def _load_url(
    source: IssuerSource, known: Loaded | None, fetcher: Fetcher, *, rediscover: bool
) -> Loaded:
    if source.jwks_uri is not None:
        where = _Where(source.jwks_uri)
    elif known is not None and known.jwks_uri is not None and not rediscover:
        where = _Where(known.jwks_uri, known.metadata)
    else:
        where = await _found(source, known, fetcher)
    jwks_uri = where.jwks_uri
    etag = known.etag if known is not None and known.jwks_uri == jwks_uri else None
    answer = await fetcher(jwks_uri, source.limits, etag=etag)
    if known is not None and (answer.not_modified or answer.body == known.document):
        key_set, document = known.key_set, known.document
    else:
        document = answer.body
        try:
            key_set = await parsed(document)
        except KeySetError as fault:
            hint = "; it is a web page: check the address" if answer.is_html else ""
            shown = jwks_uri.partition("?")[0]
            raise FetchError(f"{shown}: {fault}{hint}", answered=True) from None
    return Loaded(
        key_set=key_set,
        document=document,
        jwks_uri=jwks_uri,
        etag=answer.etag,
        max_age=answer.max_age,
        metadata=where.metadata,
        note=where.note or _called_otherwise(source, where.metadata),
    )


@dataclass(frozen=True, slots=True)
class _Where:
    jwks_uri: str
    metadata: Mapping[str, object] | None = None
    note: str = ""


async def _found(source: IssuerSource, known: Loaded | None, fetcher: Fetcher) -> _Where:
    """Where the keys are now; while the metadata cannot be had, where they were before."""
    if known is None or known.jwks_uri is None:
        found = await discover(source, fetcher)
        return _Where(found.jwks_uri, found.metadata)
    try:
        # The other half of the time is left for the keys themselves.
        async with asyncio.timeout(source.timeout / 2):
            found = await discover(source, fetcher)
    except IssuerMismatch:
        raise
    except FetchError as fault:
        note = str(fault)
    except TimeoutError:
        note = "the metadata took too long"
    else:
        return _Where(found.jwks_uri, found.metadata)
    return _Where(known.jwks_uri, known.metadata, f"the last known jwks_uri is used: {note}")


def _called_otherwise(source: IssuerSource, metadata: Mapping[str, object] | None) -> str:
    # Under another name clients find another document, which may well have that name.
    if metadata is None or source.advertised is not None:
        return ""
    return called_otherwise(metadata, source.issuer)


async def parsed(document: bytes) -> KeySet:
    """The key set that a document describes. Raises KeySetError."""
    return await read(parse_key_set, document)

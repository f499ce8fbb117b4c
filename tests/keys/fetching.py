"""Fetching one page of a rough server."""

from __future__ import annotations

from typing import Any

import pytest

from extauthz.keys.fetch import Fetched, FetchError, FetchLimits, fetch

from .rough_server import Page, RoughServer

BODY = b'{"keys": []}'


def limits(**members: Any) -> FetchLimits:
    return FetchLimits(**{"timeout": 5.0, "max_bytes": 100_000, **members})


async def get(
    server: RoughServer, page: Page, *, etag: str | None = None, **members: Any
) -> Fetched:
    server.pages["/keys"] = page
    return await fetch(server.origin + "/keys", limits(**members), etag=etag)


async def fault(server: RoughServer, page: Page, **members: Any) -> FetchError:
    with pytest.raises(FetchError) as caught:
        await get(server, page, **members)
    assert str(caught.value).startswith(server.origin + "/keys")
    return caught.value

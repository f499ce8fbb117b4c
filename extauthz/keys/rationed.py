"""What an issuer sends, taken a little at a time, so that no request waits while it is read.

The HTTP library takes apart all that has come before it lets go of the event loop: of chunks of
one octet, or of answers with a status of 1xx, that takes a third of a second, again and again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final

import httpcore

MAX_BESIDES: Final = 32 * 1024
"""Octets of an answer besides its content: heads, those of redirects too, and chunk sizes."""

_PIECE: Final = 1024


class TooMuchBesides(Exception):
    """The answer holds too much that is no content."""


class Ration:
    """How much may still come that is no content.

    What chunks add to a content may be as long as that: one in chunks of five octets and more may
    be as long as any.
    """

    def __init__(self) -> None:
        self._left = MAX_BESIDES

    def came(self, octets: int) -> None:
        """Count what came. Raises TooMuchBesides."""
        self._left -= octets
        if self._left < 0:
            raise TooMuchBesides(
                f"the answer has more than {MAX_BESIDES} bytes of headers and chunk sizes"
            )

    def content(self, octets: int) -> None:
        """Say that so many of those that came were content."""
        self._left += 2 * octets


class RationedStream(httpcore.AsyncNetworkStream):
    """``stream``, read a little at a time; in between the event loop sees to everything else."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, came: Callable[[int], None]) -> None:
        self._stream = stream
        self._came = came

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109  the library's own word
    ) -> bytes:
        """As the library's own. Raises what ``came`` does."""
        # What is there already is given out without a stop, over TLS at least.
        await asyncio.sleep(0)
        data = await self._stream.read(min(max_bytes, _PIECE), timeout)
        self._came(len(data))
        return data

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109  as above
    ) -> None:
        """As the library's own."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """As the library's own."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  as above
    ) -> httpcore.AsyncNetworkStream:
        """As the library's own."""
        stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        return RationedStream(stream, self._came)

    def get_extra_info(self, info: str) -> Any:
        """As the library's own."""
        return self._stream.get_extra_info(info)

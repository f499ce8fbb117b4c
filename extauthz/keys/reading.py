"""Documents of issuers are read where they keep no request waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

_T = TypeVar("_T")

_AT_ONCE: Final = 64 * 1024
# One thread: each would keep for good what its largest document took, twenty times its length.
_READING: Final = ThreadPoolExecutor(1, "reading")


async def read(parse: Callable[[bytes], _T], document: bytes) -> _T:
    """What ``parse`` returns or raises for the document, in a thread where it is a long one."""
    if len(document) <= _AT_ONCE:
        return parse(document)
    return await asyncio.get_running_loop().run_in_executor(_READING, parse, document)

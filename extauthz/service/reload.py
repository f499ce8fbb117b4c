"""Noticing that the configuration has changed, however it was replaced, and reading it."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from extauthz.config.load import Loaded, read_file
from extauthz.config.names import DOTENV
from extauthz.keys.apart import apart

POLL_SECONDS: Final = 5.0
READING_SECONDS: Final = 30.0
_SETTLING_SECONDS: Final = 0.5
_LOOKS: Final = 4

_T = TypeVar("_T")


async def read_apart(read: Callable[[], _T]) -> _T:
    """What ``read()`` returns, which may wait for a disk that hangs.

    The process can end meanwhile. Raises TimeoutError after READING_SECONDS.
    """
    try:
        async with asyncio.timeout(READING_SECONDS):
            return await apart(read)
    except TimeoutError:
        what = (
            f"reading took more than {READING_SECONDS:g} s; expected files on a disk that answers"
        )
        raise TimeoutError(errno.ETIMEDOUT, what) from None


async def settled_change(
    changed: Callable[[], bool], rest: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> bool:
    """Whether ``changed()``, and if so, once it has not for half a second, or has for two.

    Of a file that is written in place the first part may be a good one, without rules that follow.
    """
    if not await read_apart(changed):
        return False
    for _ in range(_LOOKS):
        await rest(_SETTLING_SECONDS)
        if not await read_apart(changed):
            break
    return True


class ConfigWatch:
    """Tells by its content whether the file in force has changed.

    Content and not time stamps, since Kubernetes swaps a link and editors replace files.
    ``read`` is the reader the settings were loaded with.
    """

    def __init__(self, loaded: Loaded, read: Callable[[str], bytes] = read_file) -> None:
        self._path = loaded.source or DOTENV
        self._read = read
        # What was loaded, and not what is there by now: it may have changed in between.
        self._seen = self._digest() if loaded.source is None else loaded.digest

    def changed(self) -> bool:
        """Whether the content differs from what was last seen here. May read a file."""
        digest = self._digest()
        if digest == self._seen:
            return False
        self._seen = digest
        return True

    def _digest(self) -> str | None:
        try:
            return hashlib.sha256(self._read(self._path)).hexdigest()
        except OSError:
            return None

"""How long the end takes, and how it is cut short."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

_LAME_DUCK_SHARE: Final = 0.4
# The whole shutdown ends within ten seconds; the last is for what comes after the requests.
_LONGEST: Final = 9.0


def shares(drain: float) -> tuple[float, float]:
    """The seconds in which requests are still taken, and those for requests under way then."""
    drain = min(drain, _LONGEST)
    return drain * _LAME_DUCK_SHARE, drain * (1 - _LAME_DUCK_SHARE)


async def end(
    stop: Callable[[float], Coroutine[Any, Any, None]],
    grace: float,
    hurry: Awaitable[object],
) -> None:
    """``stop(grace)``, and ``stop(0)`` as soon as ``hurry`` comes about before that has ended."""
    stopping = asyncio.create_task(stop(grace))
    hurrying = asyncio.ensure_future(hurry)
    try:
        await asyncio.wait((stopping, hurrying), return_when=asyncio.FIRST_COMPLETED)
    finally:
        hurrying.cancel()
    if stopping.done():
        await stopping
        return
    stopping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await stopping
    await stop(0)

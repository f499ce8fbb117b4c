"""What a process does again and again while it serves, whatever becomes of it one time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)


async def again_and_again(what: Callable[[], Awaitable[None]], every: float) -> None:
    """Do ``what``, wait for ``every`` seconds, and so on until cancelled.

    An exception ends one time and not the rest. Of several in a row the first is logged.
    """
    failing = False
    while True:
        try:
            await what()
            failing = False
        except Exception:  # noqa: BLE001  what broke now may go well the next time
            if not failing:
                _log.exception("what is done every %g s broke off; it goes on", every)
            failing = True
        await asyncio.sleep(every)

"""Which event loop everything runs on."""

from __future__ import annotations

import asyncio


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop: uvloop where there is one."""
    try:
        import uvloop  # noqa: PLC0415  faster where there is one
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop

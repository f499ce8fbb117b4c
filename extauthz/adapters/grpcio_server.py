"""grpcio's asyncio server, as one that takes many calls at a time.

By itself it asks its core for one call, and for the next only when its event loop has come
round to that one: each call pays alone for its way between grpcio's threads and the loop.
Where many were asked for, all that came are fetched in one go, and so are their messages and
the ends of their answers. grpcio has no public way to ask for more: where a later one is built
otherwise than the place that is replaced here, it asks for one at a time again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # compiled, without types

_AT_A_TIME: Final = 64
_LONGEST_END: Final = 1.0
_Usual: Final = getattr(cygrpc, "AioServer", None)


def new_server(options: Iterable[tuple[str, int]]) -> grpc.aio.Server:
    """A server with these options, not started yet."""
    if _Usual is None:
        return grpc.aio.server(options=tuple(options))
    cygrpc.AioServer = _AioServer
    try:
        return grpc.aio.server(options=tuple(options))
    finally:
        cygrpc.AioServer = _Usual


class CallsToCome:
    """Has ``most`` calls asked for ahead of those that are wanted, those that came included.

    ``ask`` waits for a call and returns it.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, object]], most: int) -> None:
        self._ask = ask
        self._most = most
        self._asked: set[asyncio.Task[object]] = set()
        self._came: deque[object] = deque()
        self._wanted: asyncio.Future[None] | None = None
        self._all_taken = asyncio.Event()
        self._ended = False

    async def next(self) -> object:
        """The call that came first; for one who asks again and again. Raises what ``ask`` does."""
        loop = asyncio.get_running_loop()
        while len(self._asked) + len(self._came) < self._most:
            task = loop.create_task(self._ask())
            self._asked.add(task)
            task.add_done_callback(self._answered)
        while not self._came:
            self._all_taken.set()
            self._wanted = loop.create_future()
            await self._wanted
        return self._came.popleft()

    async def end(self) -> None:
        """Have those that came taken, and from then on only one that somebody waits for."""
        self._most = 1
        # Who takes them may be no more.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_END):
                while self._came:
                    self._all_taken.clear()
                    await self._all_taken.wait()
        self._ended = True
        self._came.clear()

    def _answered(self, task: asyncio.Task[object]) -> None:
        self._asked.discard(task)
        if task.cancelled():
            return
        fault, wanted = task.exception(), self._wanted
        if wanted is not None and wanted.done():
            wanted = None
        # A call that is not kept is given up by the core, and its client hears of that.
        if fault is None and (wanted is not None or not self._ended):
            self._came.append(task.result())
        if wanted is None:
            return
        if fault is None:
            wanted.set_result(None)
        else:
            wanted.set_exception(fault)


class _AioServer(_Usual or object):  # type: ignore[misc]  # it has no types
    """What a grpc.aio.Server consists of."""

    _calls: CallsToCome | None = None

    def add_registered_method_handlers(self, _: object) -> None:
        """Leave them to the generic handlers: calls of a registered method are asked for apart."""

    async def _request_call(self, *unknown: Any) -> object:
        if unknown:
            return await super()._request_call(*unknown)
        if self._calls is None:
            self._calls = CallsToCome(super()._request_call, _AT_A_TIME)
        return await self._calls.next()

    async def shutdown(self, grace: float | None) -> None:
        """End, once every call that was fetched has begun."""
        if self._calls is not None:
            await self._calls.end()
        await super().shutdown(grace)

"""One of several processes that serve: ``python -m extauthz.service CHANNEL STACK``.

Settings, keys and readiness come from the supervisor (``workers``) over the socket whose
descriptor is ``CHANNEL``; counts go back. When that socket ends, so does the worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import time
from collections.abc import Mapping
from itertools import count
from types import MappingProxyType
from typing import Final

import extauthz
from extauthz.adapters.native_missing import NativeMissing
from extauthz.adapters.tls import TlsFilesError
from extauthz.authorizer import Authorizer
from extauthz.core.engine import Engine
from extauthz.core.keyset import KeySet
from extauthz.core.model import Reason
from extauthz.keys.load import parsed
from extauthz.telemetry.counts import DecisionCounts
from extauthz.telemetry.decision_log import DecisionLog
from extauthz.telemetry.formats import FORMATS
from extauthz.telemetry.log_pipe import LogPipe, shared_descriptor_sink
from extauthz.telemetry.observer import DecisionObserver
from extauthz.telemetry.records import send_logs_to, set_level
from extauthz.telemetry.tracing import spans_wanted

from .doors import Doors
from .ending import end
from .garbage import end_start
from .heap import keep_for_next
from .loop import new_loop
from .messages import (
    Alive,
    CannotServe,
    Channel,
    Counts,
    Done,
    Drain,
    Find,
    Found,
    Keys,
    Listening,
    Ready,
    Refused,
    Stop,
    Take,
    Tell,
)
from .noticed import Noticed
from .rounds import again_and_again

_STDOUT: Final = 1
_REPORT_SECONDS: Final = 0.25


class SuppliedKeys:
    """The keys that the supervisor holds, and searches that it makes for us."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._documents: Mapping[str, bytes] = {}
        self._key_sets: dict[str, KeySet] = {}
        self._view = MappingProxyType(self._key_sets)
        self._in_order = asyncio.Lock()
        self._numbers = count()
        self._searches: dict[int, asyncio.Future[Reason | None]] = {}

    def snapshot(self) -> Mapping[str, KeySet]:
        """The usable key sets by issuer name."""
        return self._view

    async def supplied(self, documents: Mapping[str, bytes]) -> None:
        """Go by these documents; a key set whose document is the same stays as it is.

        Nothing changes before all are read, nor before those that were supplied earlier.
        """
        async with self._in_order:
            fresh = {
                name: await parsed(document)
                for name, document in documents.items()
                if self._documents.get(name) != document
            }
            for name in self._key_sets.keys() - documents.keys():
                del self._key_sets[name]
            self._key_sets.update(fresh)
            self._documents = documents

    async def find(self, issuer: str, kid: str | None, *, wait: float) -> Reason | None:
        """Look for a key for at most ``wait`` seconds; None when it is there now."""
        number = next(self._numbers)
        search: asyncio.Future[Reason | None] = asyncio.get_running_loop().create_future()
        self._searches[number] = search
        self._channel.send(Find(number, issuer, kid, wait))
        try:
            # The supervisor's answer has no time of its own: the caller has none left.
            async with asyncio.timeout(wait):
                return await search
        except TimeoutError:
            return Reason.KEYS_UNAVAILABLE
        finally:
            del self._searches[number]

    def found(self, answer: Found) -> None:
        """Hand an answer of the supervisor's to the request that waits for it."""
        search = self._searches.get(answer.number)
        if search is not None and not search.done():
            search.set_result(answer.missing)


class Worker:
    """Serves by what the supervisor says."""

    def __init__(self, channel: Channel, first: Take) -> None:
        terms = first.terms
        self._channel = channel
        self._pipe = LogPipe(shared_descriptor_sink(_STDOUT), FORMATS[terms.log_format])
        send_logs_to(self._pipe, level=terms.log_level)
        self._counts = DecisionCounts()
        self._lines = DecisionLog(self._pipe, terms.lines, random=random.random)
        self._spans = spans_wanted(os.environ, version=extauthz.__version__)
        self._observer = DecisionObserver(
            self._counts,
            self._lines,
            wall=time.time,
            monotonic=time.monotonic,
            spans=self._spans,
        )
        self._keys = SuppliedKeys(channel)
        self._first_keys = first.documents
        self._authorizer = Authorizer(
            Engine(terms.policy),
            self._keys,
            self._observer,
            wall=time.time,
            monotonic=time.perf_counter,
        )
        self._noticed = Noticed()
        self._counted = 0
        self._doors = Doors(self._authorizer, terms, first.addresses, shared=True)

    async def serve(self) -> int:
        """Open the doors and follow orders until the last one; the exit code."""
        await self._keys.supplied(self._first_keys)
        await self._doors.start()
        end_start()
        keep_for_next()
        self._channel.send(Listening())
        telling = asyncio.create_task(again_and_again(self._report, _REPORT_SECONDS))
        try:
            while True:
                order = await self._channel.receive()
                if isinstance(order, Stop):
                    await end(self._doors.stop, order.grace, self._told_again())
                    return 0
                await self._follow(order)
        except EOFError:
            # Without the supervisor there are no new keys, and nobody who would end us.
            await self._doors.stop(0)
            return 1
        finally:
            telling.cancel()
            self._tell()

    async def _told_again(self) -> None:
        """Wait for one more order to stop, or for the supervisor's end."""
        with contextlib.suppress(EOFError):
            while not isinstance(order := await self._channel.receive(), Stop):
                await self._follow(order)

    def close(self) -> None:
        """Write the last lines of the log."""
        if self._spans is not None:
            self._spans.close()
        self._pipe.close()

    async def _follow(self, order: object) -> None:
        match order:
            case Keys():
                await self._keys.supplied(order.documents)
            case Found():
                self._keys.found(order)
            case Ready():
                await self._doors.set_ready(order.ready)
            case Take():
                previous = self._authorizer.engine
                engine = Engine(order.terms.policy, previous=previous)
                await self._keys.supplied(order.documents)
                self._authorizer.engine = engine
                self._lines.style = order.terms.lines
                set_level(order.terms.log_level)
                self._pipe.form = FORMATS[order.terms.log_format]
                await self._doors.take(order.terms)
                self._channel.send(Done())
            case Tell():
                self._tell()
                self._channel.send(Done())
            case Drain():
                await self._doors.begin_drain()

    async def _report(self) -> None:
        counted = sum(self._counts.by_key.values())
        if counted == self._counted:
            self._channel.send(Alive())
        else:
            self._tell()
            self._counted = counted

    def _tell(self) -> None:
        noticed = Noticed.in_this_process(self._authorizer, self._observer)
        if noticed != self._noticed:
            self._noticed = noticed
            self._channel.send(noticed)
        cache = self._authorizer.engine.cache
        durations = {
            transport: (list(histogram.counts), histogram.total)
            for transport, histogram in self._counts.durations.items()
        }
        self._channel.send(
            Counts(
                dict(self._counts.by_key),
                durations,
                cache.hits,
                cache.misses,
                len(cache),
                self._pipe.dropped,
            )
        )
        # Kept by the supervisor, which outlives us.
        if refusals := self._lines.refusals.take():
            self._channel.send(Refused(refusals))


async def _work(descriptor: int) -> int:
    channel = await Channel.over(socket.socket(fileno=descriptor))
    first = await channel.receive()
    if not isinstance(first, Take):
        raise TypeError("the first message must be Take")
    try:
        worker = Worker(channel, first)
        try:
            return await worker.serve()
        finally:
            worker.close()
    except (OSError, TlsFilesError, NativeMissing) as fault:
        channel.send(CannotServe(str(fault)))
        return 1
    finally:
        channel.close()


def main(descriptor: int) -> int:
    """Serve until told to end; the exit code."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_work(descriptor))

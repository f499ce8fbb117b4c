"""The supervisor's side of ``workers: N``: it starts them, supplies them and adds them up.

Keys are fetched here and nowhere else. A worker that dies is replaced at once, and one that hangs
after some seconds; the others go on, since each listens for itself on the shared ports
(SO_REUSEPORT).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from extauthz.adapters.sockets import reserve
from extauthz.config.addresses import Address
from extauthz.keys.store import KeyStore
from extauthz.telemetry.counts import DECISION_BOUNDS, DecisionCounts, Histogram
from extauthz.telemetry.metrics import Usage
from extauthz.telemetry.records import described
from extauthz.telemetry.refusals import LastRefusals

from .doors import DoorAddresses
from .messages import (
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
    added_up,
)
from .noticed import Noticed
from .rounds import again_and_again
from .signs_of_life import LOOK_SECONDS, Hanging, SignsOfLife
from .stack import Stack
from .terms import Terms
from .usage import WorkersUsage

_log = logging.getLogger(__name__)

_KEYS_SECONDS: Final = 0.1
_SUM_SECONDS: Final = 0.25
_SOON: Final = 1.0
_PAUSE: Final = 0.5
_PATIENCE: Final = 1.0
_TAKING: Final = 5.0
_LOOK: Final = 0.01


@dataclass(slots=True, eq=False)
class _Slot:
    """The place of one worker, whichever process fills it at the moment."""

    number: int
    signs: SignsOfLife
    stack: Stack
    channel: Channel | None = None
    process: subprocess.Popen[bytes] | None = None
    counts: Counts | None = None
    noticed: Noticed = field(default_factory=Noticed)
    refusal: str | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    # How many orders that ask for Done the process of the moment still has to follow.
    behind: int = 0
    caught_up: asyncio.Event = field(default_factory=asyncio.Event)


class Workers:
    """Serves through ``number`` other processes, as ``Doors`` does in this one.

    Everything counted is added up into ``decisions``, four times a second where there is news, and
    when somebody asks (``add_up``);
    ``heard`` is called after each time. The last that they refused is put into ``refusals``.
    """

    def __init__(
        self,
        number: int,
        terms: Terms,
        addresses: DoorAddresses,
        keys: KeyStore,
        *,
        decisions: DecisionCounts,
        refusals: LastRefusals,
        heard: Callable[[], None],
    ) -> None:
        self._terms = terms
        self._keys = keys
        self._decisions = decisions
        self._refusals = refusals
        self._heard = heard
        self._addresses = addresses
        self._held: list[socket.socket] = []
        self._slots = [_Slot(place, SignsOfLife(place), Stack()) for place in range(number)]
        self._lost = 0
        # What workers that have ended had counted: a counter never goes back.
        self._ended: list[Counts] = []
        # Whether a worker has counted since all was added up.
        self._counted = False
        self._usage = WorkersUsage()
        self._documents: Mapping[str, bytes] = {}
        self._ready = False
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> DoorAddresses:
        """Open the doors of all workers, unready. Raises OSError when an address cannot be had."""
        self._addresses = DoorAddresses(*map(self._reserved, _both(self._addresses)))
        self._documents = self._keys.documents()
        for slot in self._slots:
            self._begin(self._fill(slot))
        self._begin(again_and_again(self._see_to_those_that_hang, LOOK_SECONDS))
        await asyncio.gather(*(slot.settled.wait() for slot in self._slots))
        refusal = next((slot.refusal for slot in self._slots if slot.refusal), None)
        if refusal:
            await self.stop(0)
            raise OSError(refusal)
        self._begin(again_and_again(self._supply, _KEYS_SECONDS))
        self._begin(again_and_again(self._keep_added_up, _SUM_SECONDS))
        return self._addresses

    async def set_ready(self, ready: bool) -> None:
        """Have health checks told whether to send requests."""
        self._ready = ready
        self._send(Ready(ready))

    async def begin_drain(self) -> None:
        """Have all workers say that no more requests are wanted, and answer those that come."""
        self._ready = False
        self._send(Drain())

    async def take(self, terms: Terms) -> None:
        """Have all workers go by changed terms, and wait until they do.

        A worker that dies meanwhile is replaced by one that does from the start.
        """
        self._terms = terms
        self._documents = self._keys.documents()
        if not await self._followed(Take(terms, self._documents, self._addresses), _TAKING):
            _log.error("a worker has not yet taken the configuration")

    async def add_up(self) -> None:
        """Add up what was counted until now; what a worker is slow to tell is left for later."""
        await self._followed(Tell(), _SUM_SECONDS)
        await self._keep_added_up()

    async def stop(self, grace: float) -> None:
        """End all workers within ``grace`` seconds, or a little later by force."""
        self._stopping.set()
        self._send(Stop(grace))
        deadline = time.monotonic() + grace + _PATIENCE
        for slot in self._slots:
            if slot.process is not None:
                await _end(slot.process, deadline)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for one in self._held:
            one.close()
        for slot in self._slots:
            slot.stack.close()

    def serving(self) -> bool:
        """Whether a worker has its doors open, and gave a sign of life lately."""
        return any(slot.signs.lately() for slot in self._slots)

    def cache_totals(self) -> tuple[int, int, int]:
        """Tokens remembered now, and how often one was found and not found."""
        alive = [slot.counts for slot in self._slots if slot.counts is not None]
        everything = [*alive, *self._ended]
        entries = sum(counts.entries for counts in alive)
        return entries, sum(c.hits for c in everything), sum(c.misses for c in everything)

    def noticed(self) -> Noticed:
        """How proxies asked the workers lately, where that is risky."""
        return Noticed.by_any(slot.noticed for slot in self._slots)

    def dropped(self) -> int:
        """Log lines that workers could not write."""
        everything = [*(s.counts for s in self._slots), *self._ended]
        return sum(counts.dropped for counts in everything if counts is not None)

    def lost(self) -> int:
        """Workers that ended without being told to, or were ended as they hung."""
        return self._lost

    def usage(self) -> Usage:
        """Processor time and memory of all workers, those that have ended included."""
        return self._usage.of(slot.process.pid for slot in self._slots if slot.process is not None)

    def _reserved(self, address: Address | None) -> Address | None:
        if address is None:
            return None
        address, held = reserve(address)
        self._held += held
        return address

    # ---- one worker

    async def _fill(self, slot: _Slot) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                await self._run(slot)
            except Exception as fault:  # noqa: BLE001  the next time it may go well
                _say_not_run(slot, fault)
            slot.settled.set()
            if self._stopping.is_set() or slot.refusal:
                return
            if time.monotonic() - began < _SOON:
                await asyncio.sleep(_PAUSE)

    async def _run(self, slot: _Slot) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                slot.process = process = _started(theirs.fileno(), slot.stack.theirs)
            channel = await Channel.over(ours)
        except BaseException:
            # A worker that was started ends by that.
            ours.close()
            raise
        slot.channel = channel
        slot.behind, slot.noticed = 0, Noticed()
        slot.signs.started()
        try:
            channel.send(Take(self._terms, self._documents, self._addresses))
            while True:
                message = await channel.receive()
                if isinstance(message, CannotServe):
                    slot.refusal = message.why
                else:
                    slot.signs.heard()
                    self._hear(slot, channel, message)
        except EOFError:
            pass
        finally:
            channel.close()
            slot.channel = None
            slot.signs.ended()
            slot.caught_up.set()
            if slot.counts is not None:
                self._ended.append(slot.counts)
                slot.counts = None
            code = await _end(process, time.monotonic() + _PATIENCE)
        if not self._stopping.is_set():
            self._lost += slot.settled.is_set()
            _say_why(slot, code)

    def _hear(self, slot: _Slot, channel: Channel, message: object) -> None:
        match message:
            case Listening():
                channel.send(Ready(self._ready))
                slot.settled.set()
            case Find():
                self._begin(self._find(channel, message))
            case Counts():
                slot.counts = message
                self._counted = True
            case Noticed():
                slot.noticed = message
            case Refused():
                for refusal in reversed(message.refusals):
                    self._refusals.add_told(refusal)
            case Done():
                slot.behind -= 1
                if slot.behind <= 0:
                    slot.caught_up.set()

    async def _find(self, channel: Channel, asked: Find) -> None:
        missing = await self._keys.find(asked.issuer, asked.kid, wait=asked.wait)
        await self._supply()
        channel.send(Found(asked.number, missing))

    # ---- all of them

    def _begin(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(self, message: object) -> None:
        for slot in self._slots:
            if slot.channel is not None:
                slot.channel.send(message)

    async def _followed(self, order: Take | Tell, seconds: float) -> bool:
        """Send it, and wait until all have followed it; False when time is over before."""
        asked = [slot for slot in self._slots if slot.channel is not None]
        for slot in asked:
            slot.behind += 1
            slot.caught_up.clear()
        self._send(order)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(slot.caught_up.wait() for slot in asked))
                return True
        return False

    async def _supply(self) -> None:
        documents = self._keys.documents()
        if documents != self._documents:
            self._documents = documents
            self._send(Keys(documents))

    async def _keep_added_up(self) -> None:
        # At times of its own: for each message, it would grow with the square of the workers.
        if self._counted:
            self._add_up()
            self._counted = False

    async def _see_to_those_that_hang(self) -> None:
        for slot in self._slots:
            found = slot.signs.look()
            if slot.process is not None and found is Hanging.TOLD_OF:
                slot.stack.ask(slot.process)
            elif slot.process is not None and found is Hanging.GIVEN_UP:
                slot.process.kill()
            if where := slot.stack.told():
                _log.error("worker %d says where it was", slot.number, extra={"stack": where})

    def _add_up(self) -> None:
        if len(self._ended) > 1:
            self._ended = [added_up(self._ended)]
        total = added_up([*(s.counts for s in self._slots if s.counts), *self._ended])
        durations: dict[str, Histogram] = {}
        for transport, (counts, seconds) in total.durations.items():
            histogram = durations[transport] = Histogram(DECISION_BOUNDS)
            histogram.counts, histogram.total = counts, seconds
        self._decisions.replace(dict(total.by_key), durations)
        self._heard()


def _say_why(slot: _Slot, code: int) -> None:
    if slot.settled.is_set():
        # It has served here before: whatever went wrong may pass.
        why = slot.refusal
        slot.refusal = None
        what = f"could not serve: {why}" if why else f"ended with {code}"
        _log.error("worker %d %s; another one takes its place", slot.number, what)
    elif slot.refusal is None:
        slot.refusal = f"worker {slot.number} ended with {code} before it could serve"


def _say_not_run(slot: _Slot, fault: Exception) -> None:
    # What the system says (no descriptor is to be had just now) needs no traceback.
    system = fault.strerror if isinstance(fault, OSError) else None
    why = system.lower() if system else described(fault)
    if slot.settled.is_set():
        slot.refusal = None
        what = "worker %d could not be run: %s; it is tried again"
        _log.error(what, slot.number, why, exc_info=None if system else fault)
    else:
        slot.refusal = f"worker {slot.number} could not be started: {why}"


def _both(addresses: DoorAddresses) -> tuple[Address | None, Address | None]:
    return addresses.grpc, addresses.http


def _started(*descriptors: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  our own module
        [sys.executable, "-m", "extauthz.service", *map(str, descriptors)],
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
    )


async def _end(process: subprocess.Popen[bytes], deadline: float) -> int:
    # Looked at and not waited for in a thread, of which there may be none to be had.
    while (code := process.poll()) is None:
        if time.monotonic() > deadline:
            process.kill()
        await asyncio.sleep(_LOOK)
    return code

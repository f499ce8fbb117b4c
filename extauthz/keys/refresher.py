"""The keys of one issuer, kept fresh: schedule, single flight, cooldown, last good keys.

One task makes every attempt, so there are never two at once; whoever needs a key asks that
task and waits for the attempt's end, or no longer than it can.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from dataclasses import dataclass

from extauthz.core.jwk import Key
from extauthz.core.keyset import PRIVATE_KEY_PUBLISHED, KeySet, KeySetError
from extauthz.core.model import Reason

from .apart import apart
from .fetch import FetchError
from .flight import Flight
from .load import Loaded, load_keys, parsed
from .schedule import after_failure, after_success, asked_pause
from .snapshot import Snapshot
from .source import IssuerSource
from .status import IssuerStatus, KeyInfo, RefreshResult
from .surroundings import Surroundings

_log = logging.getLogger(__name__)

MAX_UNKNOWN_KIDS = 2000

_SHOWN_REASONS = 10


@dataclass(frozen=True, slots=True)
class _Held:
    """Last good keys. ``fetched_at`` is by the wall clock, ``since`` by the other one."""

    loaded: Loaded
    fetched_at: float
    since: float
    from_snapshot: bool = False


def _name(key: Key) -> tuple[str | None, str, int]:
    return key.kid, key.kty, key.size


class Refresher:
    """Fetches the keys of one issuer again and again, and at the wish of a request.

    Nothing happens before ``start``. All of it runs in one event loop.
    """

    def __init__(self, source: IssuerSource, surroundings: Surroundings) -> None:
        self.source = source
        self.first_attempt = asyncio.Event()
        self._around = surroundings
        self._published: MutableMapping[str, KeySet] | None = None
        self._held: _Held | None = None
        self._usable: KeySet | None = None
        # When each usable key was first seen, by what identifies it to people.
        self._seen: dict[tuple[str | None, str, int], float] = {}
        self._last_attempt: float | None = None
        self._trying_since: float | None = None
        self._last_asked: float | None = None
        self._last_error: str | None = None
        self._last_error_at: float | None = None
        self._failures = 0
        self._left_alone_until = 0.0
        self._next = surroundings.clock()
        self._unknown: dict[str, float] = {}
        self._flight: Flight | None = None
        self._rediscover = True
        self._nap: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._saving: asyncio.Future[None] | None = None

    # ---- life ----

    def start(self) -> None:
        """Begin to fetch, in a task of its own."""
        self._task = asyncio.create_task(self._run(), name=f"keys of {self.source.name}")

    def stop(self) -> list[asyncio.Future[None]]:
        """End it; the returned futures are done when it has ended."""
        self._published, self._usable = None, None
        self._end_flight()
        ending = [task for task in (self._task, self._saving) if task is not None]
        if self._task is not None:
            self._task.cancel()
        return ending

    def inherit(self, other: Refresher) -> None:
        """Take over what another one holds of the same keys (``source.origin``)."""
        self._held = other._held
        self._last_attempt, self._last_asked = other._last_attempt, other._last_asked
        self._last_error, self._last_error_at = other._last_error, other._last_error_at
        self._failures, self._unknown = other._failures, dict(other._unknown)
        self._left_alone_until = other._left_alone_until
        self._seen = dict(other._seen)
        if other.first_attempt.is_set():
            self.first_attempt.set()
            self._next = min(other._next, self._next + self.source.refresh)
            if self._held is not None and not self._failures:
                # It may be allowed less time now than when the attempt was planned.
                self._next = min(self._next, self._stale_at() - self.source.timeout)
        self._use_held()

    async def load_snapshot(self) -> None:
        """Begin with the keys on disk, if there are any fit to be used; never raises."""
        try:
            await self._load_snapshot()
        except Exception:  # noqa: BLE001  what is wrong with one file concerns one issuer
            _log.exception("the key snapshot of issuer %s is ignored", self.source.name)

    async def _load_snapshot(self) -> None:
        folder, around = self._around.snapshots, self._around
        if folder is None or self.source.jwks_file is not None or self._held is not None:
            return
        found = await apart(folder.load, self.source, around.wall())
        if found is None:
            return
        try:
            key_set = await parsed(found.document)
        except KeySetError as fault:
            _log.warning("the key snapshot of issuer %s is ignored: %s", self.source.name, fault)
            return
        age = max(0.0, around.wall() - found.fetched_at)
        loaded = Loaded(key_set=key_set, document=found.document)
        self._held = _Held(loaded, found.fetched_at, around.clock() - age, from_snapshot=True)
        self._use_held()
        _log.info("issuer %s begins with keys fetched %.0f s ago", self.source.name, age)

    @property
    def document(self) -> bytes | None:
        """What the usable set was read from; None while there is none."""
        return self._held.loaded.document if self._usable is not None and self._held else None

    def publish_to(self, key_sets: MutableMapping[str, KeySet]) -> None:
        """Show the usable set under the issuer's name in ``key_sets``, from now on."""
        self._published = key_sets
        if self._usable is not None:
            key_sets[self.source.name] = self._usable

    # ---- requests ----

    async def find(self, kid: str | None, until: float) -> Reason | None:
        """Look for a key until that time of the event loop (contract, section 9).

        None: it is held now (without a ``kid``: some keys are). UNKNOWN_KEY: the last refresh
        succeeded without it. KEYS_UNAVAILABLE: still fetching, or the last attempt failed.
        """
        if self._has(kid):
            return None
        now = self._around.clock()
        if kid is not None and self._unknown.get(kid, now) > now:
            return Reason.UNKNOWN_KEY
        flight = self._flight
        if flight is not None and flight.begun:
            # The issuer may have answered before it had the key: then it is asked once more.
            if not await flight.wait(until):
                return Reason.KEYS_UNAVAILABLE
            verdict = self._verdict(kid)
            if verdict is not Reason.UNKNOWN_KEY:
                return verdict
            flight, now = self._flight, self._around.clock()
        if flight is None:
            # Scheduled attempts do not count: a key that is new since one works at once.
            asked = self._last_asked
            cools = asked is not None and now < asked + self.source.cooldown
            if cools or now < self._left_alone_until:
                return self._verdict(kid)
            self._last_asked = now
            flight = self._ask(rediscover=False)
        if await flight.wait(until):
            return self._verdict(kid, remember=True)
        return Reason.KEYS_UNAVAILABLE

    async def refresh_now(self) -> None:
        """Make an attempt whatever the cooldown says, and wait for its end."""
        if self._flight is not None and self._flight.begun:
            # The issuer may have answered before it withdrew a key.
            await self._flight.wait()
        if self._task is not None and not self._task.done():
            await (self._flight or self._ask(rediscover=True)).wait()

    def _has(self, kid: str | None) -> bool:
        return self._usable is not None and (kid is None or self._usable.has(kid))

    def _verdict(self, kid: str | None, *, remember: bool = False) -> Reason | None:
        if self._has(kid):
            return None
        if self._usable is None or self._last_error is not None or self._last_attempt is None:
            return Reason.KEYS_UNAVAILABLE
        if remember and kid is not None and len(self._unknown) < MAX_UNKNOWN_KIDS:
            self._unknown[kid] = self._last_attempt + self.source.cooldown
        return Reason.UNKNOWN_KEY

    def _ask(self, *, rediscover: bool) -> Flight:
        self._flight = Flight()
        self._rediscover = rediscover
        self._next = self._around.clock()
        if self._nap is not None:
            self._nap.cancel()
        return self._flight

    # ---- the task ----

    async def _run(self) -> None:
        try:
            while True:
                try:
                    await self._step()
                except Exception:  # noqa: BLE001  fetching goes on, whatever broke
                    _log.exception("refreshing the keys of issuer %s broke", self.source.name)
                    await asyncio.sleep(1.0)
        finally:
            self._end_flight()

    async def _step(self) -> None:
        self._use_held()
        now = self._around.clock()
        if self._flight is None and now < self._next:
            due = self._next
            if self._usable is not None and self._failures:
                due = min(due, self._stale_at())
            await self._sleep(due - now)
            return
        # Whether it hangs or not, the keys held go when their time is over.
        limit = asyncio.ensure_future(self._drop_when_stale())
        try:
            await self._attempt()
        finally:
            limit.cancel()

    async def _drop_when_stale(self) -> None:
        while self._usable is not None and (left := self._stale_at() - self._around.clock()) > 0:
            await self._around.sleep(left)
            self._use_held()

    async def _sleep(self, seconds: float) -> None:
        nap = self._nap = asyncio.ensure_future(self._around.sleep(seconds))
        try:
            await asyncio.wait((nap,))
        finally:
            self._nap = None
            nap.cancel()
        if not nap.cancelled():
            nap.result()

    async def _attempt(self) -> None:
        around, name = self._around, self.source.name
        self._flight = self._flight or Flight()
        self._flight.begun = True
        rediscover, self._rediscover = self._rediscover, True
        started = self._last_attempt = self._trying_since = around.clock()
        result: RefreshResult = "failed"
        try:
            loaded = await load_keys(
                self.source,
                self._held.loaded if self._held else None,
                fetcher=around.fetcher,
                rediscover=rediscover,
            )
        except FetchError as fault:
            self._failed(str(fault), fault.retry_after)
        except Exception as fault:  # noqa: BLE001  an attempt that broke is one that failed
            _log.exception("fetching the keys of issuer %s broke", name)
            self._failed(f"internal error ({type(fault).__name__}), see the log", None)
        else:
            self._succeeded(loaded, started)
            result = "ok"
        finally:
            self._trying_since = None
            self.first_attempt.set()
            self._end_flight()
        around.observer.refreshed(name, result, around.clock() - started)

    def _end_flight(self) -> None:
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.end()

    # ---- what an attempt leads to ----

    def _succeeded(self, loaded: Loaded, started: float) -> None:
        around, source = self._around, self.source
        before = self._held
        self._held = _Held(loaded, around.wall(), started)
        took = around.clock() - started
        pause = after_success(source, loaded.max_age, around.random(), took=took)
        self._next = around.clock() + pause
        if self._last_error is not None:
            _log.info("the keys of issuer %s can be fetched again", source.name)
        self._failures, self._last_error, self._last_error_at = 0, None, None
        self._left_alone_until = 0.0
        if before is None or before.loaded.key_set is not loaded.key_set:
            self._unknown.clear()
            self._tell(loaded.key_set)
        else:
            self._unknown = {kid: end for kid, end in self._unknown.items() if end > started}
        if loaded.note and (before is None or before.loaded.note != loaded.note):
            _log.warning("issuer %s: %s", source.name, loaded.note)
        self._use_held()
        self._save(self._held)

    def _failed(self, message: str, retry_after: float | None) -> None:
        around, source = self._around, self.source
        self._failures += 1
        self._use_held()
        now, holds_keys, number = around.clock(), self._usable is not None, self._failures
        asked = asked_pause(source, retry_after, holds_keys=holds_keys)
        pause = after_failure(source, number, retry_after, around.random(), holds_keys=holds_keys)
        self._left_alone_until, self._next = now + asked, now + pause
        level = logging.DEBUG if message == self._last_error else logging.WARNING
        _log.log(level, "the keys of issuer %s could not be fetched: %s", source.name, message)
        self._last_error, self._last_error_at = message, around.wall()

    def _tell(self, key_set: KeySet) -> None:
        name = self.source.name
        number = len(key_set.keys)
        _log.info("issuer %s has %d usable key%s", name, number, "" if number == 1 else "s")
        published = [reason for reason in key_set.skipped if PRIVATE_KEY_PUBLISHED in reason]
        if published:
            _log.error("issuer %s: %s", name, "; ".join(published[:_SHOWN_REASONS]))
        if key_set.skipped:
            _log.info(
                "issuer %s: keys that are skipped (%d): %s",
                name,
                len(key_set.skipped),
                "; ".join(key_set.skipped[:_SHOWN_REASONS]),
            )

    def _stale_at(self) -> float:
        return (self._held.since if self._held else 0.0) + self.source.max_stale

    def _is_stale(self) -> bool:
        """Whether what is held is older than ``max_stale``, and the issuer could have said more.

        Until it is asked again nobody knows of an outage. An attempt that was begun in time is
        one that hangs by now; one that was not may still end well.
        """
        stale_at, trying = self._stale_at(), self._trying_since
        if self._around.clock() < stale_at:
            return False
        return self._failures > 0 or (trying is not None and trying < stale_at)

    def _use_held(self) -> None:
        """Publish what is held, unless it is older than it may become while the issuer is down."""
        held, name = self._held, self.source.name
        usable = None if held is None or self._is_stale() else held.loaded.key_set
        if usable is self._usable:
            return
        if usable is None:
            _log.error("issuer %s: the keys held are older than keys.max_stale", name)
        self._usable = usable
        if usable is not None and held is not None:
            names = map(_name, usable.keys)
            self._seen = {name: self._seen.get(name, held.fetched_at) for name in names}
        if self._published is not None:
            if usable is None:
                self._published.pop(name, None)
            else:
                self._published[name] = usable

    def _save(self, held: _Held) -> None:
        folder = self._around.snapshots
        if folder is None or self.source.jwks_file is not None:
            return
        if self._saving is not None and not self._saving.done():
            return  # a slow disk is not asked for more
        snapshot = Snapshot(held.loaded.document, held.fetched_at)
        self._saving = asyncio.ensure_future(apart(folder.save, self.source, snapshot))

    def status(self) -> IssuerStatus:
        """How the keys stand now."""
        around, held = self._around, self._held
        now = around.clock()
        keys = self._usable.keys if self._usable else ()
        return IssuerStatus(
            name=self.source.name,
            issuer=self.source.issuer,
            jwks_file=self.source.jwks_file,
            jwks_uri=self.source.jwks_uri or (held.loaded.jwks_uri if held else None),
            first_attempt_done=self.first_attempt.is_set(),
            usable=self._usable is not None,
            keys=tuple(
                KeyInfo(k.kid, k.kty, tuple(sorted(k.algorithms)), k.size, self._seen[_name(k)])
                for k in keys
            ),
            skipped=held.loaded.key_set.skipped if held else (),
            fetched_at=held.fetched_at if held else None,
            age_seconds=now - held.since if held else None,
            next_refresh_at=around.wall() + max(0.0, self._next - now),
            last_error=self._last_error,
            last_error_at=self._last_error_at,
            from_snapshot=held is not None and held.from_snapshot,
        )

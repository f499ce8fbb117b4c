"""The keys of every issuer: what the engine reads, and where requests ask for more."""

from __future__ import annotations

import asyncio
import random as random_module
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from extauthz.core.keyset import KeySet
from extauthz.core.model import MAX_KEY_WAIT, Reason

from .fetch import Fetcher, fetch
from .refresher import Refresher
from .snapshot import SnapshotFolder
from .source import IssuerSource
from .status import IssuerStatus, KeyObserver, NoObserver
from .surroundings import Surroundings

_LONGEST_END = 2.0


class KeyStore:
    """Holds usable key sets by issuer name and keeps each fresh in a task of its own.

    ``clock`` tells seconds for durations and never goes back; ``wall`` tells seconds since
    the epoch; ``sleep`` waits for seconds; ``random`` gives a number from 0 up to 1.
    ``snapshot_dir`` is where last good keys are kept over a restart, None for nowhere.
    To be used in one event loop.
    """

    def __init__(
        self,
        sources: Iterable[IssuerSource],
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = random_module.random,
        fetcher: Fetcher = fetch,
        snapshot_dir: Path | None = None,
        observer: KeyObserver | None = None,
    ) -> None:
        self._surroundings = Surroundings(
            clock=clock,
            wall=wall,
            sleep=sleep,
            random=random,
            fetcher=fetcher,
            observer=observer or NoObserver(),
            snapshots=None if snapshot_dir is None else SnapshotFolder(snapshot_dir),
        )
        self._sources = _distinct(sources)
        self._refreshers: dict[str, Refresher] = {}
        self._key_sets: dict[str, KeySet] = {}
        self._view = MappingProxyType(self._key_sets)
        self._ending: set[asyncio.Future[None]] = set()

    async def start(self) -> None:
        """Load snapshots, then begin to fetch from every issuer at once.

        Does not wait for any answer: see ``wait_first_attempts``.
        """
        await self.replace(self._sources)

    async def aclose(self) -> None:
        """Stop fetching; waiting requests are answered."""
        for refresher in self._refreshers.values():
            self._end(refresher)
        self._refreshers.clear()
        if self._ending:
            # A disk that hangs must not keep the service from ending.
            await asyncio.wait(self._ending, timeout=_LONGEST_END)

    def snapshot(self) -> Mapping[str, KeySet]:
        """The usable key sets by issuer name: a live view that costs nothing to take.

        An issuer is absent while it has no keys, or only such as have grown older than
        ``max_stale`` while it could not be asked.
        """
        return self._view

    def documents(self) -> dict[str, bytes]:
        """What the usable key sets were read from, by issuer name: for other processes."""
        found = ((name, refresher.document) for name, refresher in self._refreshers.items())
        return {name: document for name, document in found if document is not None}

    async def find(self, issuer: str, kid: str | None, *, wait: float) -> Reason | None:
        """Look for a key of the issuer named ``issuer`` for at most ``wait`` seconds.

        Waits no longer than MAX_KEY_WAIT in any case. None: the key is there now, decide
        again (without a ``kid``: the issuer has keys). UNKNOWN_KEY: the last refresh
        succeeded without it. KEYS_UNAVAILABLE: still fetching, or the last attempt failed
        (contract, section 9).
        """
        until = asyncio.get_running_loop().time() + min(wait, MAX_KEY_WAIT)
        asked = None
        found: Reason | None = Reason.KEYS_UNAVAILABLE
        # Whoever waited when a reload put another one in force is served by that one.
        while found is Reason.KEYS_UNAVAILABLE:
            refresher = self._refreshers.get(issuer)
            if refresher is None or refresher is asked:
                break
            asked, found = refresher, await refresher.find(kid, until)
        return found

    async def refresh_now(self) -> None:
        """Fetch from every issuer, whatever the cooldown says, and wait for the end."""
        await asyncio.gather(*(one.refresh_now() for one in self._refreshers.values()))

    async def wait_first_attempts(self) -> None:
        """Wait until the first attempt of every issuer has ended, well or badly."""
        for refresher in list(self._refreshers.values()):
            await refresher.first_attempt.wait()

    def status(self) -> tuple[IssuerStatus, ...]:
        """How every issuer stands, in the order of the configuration."""
        return tuple(refresher.status() for refresher in self._refreshers.values())

    def prepare(self, sources: Iterable[IssuerSource]) -> Replacement:
        """Make ready for other sources without touching those in force.

        Raises ValueError when two have one name.
        """
        chosen: dict[str, Refresher] = {}
        fresh: list[Refresher] = []
        for source in _distinct(sources):
            same = self._refreshers.get(source.name)
            if same is not None and same.source == source:
                chosen[source.name] = same
                continue
            refresher = Refresher(source, self._surroundings)
            for known in self._refreshers.values():
                if known.source.origin == source.origin:
                    refresher.inherit(known)
            chosen[source.name] = refresher
            fresh.append(refresher)
        return Replacement(self, chosen, fresh)

    async def replace(self, sources: Iterable[IssuerSource]) -> None:
        """Put other sources in force at once.

        Issuers whose source did not change keep keys, task and state; those of which only
        the name or the timing changed keep their keys.
        """
        replacement = self.prepare(sources)
        await replacement.start()
        replacement.commit()

    def _put_in_force(self, chosen: dict[str, Refresher]) -> None:
        for name, refresher in self._refreshers.items():
            if chosen.get(name) is not refresher:
                self._end(refresher)
        self._refreshers = chosen
        self._key_sets.clear()
        for refresher in chosen.values():
            refresher.publish_to(self._key_sets)

    def _end(self, refresher: Refresher) -> None:
        for future in refresher.stop():
            if not future.done():
                self._ending.add(future)
                future.add_done_callback(self._ending.discard)


class Replacement:
    """Other sources, fetched from but not yet in force: ``KeyStore.prepare`` makes one.

    ``start``, perhaps ``first_attempts``, then either ``commit`` or ``discard``.
    """

    def __init__(
        self, store: KeyStore, chosen: dict[str, Refresher], fresh: list[Refresher]
    ) -> None:
        self._store = store
        self._chosen = chosen
        self._fresh = fresh

    async def start(self) -> None:
        """Begin to fetch from the issuers that are new or changed."""
        await asyncio.gather(*(refresher.load_snapshot() for refresher in self._fresh))
        for refresher in self._fresh:
            refresher.start()

    async def first_attempts(self) -> None:
        """Wait until each of them has been tried once, well or badly."""
        for refresher in self._fresh:
            await refresher.first_attempt.wait()

    def commit(self) -> None:
        """Put the sources in force, in one step."""
        self._store._put_in_force(self._chosen)

    def discard(self) -> None:
        """Let them go again; those in force stay."""
        for refresher in self._fresh:
            self._store._end(refresher)


def _distinct(sources: Iterable[IssuerSource]) -> tuple[IssuerSource, ...]:
    found = tuple(sources)
    names = [source.name for source in found]
    if len(set(names)) != len(names):
        raise ValueError("two issuers have the same name")
    return found

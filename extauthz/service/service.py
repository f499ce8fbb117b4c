"""Who owns what, and how it starts, changes and stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import extauthz
from extauthz.adapters.admin import AdminApp
from extauthz.adapters.http_server import HttpServer
from extauthz.authorizer import Authorizer
from extauthz.config.addresses import Address, TcpAddress
from extauthz.config.load import Loaded
from extauthz.config.problems import ConfigError
from extauthz.core.engine import Engine
from extauthz.keys.store import KeyStore
from extauthz.telemetry.decision_log import DecisionLog
from extauthz.telemetry.formats import FORMATS
from extauthz.telemetry.log_pipe import LogPipe
from extauthz.telemetry.metrics import Metrics
from extauthz.telemetry.observer import DecisionObserver
from extauthz.telemetry.records import described, set_level
from extauthz.telemetry.tracing import Spans

from .doors import DoorAddresses, Doors
from .meaning import meaning_of
from .noticed import Noticed
from .reload import read_apart
from .rounds import again_and_again
from .sources import issuer_sources
from .terms import terms_of
from .view import View
from .workers import Workers

_log = logging.getLogger(__name__)

_TELLING_SECONDS: Final = 0.25
# An issuer that hangs must not keep the tokens of others, or what a file changes, waiting for long.
_FIRST_KEYS_SECONDS: Final = 3.0
_NOT_RELOADED: Final = ("listen", "state_dir", "workers")


class Service:
    """One process: the engine, its keys, its doors, and what it tells about itself."""

    def __init__(self, loaded: Loaded, pipe: LogPipe, spans: Spans | None = None) -> None:
        settings, terms = loaded.settings, terms_of(loaded)
        self.loaded = loaded
        self.meaning = meaning_of(terms.policy, issuer_sources(loaded))
        self.listening = False
        self.draining = False
        self.started_at = time.time()
        self.metrics = Metrics(version=extauthz.__version__)
        self._pipe = pipe
        self._log = DecisionLog(pipe, terms.lines, random=random.random)
        self.observer = DecisionObserver(
            self.metrics.decisions,
            self._log,
            wall=time.time,
            monotonic=time.monotonic,
            spans=spans,
        )
        self.keys = KeyStore(
            issuer_sources(loaded),
            observer=self.metrics,
            snapshot_dir=None if settings.state_dir is None else Path(settings.state_dir),
        )
        self.authorizer = Authorizer(
            Engine(terms.policy),
            self.keys,
            self.observer,
            wall=time.time,
            monotonic=time.perf_counter,
        )
        # Tokens remembered now, and how often one was found and not found.
        self.cache_totals: Callable[[], tuple[int, int, int]] = self._own_cache_totals
        self._noticed: Callable[[], Noticed] = partial(
            Noticed.in_this_process, self.authorizer, self.observer
        )
        self._told_ready = False
        self._warned_of = Noticed()
        self.view = View(self)
        self.metrics.keys = self.keys.status
        self.metrics.token_cache = self.view.token_cache
        self.metrics.dropped_lines = lambda: pipe.dropped
        listen = settings.listen
        self._admin: HttpServer | None = None
        if listen.admin is not None:
            admin = AdminApp(
                health=self.view.health,
                status=self.view.status,
                metrics=self.view.metrics,
                explain=self.view.explain,
                on_loopback=isinstance(listen.admin, TcpAddress) and listen.admin.is_loopback,
            )
            self._admin = HttpServer(admin, listen.admin, unix_mode=listen.unix_mode)
        self._doors: Doors | Workers
        addresses = DoorAddresses.of(loaded)
        if settings.workers == 1:
            self._doors = Doors(self.authorizer, terms, addresses)
        else:
            workers = Workers(
                settings.workers,
                terms,
                addresses,
                self.keys,
                decisions=self.metrics.decisions,
                refusals=self._log.refusals,
                heard=self.observer.roll,
            )
            self.cache_totals = workers.cache_totals
            self.metrics.dropped_lines = lambda: pipe.dropped + workers.dropped()
            self.metrics.lost_workers = workers.lost
            self.metrics.workers = workers.usage
            self._noticed = workers.noticed
            self._doors = workers
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Fetch keys and listen. Raises OSError when an address cannot be had.

        The doors stay shut until every issuer was tried: proxies without health checks would
        send requests here that another replica could answer, and this one cannot yet.
        """
        listening: list[Address] = []
        if self._admin is not None:
            listening.append(await self._admin.start())
        await self.keys.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_KEYS_SECONDS):
                await self.keys.wait_first_attempts()
        listening += (await self._doors.start()).known()
        self.listening = True
        self._tasks.add(asyncio.create_task(again_and_again(self._tell, _TELLING_SECONDS)))
        _log.info(
            "serving",
            extra={
                "version": extauthz.__version__,
                "config": self.loaded.source or "environment",
                "digest": self.loaded.short_digest,
                "servers": len(self.authorizer.engine.policy.servers),
                "issuers": len(self.authorizer.engine.policy.issuers),
                "listening": [str(address) for address in listening],
            },
        )

    async def reload(self, load_again: Callable[[], Loaded]) -> None:
        """Take changed settings if they are good, else keep the old and say so.

        Raises whatever goes wrong besides: for ``reload_failed``, and another try.
        """
        try:
            loaded = await read_apart(load_again)
            terms = terms_of(loaded)
            meaning = await asyncio.to_thread(meaning_of, terms.policy, issuer_sources(loaded))
            engine = Engine(terms.policy, previous=self.authorizer.engine)
        except ConfigError as error:
            self.metrics.reloaded(ok=False)
            self.view.reload_failed(tuple(map(str, error.problems)))
            for problem in error.problems:
                _log.error("configuration not taken: %s", problem)
            return
        # New issuers have their keys, or have failed, before the first request names them.
        replacement = self.keys.prepare(issuer_sources(loaded))
        try:
            await replacement.start()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_KEYS_SECONDS):
                    await replacement.first_attempts()
        except BaseException:
            replacement.discard()
            raise
        self._say_what_needs_a_restart(loaded)
        replacement.commit()
        self.authorizer.engine = engine
        self._log.style = terms.lines
        set_level(terms.log_level)
        self._pipe.form = FORMATS[terms.log_format]
        await self._doors.take(terms)
        # Told last: by now every answer is by the new rules.
        self.loaded, self.meaning = loaded, meaning
        self.metrics.reloaded(ok=True)
        self.view.reload_succeeded()
        for warning in loaded.warnings:
            _log.warning("%s", warning)
        _log.info("configuration taken", extra={"digest": loaded.short_digest})

    def reload_failed(self, fault: Exception) -> None:
        """Say that changed settings could not be taken, for no fault of theirs."""
        self.metrics.reloaded(ok=False)
        problem = f"{described(fault)}; it is tried again"
        self.view.reload_failed((problem,))
        _log.error("configuration not taken: %s", problem, exc_info=fault)

    def refresh_keys(self) -> None:
        """Begin to ask every issuer for its keys, as when one has leaked; waits for none."""
        task = asyncio.create_task(self.keys.refresh_now())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def begin_drain(self) -> None:
        """Say that no more requests are wanted, and go on answering those that come."""
        self.draining = True
        for task in self._tasks:
            task.cancel()
        await self._doors.begin_drain()

    async def stop(self, grace: float) -> None:
        """End the doors within ``grace`` seconds, then everything behind them."""
        await self._doors.stop(grace)
        if self._admin is not None:
            await self._admin.stop(0)
        await self.keys.aclose()

    def serving(self) -> bool:
        """Whether a process behind the doors gave a sign of life lately."""
        return self._doors.serving()

    async def add_up(self) -> None:
        """Have all that the processes behind the doors counted until now in the metrics."""
        await self._doors.add_up()

    def noticed(self) -> Noticed:
        """How proxies asked lately, where that is risky."""
        servers = (server.name for server in self.authorizer.engine.policy.servers)
        return self._noticed().among(servers)

    def _own_cache_totals(self) -> tuple[int, int, int]:
        cache = self.authorizer.engine.cache
        return len(cache), cache.hits, cache.misses

    async def _tell(self) -> None:
        ready = self.view.health().ready
        if ready != self._told_ready:
            await self._doors.set_ready(ready)
            self._told_ready = ready
        self.observer.roll()
        self._warn()

    def _warn(self) -> None:
        noticed = self.noticed()
        for warning in noticed.but_for(self._warned_of).warnings():
            _log.warning("%s", warning)
        self._warned_of = Noticed.by_any((self._warned_of, noticed))

    def _say_what_needs_a_restart(self, loaded: Loaded) -> None:
        old, new = self.loaded.settings, loaded.settings
        for name in _NOT_RELOADED:
            before, after = getattr(old, name), getattr(new, name)
            if name == "listen":
                before, after = (
                    s.model_copy(update={"trusted_proxies": ()}) for s in (before, after)
                )
            if before != after:
                _log.warning("%s changed; it takes effect at the next start", name)

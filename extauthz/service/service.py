"""Who owns what, and how it starts, changes and stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

import extauthz
from extauthz.adapters.admin import AdminApp
from extauthz.adapters.asgi import asgi_handler
from extauthz.adapters.grpc_door import GrpcDoor
from extauthz.adapters.http_door import HttpDoor
from extauthz.adapters.http_server import HttpServer
from extauthz.adapters.native_door import NativeDoor
from extauthz.adapters.tls import TlsFiles, TlsSource
from extauthz.adapters.trust import TrustedPeers
from extauthz.authorizer import Authorizer
from extauthz.config.addresses import UnixAddress
from extauthz.config.base import TlsSettings
from extauthz.config.compile import compile_policy
from extauthz.config.load import Loaded
from extauthz.config.problems import ConfigError
from extauthz.core.engine import Engine
from extauthz.keys.store import KeyStore
from extauthz.telemetry.decision_log import DecisionLog, LineStyle
from extauthz.telemetry.log_pipe import LogPipe
from extauthz.telemetry.metrics import Metrics, register
from extauthz.telemetry.observer import DecisionObserver
from extauthz.telemetry.records import LEVELS, set_level
from extauthz.telemetry.tracing import Spans

from .sources import issuer_sources
from .view import View

_log = logging.getLogger(__name__)

_READINESS_SECONDS: Final = 0.25
_NOT_RELOADED: Final = ("listen", "state_dir", "workers")


class Service:
    """One process: the engine, its keys, its doors, and what it tells about itself."""

    def __init__(self, loaded: Loaded, pipe: LogPipe, spans: Spans | None = None) -> None:
        settings = loaded.settings
        self.loaded = loaded
        self.draining = False
        self.started_at = time.time()
        self.metrics = Metrics(version=extauthz.__version__)
        self._pipe = pipe
        self._log = DecisionLog(pipe, _style(loaded), random=random.random)
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
            Engine(compile_policy(loaded)),
            self.keys,
            self.observer,
            wall=time.time,
            monotonic=time.perf_counter,
        )
        self.view = View(self, pipe)
        registry = CollectorRegistry()
        register(self.metrics, registry)
        self.metrics.keys = self.keys.status
        self.metrics.token_cache = self.view.token_cache
        self.metrics.dropped_lines = lambda: pipe.dropped
        listen = settings.listen
        self._http_door: HttpDoor | None = None
        self._grpc: GrpcDoor | NativeDoor | None = None
        self._http: list[HttpServer] = []
        if listen.admin is not None:
            admin = AdminApp(
                health=self.view.health,
                status=self.view.status,
                registry=registry,
                explain=self.view.explain,
            )
            self._http.append(HttpServer(asgi_handler(admin), listen.admin))
        if listen.http is not None:
            self._http_door = HttpDoor(self.authorizer, self._trusted(loaded))
            self._http.append(HttpServer(self._http_door, listen.http, tls=_tls(listen.http_tls)))
        if listen.grpc is not None:
            if listen.grpc_transport == "native":
                self._grpc = NativeDoor(self.authorizer, listen.grpc)
            else:
                self._grpc = GrpcDoor(self.authorizer, listen.grpc, tls=_tls(listen.grpc_tls))
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen, and begin to fetch keys. Raises OSError when an address cannot be had."""
        for server in self._http:
            await server.start()
        if self._grpc is not None:
            await self._grpc.start(ready=False)
        await self.keys.start()
        self._tasks.add(asyncio.create_task(self._tell_readiness()))
        listening = [server.address for server in self._http]
        if self._grpc is not None:
            listening.append(self._grpc.address)
        _log.info(
            "serving",
            extra={
                "version": extauthz.__version__,
                "config": self.loaded.source or "environment",
                "digest": self.loaded.digest[:12],
                "servers": len(self.authorizer.engine.policy.servers),
                "issuers": len(self.authorizer.engine.policy.issuers),
                "listening": [str(address) for address in listening],
            },
        )

    async def reload(self, load_again: Callable[[], Loaded]) -> None:
        """Take changed settings if they are good, else keep the old and say so."""
        try:
            loaded = await asyncio.to_thread(load_again)
            engine = Engine(compile_policy(loaded), previous=self.authorizer.engine)
        except ConfigError as error:
            self.metrics.reloaded(ok=False)
            self.view.reload_failed(tuple(map(str, error.problems)))
            for problem in error.problems:
                _log.error("configuration not taken: %s", problem)
            return
        # New issuers have their keys, or have failed, before the first request names them.
        replacement = self.keys.prepare(issuer_sources(loaded))
        await replacement.start()
        await replacement.first_attempts()
        self._say_what_needs_a_restart(loaded)
        replacement.commit()
        self.authorizer.engine = engine
        self.loaded = loaded
        self._log.style = _style(loaded)
        set_level(loaded.settings.log.level)
        if self._http_door is not None:
            self._http_door.trusted = self._trusted(loaded)
        self.metrics.reloaded(ok=True)
        self.view.reload_succeeded()
        for warning in loaded.warnings:
            _log.warning("%s", warning)
        _log.info("configuration taken", extra={"digest": loaded.digest[:12]})

    async def begin_drain(self) -> None:
        """Say that no more requests are wanted, and go on answering those that come."""
        self.draining = True
        for task in self._tasks:
            task.cancel()
        if self._grpc is not None:
            await self._grpc.set_ready(False)

    async def stop(self, grace: float) -> None:
        """End the doors within ``grace`` seconds, then everything behind them."""
        doors = [server.stop(grace) for server in self._http]
        if self._grpc is not None:
            doors.append(self._grpc.stop(grace))
        await asyncio.gather(*doors)
        await self.keys.aclose()

    async def _tell_readiness(self) -> None:
        told = False
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                ready = self.view.health().ready
                if ready != told and self._grpc is not None:
                    await self._grpc.set_ready(ready)
                    told = ready
                await asyncio.sleep(_READINESS_SECONDS)

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

    def _trusted(self, loaded: Loaded) -> TrustedPeers:
        listen = loaded.settings.listen
        return TrustedPeers(listen.trusted_proxies, unix=isinstance(listen.http, UnixAddress))


def _style(loaded: Loaded) -> LineStyle:
    log = loaded.settings.log
    return LineStyle(LEVELS[log.level], log.allow_sample, log.subject)


def _tls(settings: TlsSettings) -> TlsSource | None:
    if settings.cert_file is None or settings.key_file is None:
        return None
    client_ca = settings.client_ca_file
    return TlsSource(
        TlsFiles(
            Path(settings.cert_file),
            Path(settings.key_file),
            None if client_ca is None else Path(client_ca),
        )
    )

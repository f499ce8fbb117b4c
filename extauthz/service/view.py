"""What a service tells about itself: health, status, metrics asked for when scraped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import extauthz
from extauthz.adapters.explain_page import Question
from extauthz.adapters.server_status import server_statuses, traffic_by_server
from extauthz.adapters.status import (
    CacheStatus,
    ConfigStatus,
    Health,
    Status,
)
from extauthz.core.explain import Explanation, explain, question

if TYPE_CHECKING:
    from extauthz.telemetry.exposition import Exposition
    from extauthz.telemetry.metrics import Metrics

    from .service import Service


class View:
    """Reads a service and changes nothing, but for remembering how the last reload went."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loaded_at = time.time()
        self._failed_at: float | None = None
        self._problems: tuple[str, ...] = ()
        self._exposition: Exposition | None = None

    def reload_failed(self, problems: tuple[str, ...]) -> None:
        """Remember why a changed configuration was not taken."""
        self._failed_at, self._problems = time.time(), problems

    def reload_succeeded(self) -> None:
        """Remember that the newest configuration is in force."""
        self._loaded_at, self._failed_at, self._problems = time.time(), None, ()

    def health(self) -> Health:
        """Whether this process should get traffic."""
        service = self._service
        loaded = service.loaded
        return Health(
            draining=service.draining,
            listening=service.listening,
            serving=service.serving(),
            issuers=service.keys.status(),
            config=ConfigStatus(
                source=loaded.source or "the environment",
                digest=loaded.short_digest,
                meaning=service.meaning,
                loaded_at=self._loaded_at,
                warnings=(*map(str, loaded.warnings), *service.noticed().warnings()),
                problems=self._problems,
                failed_at=self._failed_at,
                client_id=(
                    None if loaded.environment is None else loaded.environment.registered_client_id
                ),
            ),
        )

    async def status(self) -> Status:
        """Everything that the status page shows."""
        service = self._service
        await service.add_up()
        engine = service.authorizer.engine
        entries, hits, misses = service.cache_totals()
        counts = service.metrics.decisions.copied()
        recent = service.observer.recent.copied(counts)
        # Of many servers in a thread, since requests must not wait for it.
        traffic = await asyncio.to_thread(traffic_by_server, counts, recent, time.monotonic())
        servers = await asyncio.to_thread(server_statuses, engine.policy, traffic)
        return Status(
            version=extauthz.__version__,
            now_at=time.time(),
            started_at=service.started_at,
            health=self.health(),
            servers=servers,
            elsewhere=traffic[""].outcomes if "" in traffic else (),
            cache=CacheStatus(
                entries=entries,
                capacity=engine.policy.cache_entries * service.loaded.settings.workers,
                hits=hits,
                misses=misses,
            ),
            refusals=service.observer.log.refusals.told(),
            refusals_kept=service.observer.log.style.level <= logging.WARNING,
            dropped_lines=service.metrics.dropped_lines(),
        )

    async def metrics(self, accept: str) -> tuple[str, bytes]:
        """Content type and text of the metrics, in the format that ``accept`` prefers."""
        if self._exposition is None:
            # In a thread, since requests must not wait for the import.
            self._exposition = await asyncio.to_thread(_exposition, self._service.metrics)
        await self._service.add_up()
        content_type, write = self._exposition.gathered(accept)
        return content_type, await asyncio.to_thread(write)

    def token_cache(self) -> Mapping[str, int]:
        """How often a token was found remembered, and how often not."""
        _, hits, misses = self._service.cache_totals()
        return {"hit": hits, "miss": misses}

    async def explain(self, asked: Question) -> Explanation:
        """Judge a question as a request would be; nothing of it is kept."""
        keys = self._service.keys.snapshot()
        engine = self._service.authorizer.engine
        return explain(
            engine,
            question(
                host=asked.host,
                path=asked.path,
                method=asked.method or None,
                tool=asked.tool or None,
                token=asked.token or None,
                origin=asked.origin or None,
                calls=asked.calls,
            ),
            keys,
            now=time.time(),
            failing=[one.name for one in self._service.keys.status() if one.last_error],
            calls=asked.calls,
        )


def _exposition(metrics: Metrics) -> Exposition:
    from extauthz.telemetry.exposition import Exposition  # noqa: PLC0415  not before a scrape

    return Exposition(metrics)

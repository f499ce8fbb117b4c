"""From settings to a running service, and through SIGTERM to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import extauthz
from extauthz.adapters.native_missing import NativeMissing
from extauthz.adapters.sockets import CannotListen
from extauthz.adapters.tls import TlsFilesError
from extauthz.config.load import Loaded
from extauthz.telemetry.formats import FORMATS
from extauthz.telemetry.log_pipe import LogPipe, descriptor_sink, shared_descriptor_sink
from extauthz.telemetry.records import send_logs_to
from extauthz.telemetry.tracing import spans_wanted

from .descriptors import allow_all
from .ending import end, shares
from .garbage import end_start
from .heap import keep_for_next
from .loop import new_loop
from .reload import POLL_SECONDS, ConfigWatch, read_apart, settled_change
from .service import Service
from .unheard import why_unheard

_log = logging.getLogger(__name__)

_STDOUT: Final = 1
_THREADS: Final = 32


def serve(loaded: Loaded, load_again: Callable[[], Loaded]) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. ``load_again`` reads the settings anew."""
    allow_all()
    sink = descriptor_sink if loaded.settings.workers == 1 else shared_descriptor_sink
    pipe = LogPipe(sink(_STDOUT), FORMATS[loaded.settings.log.format])
    send_logs_to(pipe, level=loaded.settings.log.level)
    spans = spans_wanted(os.environ, version=extauthz.__version__)
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(_serve(Service(loaded, pipe, spans), loaded, load_again))
    except CannotListen as fault:
        _log.critical("cannot serve: %s", why_unheard(fault, loaded.settings.listen))
        return 1
    except (OSError, TlsFilesError, NativeMissing) as fault:
        _log.critical("cannot serve: %s", fault)
        return 1
    finally:
        if spans is not None:
            spans.close()
        pipe.close()
    return 0


async def _serve(service: Service, loaded: Loaded, load_again: Callable[[], Loaded]) -> None:
    for warning in loaded.warnings:
        _log.warning("%s", warning)
    signals = _Signals()
    # For what cannot hang: the end waits for it. All else has threads of its own (keys.apart).
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "blocking"))
    await service.start()
    end_start()
    keep_for_next()
    reloading = asyncio.create_task(_keep_reloading(service, loaded, load_again, signals))
    try:
        await signals.stop.wait()
    finally:
        reloading.cancel()
        (ended,) = await asyncio.gather(reloading, return_exceptions=True)
        # Whatever became of it, what follows is the drain.
        if isinstance(ended, Exception):
            _log.error("changed files were no longer taken", exc_info=ended)
    drain = service.loaded.settings.drain
    _log.info("stopping", extra={"drain_seconds": drain})
    await service.begin_drain()
    noticing, grace = shares(drain)
    # Load balancers need a moment to see that this replica wants no more requests.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0 if signals.interactive else noticing):
            await signals.hurry.wait()
    await end(service.stop, grace, signals.hurry.wait())


class _Signals:
    """SIGTERM and SIGINT stop, a second one stops at once, SIGHUP reads all anew."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self.reload = asyncio.Event()
        self.interactive = False
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self.reload.set)

    def _stop(self, number: int) -> None:
        if self.stop.is_set():
            self.hurry.set()
        self.interactive = number == signal.SIGINT
        self.stop.set()


async def _keep_reloading(
    service: Service, loaded: Loaded, load_again: Callable[[], Loaded], signals: _Signals
) -> None:
    watch = ConfigWatch(loaded)
    failed = False
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await signals.reload.wait()
        asked = signals.reload.is_set()
        signals.reload.clear()
        try:
            # Who asks for it has written to the end.
            look = read_apart if asked else settled_change
            if await look(watch.changed) or asked or failed:
                await service.reload(load_again)
            failed = False
        except Exception as fault:  # noqa: BLE001  the file may be good, and the next time too
            failed = True
            service.reload_failed(fault)
        if asked:
            service.refresh_keys()

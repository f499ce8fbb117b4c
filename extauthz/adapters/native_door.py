"""The gRPC door on a server whose HTTP/2 and gRPC run in Rust (extra ``native``).

The same service as ``grpcio_door`` (docs/contract.md, section 4). Calls arrive in batches on a
thread of the server's and are answered on the event loop; one that needs no key looked for is
answered without a task of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import IntEnum
from functools import partial
from importlib import import_module
from threading import Thread
from typing import Any, Final

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from extauthz.authorizer import Authorizer
from extauthz.config.addresses import Address, UnixAddress

from .envoy import MCP_NAMESPACE
from .grpc_door import LARGE, SERVICE, CheckServicer, GrpcLimits, traceparent_in
from .grpc_front import GrpcFront
from .native_missing import NativeMissing
from .tls import TlsSource

_log = logging.getLogger(__name__)

_HEALTH: Final = "/grpc.health.v1.Health"
_METHODS: Final = ((f"/{SERVICE}/Check", False), (f"{_HEALTH}/Check", False))
_WATCH: Final = (f"{_HEALTH}/Watch", True)
_CHECK, _HEALTH_CHECK = range(2)
_BATCH: Final = 64
_ON_THEIR_WAY: Final = 0.1
_USUAL_LIMITS: Final = GrpcLimits()
_NAMES: Final = frozenset({"", SERVICE})

_Health: Final = health_pb2.HealthCheckResponse
_Status = int

# What one call brings: kind, id, method, message, (unused), (metadata, peer, seconds left).
_Event = tuple[int, int, int, Any, Any, Any]


class StatusCode(IntEnum):
    """The codes of gRPC that are used here; those of ``grpc`` would bring all of grpcio."""

    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    INTERNAL = 13
    UNAVAILABLE = 14


class NativeDoor:
    """A gRPC server on one address, from ``start`` to ``stop``.

    ``tls`` makes it a TLS server, with client certificates where its files name a client
    CA. ``reuse_port`` is for several worker processes. Raises NativeMissing without the extra.
    """

    def __init__(
        self,
        authorizer: Authorizer,
        address: Address,
        *,
        tls: TlsSource | None = None,
        limits: GrpcLimits = _USUAL_LIMITS,
        reuse_port: bool = False,
        mcp_namespace: str = MCP_NAMESPACE,
    ) -> None:
        try:
            self._native = import_module("pygrpc_native")
        except ImportError:
            raise NativeMissing(
                "listen.grpc_transport: native needs a package that is not installed: "
                "pip install 'extauthz[native]', or leave listen.grpc_transport out"
            ) from None
        self._servicer = CheckServicer(authorizer, mcp_namespace)
        self._limits = limits
        self._front = GrpcFront(
            address, tls=tls, limits=limits, reuse_port=reuse_port, late_resets=True
        )
        self._server: Any = None
        self._thread: Thread | None = None
        self._waiting: dict[int, asyncio.Task[None]] = {}
        self._watching: dict[int, str] = {}
        self._status: _Status = _Health.NOT_SERVING
        self._stopping = False

    @property
    def address(self) -> Address:
        """Where it listens; once started with its real port."""
        return self._front.address

    async def start(self, *, ready: bool = True) -> Address:
        """Listen, and say which address that is: port 0 becomes a real one.

        ``ready`` is what the health service says at first. Raises OSError when the address
        cannot be had.
        """
        await self.set_ready(ready)
        self._serve(self._front.bind())
        return await self._front.start()

    async def set_ready(self, ready: bool) -> None:
        """Tell the proxies' health checks whether to send requests here."""
        if not self._stopping:
            self._tell(_Health.SERVING if ready else _Health.NOT_SERVING)

    async def stop(self, grace: float) -> None:
        """Say NOT_SERVING, take no new checks, and give those under way ``grace`` seconds."""
        self._tell(_Health.NOT_SERVING)
        self._stopping = True
        self._front.close()
        server, self._server = self._server, None
        if server is None:
            await self._front.stop()
            return
        tasks = list(self._waiting.values())
        if tasks and grace:
            await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for call in tuple(self._watching):
            server.stream_end(call)
        self._watching.clear()
        # Closing drops what was handed over a moment ago and is not on its way yet.
        await asyncio.sleep(min(_ON_THEIR_WAY, grace))
        await asyncio.to_thread(server.close)
        await self._front.stop()

    def _serve(self, address: UnixAddress) -> None:
        limits = self._limits
        try:
            server = self._native.NativeGrpcFront(
                str(address),
                [*_METHODS, _WATCH],
                io_threads=1,
                call_details=True,
                keepalive_time_ms=int(limits.keepalive_interval * 1000),
                keepalive_timeout_ms=int(limits.keepalive_timeout * 1000),
                max_concurrent_streams=limits.streams,
                max_metadata_size=limits.metadata_bytes,
            )
        except OSError as fault:
            raise OSError(f"cannot listen on {address}: {fault}") from None
        self._server = server
        server.start()
        pump = partial(self._pump, server, asyncio.get_running_loop())
        self._thread = Thread(target=pump, name="native gRPC", daemon=True)
        self._thread.start()

    def _pump(self, server: Any, loop: asyncio.AbstractEventLoop) -> None:
        while (events := server.recv_batch_details(_BATCH)) is not None:
            try:
                loop.call_soon_threadsafe(self._take, server, events)
            except RuntimeError:  # the loop has ended
                server.close()
                return

    def _take(self, server: Any, events: list[_Event]) -> None:
        cancelled = self._native.EVENT_CANCEL
        for kind, call, method, message, _, details in events:
            try:
                if kind == cancelled:
                    self._cancel(call)
                elif self._stopping:
                    _fail(server, call, StatusCode.UNAVAILABLE, "the service is stopping")
                elif len(message) > self._limits.message_bytes:
                    _fail(server, call, StatusCode.RESOURCE_EXHAUSTED, "the message is too large")
                elif method == _CHECK:
                    self._check(server, call, message, details)
                elif method == _HEALTH_CHECK:
                    self._health(server, call, message)
                else:
                    self._watch(server, call, message)
            except Exception:  # noqa: BLE001  one call that breaks must not silence the others
                _log.exception("a call failed")
                _fail(server, call, StatusCode.INTERNAL, "internal error, see the log")

    def _check(self, server: Any, call: int, message: bytes, details: Any) -> None:
        metadata, _, left = details
        traceparent = partial(traceparent_in, metadata)
        answer: Callable[[], Awaitable[bytes]]
        if len(message) > LARGE:
            answer = partial(self._servicer.answer_in_turn, message, traceparent, left)
        else:
            answered = self._servicer.answer(message, traceparent)
            if isinstance(answered, bytes):
                server.respond(call, answered)
                return
            answer = partial(self._servicer.wait, answered, left)

        async def wait() -> None:
            try:
                server.respond(call, await answer())
            except asyncio.CancelledError:
                _fail(server, call, StatusCode.UNAVAILABLE, "the service is stopping")
                raise
            finally:
                self._waiting.pop(call, None)

        self._waiting[call] = asyncio.create_task(wait())

    def _cancel(self, call: int) -> None:
        task = self._waiting.get(call)
        if task is not None:
            task.cancel()
        self._watching.pop(call, None)

    def _health(self, server: Any, call: int, message: bytes) -> None:
        service = _service(message)
        if service is None or service not in _NAMES:
            _fail(server, call, StatusCode.NOT_FOUND, "unknown service")
        else:
            server.respond(call, _told(self._status))

    def _watch(self, server: Any, call: int, message: bytes) -> None:
        service = _service(message)
        if service is None:
            _fail(server, call, StatusCode.INVALID_ARGUMENT, "not a HealthCheckRequest")
            return
        if service in _NAMES:
            self._watching[call] = service
        # As the health protocol has it, the watcher of an unknown service is told so and waits.
        server.stream_try_send(
            call, _told(self._status if service in _NAMES else _Health.SERVICE_UNKNOWN)
        )

    def _tell(self, status: _Status) -> None:
        if status == self._status or self._stopping:
            return
        self._status = status
        for call in tuple(self._watching):
            if self._server.stream_try_send(call, _told(status)) == self._native.STREAM_CLOSED:
                self._watching.pop(call, None)


def _service(message: bytes) -> str | None:
    try:
        return str(health_pb2.HealthCheckRequest.FromString(message).service)
    except DecodeError:
        return None


def _told(status: _Status) -> bytes:
    return bytes(_Health(status=status).SerializeToString())


def _fail(server: Any, call: int, code: StatusCode, message: str) -> None:
    server.fail(call, int(code), message)

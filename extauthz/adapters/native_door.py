"""The gRPC door on a server of our own, which answers where it reads (extra ``native``).

The same service as ``grpcio_door`` (docs/contract.md, section 4). A call that needs no key looked
for is answered without a task, and those that came together are answered together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from extauthz.authorizer import Authorizer
from extauthz.config.addresses import Address

from .grpc_door import LARGE, SERVICE, CheckServicer, GrpcLimits
from .grpc_http2 import (
    HEAD,
    PREFIX,
    TRAILERS,
    Call,
    StatusCode,
    call_of,
    failure,
    framed,
    message_in,
    refusal_of,
)
from .grpc_listener import GrpcListener
from .http2_service import Headers, Http2Limits
from .native_missing import NativeMissing
from .tls import TlsSource

if TYPE_CHECKING:
    from .http2_answers import Stream

_log = logging.getLogger(__name__)

_HEALTH: Final = "/grpc.health.v1.Health"
_CHECK, _HEALTH_CHECK, _WATCH = range(3)
_METHODS: Final = {
    f"/{SERVICE}/Check".encode(): _CHECK,
    f"{_HEALTH}/Check".encode(): _HEALTH_CHECK,
    f"{_HEALTH}/Watch".encode(): _WATCH,
}
_GOLDEN: Final = 0.618
"""Multiples of it lie as far from each other as can be, and never in a row."""
_USUAL_LIMITS: Final = GrpcLimits()
_NAMES: Final = frozenset({"", SERVICE})

_STOPPING: Final = failure(StatusCode.UNAVAILABLE, "the service is stopping")
_TOO_LARGE: Final = failure(StatusCode.RESOURCE_EXHAUSTED, "the message is too large")
_OVERDUE: Final = failure(StatusCode.DEADLINE_EXCEEDED, "the message did not come to its end")
_BROKEN: Final = failure(StatusCode.INTERNAL, "internal error, see the log")
_UNKNOWN_SERVICE: Final = failure(StatusCode.NOT_FOUND, "unknown service")
_NO_REQUEST: Final = failure(StatusCode.INVALID_ARGUMENT, "not a HealthCheckRequest")

_Health: Final = health_pb2.HealthCheckResponse
_Status = int


class NativeDoor:
    """A gRPC server on one address, from ``start`` to ``stop``.

    ``tls`` makes it a TLS server, with client certificates where its files name a client
    CA. ``reuse_port`` is for several worker processes, ``unix_mode`` for a Unix socket.
    Raises NativeMissing without the extra.
    """

    def __init__(
        self,
        authorizer: Authorizer,
        address: Address,
        *,
        tls: TlsSource | None = None,
        limits: GrpcLimits = _USUAL_LIMITS,
        reuse_port: bool = False,
        unix_mode: int | None = None,
    ) -> None:
        try:
            from .http2_connection import Http2Connection  # noqa: PLC0415
        except ImportError:
            raise NativeMissing(
                "listen.grpc_transport: native needs a package that is not installed: "
                "pip install '.[native]' in a clone, or leave listen.grpc_transport out"
            ) from None
        self._connection = Http2Connection
        self._servicer = CheckServicer(authorizer)
        self._listener = GrpcListener(
            address, tls=tls, limits=limits, reuse_port=reuse_port, unix_mode=unix_mode
        )
        self._limits = limits
        self.http2_limits = Http2Limits(
            body_bytes=limits.message_bytes + PREFIX,
            header_bytes=limits.metadata_bytes,
            streams=limits.streams,
            grace=limits.connection_grace,
            keepalive_interval=limits.keepalive_interval,
            keepalive_timeout=limits.keepalive_timeout,
        )
        self.unfinished = 0
        self._made = 0
        self.opened = self._listener.opened
        self.begun = self._listener.begun
        self.closed = self._listener.closed
        self.cut = self._listener.cut
        self._waiting: dict[Stream, asyncio.Task[None]] = {}
        self._watching: dict[Stream, str] = {}
        self._status: _Status = _Health.NOT_SERVING
        self._stopping = False

    @property
    def address(self) -> Address:
        """Where it listens; once started with its real port."""
        return self._listener.address

    async def start(self, *, ready: bool = True) -> Address:
        """Listen, and say which address that is: port 0 becomes a real one.

        ``ready`` is what the health service says at first. Raises OSError when the address
        cannot be had.
        """
        await self.set_ready(ready)
        self._listener.bind()
        loop = asyncio.get_running_loop()
        return await self._listener.start(lambda: self._connection(self, loop))

    async def set_ready(self, ready: bool) -> None:
        """Tell the proxies' health checks whether to send requests here."""
        if not self._stopping:
            self._tell(_Health.SERVING if ready else _Health.NOT_SERVING)

    async def stop(self, grace: float) -> None:
        """Say NOT_SERVING, take no new checks, and give those under way ``grace`` seconds."""
        self._tell(_Health.NOT_SERVING)
        self._stopping = True
        self._listener.close()
        tasks = list(self._waiting.values())
        if tasks and grace:
            await asyncio.wait(tasks, timeout=grace)
        for stream, task in tuple(self._waiting.items()):
            self._refuse(stream)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in tuple(self._watching):
            stream.finish(TRAILERS)
        self._watching.clear()
        await self._listener.stop()

    # ---- called by connections

    def age(self) -> float:
        """A tenth more or less than the limit, so that not all proxies connect anew at once."""
        self._made += 1
        return self._limits.connection_age * (0.9 + 0.2 * (self._made * _GOLDEN % 1))

    def read_head(self, headers: Headers) -> Call | bytes:
        """What a call is about."""
        return call_of(headers, _METHODS, max_bytes=self._limits.metadata_bytes)

    def requested(self, stream: Stream) -> None:
        """Answer a call."""
        call: Call | bytes = stream.head
        if isinstance(call, bytes):
            stream.finish(call)
            return
        message = message_in(stream.body)
        if message is None:
            stream.finish(refusal_of(stream.body))
            return
        if call.method == _CHECK:
            self._check(stream, call, message)
            return
        try:
            if self._stopping:
                stream.finish(_STOPPING)
            elif call.method == _HEALTH_CHECK:
                self._health(stream, message)
            else:
                self._watch(stream, message)
        except Exception:  # noqa: BLE001  one call that breaks must not end the others
            _log.exception("a call failed")
            stream.finish(_BROKEN)

    def too_large(self, stream: Stream) -> None:
        """Refuse a call whose message there is no room for."""
        stream.finish(_TOO_LARGE)

    def overdue(self, stream: Stream) -> None:
        """Refuse a call whose message does not come."""
        stream.finish(_OVERDUE)

    def given_up(self, stream: Stream) -> None:
        """Do no more about a call."""
        # Not left to the task: one that is cancelled before its first step never runs.
        task = self._waiting.pop(stream, None)
        if task is not None:
            task.cancel()
        self._watching.pop(stream, None)

    # ---- the methods

    def _check(self, stream: Stream, call: Call, message: bytes) -> None:
        if self._stopping:
            self._refuse(stream)
            return
        traceparent = partial(_said, call)
        answer: Callable[[float | None], Awaitable[bytes]]
        try:
            if len(message) > LARGE:
                answer = partial(self._servicer.answer_in_turn, message, traceparent)
            else:
                answered = self._servicer.answer(message, traceparent)
                if isinstance(answered, bytes):
                    stream.respond(HEAD, framed(answered), TRAILERS)
                    return
                answer = partial(self._servicer.wait, answered)
        except Exception:  # noqa: BLE001  one that breaks is refused, and does not end the others
            self._broke(stream)
            return

        async def wait() -> None:
            try:
                stream.respond(HEAD, framed(await answer(_left(stream, call))), TRAILERS)
            except Exception:  # noqa: BLE001  as above
                self._broke(stream)
            finally:
                self._waiting.pop(stream, None)

        self._waiting[stream] = asyncio.create_task(wait())

    def _broke(self, stream: Stream) -> None:
        _log.exception("a check failed; the request is refused")
        self._refuse(stream)

    def _refuse(self, stream: Stream) -> None:
        stream.respond(HEAD, framed(self._servicer.last_resort), TRAILERS)

    def _health(self, stream: Stream, message: bytes) -> None:
        service = _service(message)
        if service is None or service not in _NAMES:
            stream.finish(_UNKNOWN_SERVICE)
        else:
            stream.respond(HEAD, _told(self._status), TRAILERS)

    def _watch(self, stream: Stream, message: bytes) -> None:
        service = _service(message)
        if service is None:
            stream.finish(_NO_REQUEST)
            return
        if service in _NAMES:
            self._watching[stream] = service
        # As the health protocol has it, the watcher of an unknown service is told so and waits.
        stream.begin(HEAD)
        stream.send(_told(self._status if service in _NAMES else _Health.SERVICE_UNKNOWN))

    def _tell(self, status: _Status) -> None:
        if status != self._status and not self._stopping:
            self._status = status
            for stream in tuple(self._watching):
                stream.send(_told(status))


def _said(call: Call) -> str | None:
    return call.traceparent


def _left(stream: Stream, call: Call) -> float | None:
    """For how many seconds more the caller waits, which it has done since it began to call."""
    if call.timeout is None:
        return None
    return call.timeout - (asyncio.get_running_loop().time() - stream.since)


def _service(message: bytes) -> str | None:
    try:
        return str(health_pb2.HealthCheckRequest.FromString(message).service)
    except DecodeError:
        return None


def _told(status: _Status) -> bytes:
    return framed(bytes(_Health(status=status).SerializeToString()))

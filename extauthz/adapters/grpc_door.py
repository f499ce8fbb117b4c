"""What both gRPC doors do: Envoy's Authorization service, whichever server carries it.

docs/contract.md, section 4. Whatever comes in, a reply goes out: an error of ours must not
become a gRPC error, which a proxy may be told to take for an allow. The servers are
``grpcio_door`` and ``native_door``; neither needs what the other one imports.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from extauthz._pb.external_auth_pb2 import CheckRequest
from extauthz.authorizer import BROKEN, Authorizer
from extauthz.core.challenge import Challenger
from extauthz.core.model import Decision, Reason, Refusal, Request

from .check_words import CheckWords
from .envoy import to_request, to_response
from .recurring import LONGEST, LeftOut, Recurring, may_hold
from .replies import Replies

if TYPE_CHECKING:
    import grpc

_log = logging.getLogger(__name__)

SERVICE: Final = "envoy.service.auth.v3.Authorization"
TRANSPORT: Final = "grpc"
LARGE: Final = 128 * 1024

_MALFORMED: Final = Refusal(Reason.MALFORMED_REQUEST, "the check is no CheckRequest")


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcLimits:
    """What one peer may ask for. Times are in seconds, sizes in bytes.

    ``message_bytes`` must hold a whole request body where Envoy sends one.
    ``connection_age`` makes a proxy connect anew now and then, so that it finds new
    replicas; calls under way have ``connection_grace`` to end. One that does not begin to speak
    HTTP/2 within ``handshake`` seconds is closed.
    """

    message_bytes: int = 4 * 1024 * 1024
    metadata_bytes: int = 16 * 1024
    streams: int = 1024
    connection_age: float = 1800.0
    connection_grace: float = 30.0
    keepalive_interval: float = 60.0
    keepalive_timeout: float = 20.0
    ping_interval: float = 10.0
    handshake: float = 10.0
    connections: int = 4096

    def options(self) -> list[tuple[str, int]]:
        """The same in gRPC's words."""
        return [
            ("grpc.max_receive_message_length", self.message_bytes),
            ("grpc.max_metadata_size", self.metadata_bytes),
            ("grpc.absolute_max_metadata_size", self.metadata_bytes),
            ("grpc.max_concurrent_streams", self.streams),
            ("grpc.max_connection_age_ms", int(self.connection_age * 1000)),
            ("grpc.max_connection_age_grace_ms", int(self.connection_grace * 1000)),
            ("grpc.keepalive_time_ms", int(self.keepalive_interval * 1000)),
            ("grpc.keepalive_timeout_ms", int(self.keepalive_timeout * 1000)),
            ("grpc.http2.min_ping_interval_without_data_ms", int(self.ping_interval * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.server_handshake_timeout_ms", int(self.handshake * 1000)),
        ]


class CheckServicer:
    """Answers Check: serialised CheckRequest in, serialised CheckResponse out.

    Where something breaks, ``last_resort`` is the reply: a gRPC error could be taken for an allow.
    """

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._replies = Replies(_serialised)
        self._recurring = Recurring[bytes](CheckWords())
        # Made beforehand, so that nothing is left that could fail.
        self.last_resort = _serialised(Challenger(None, None).deny(BROKEN, None))
        self._waiting: set[asyncio.Task[Any] | None] = set()
        self._ended = False

    async def check(self, data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        """Decide one request, for grpcio; raises nothing, but for cancellation."""
        traceparent = partial(_traceparent, context)
        try:
            if len(data) > LARGE:
                answer = partial(self.answer_in_turn, data, traceparent)
            else:
                answered = self.answer(data, traceparent)
                if isinstance(answered, bytes):
                    return answered
                answer = partial(self.wait, answered)
            return await self._unless_ended(answer, context.time_remaining())
        except Exception:  # noqa: BLE001  as above
            _log.exception("a check failed; the request is refused")
            return self.last_resort

    async def _unless_ended(
        self, answer: Callable[[float | None], Awaitable[bytes]], left: float | None
    ) -> bytes:
        task = asyncio.current_task()
        self._waiting.add(task)
        try:
            return self.last_resort if self._ended else await answer(left)
        except asyncio.CancelledError:
            if not self._ended:
                raise
            return self.last_resort
        finally:
            self._waiting.discard(task)

    def end(self) -> None:
        """Refuse the checks of grpcio's that still wait, and those that come."""
        self._ended = True
        for task in self._waiting:
            if task is not None:
                task.cancel()

    def answer(self, data: bytes, traceparent: Callable[[], str | None]) -> bytes | Request:
        """The reply, or the request where a token has to be verified first: then ``wait``."""
        try:
            if len(data) > LONGEST:
                return self._judged(data, None, traceparent)
            name, left_out = self._recurring.name(data)
            reply = self._again(name, left_out, traceparent)
            return self._judged(data, name, traceparent) if reply is None else reply
        except DecodeError:
            return self._replies.of(self._authorizer.refuse(_MALFORMED, TRANSPORT))

    def _again(
        self, name: bytes, left_out: LeftOut, traceparent: Callable[[], str | None]
    ) -> bytes | None:
        """The reply to a check that came before in the same words, while it holds."""
        known = self._recurring.get(name)
        if known is None:
            return None
        recurs = partial(known.recurs, left_out, traceparent)
        allow = self._authorizer.again(known.standing, TRANSPORT, recurs)
        return None if allow is None else known.reply

    def _judged(
        self, data: bytes, name: bytes | None, traceparent: Callable[[], str | None]
    ) -> bytes | Request:
        authorizer = self._authorizer
        request = to_request(CheckRequest.FromString(data), traceparent)
        if isinstance(request, Refusal):
            return self._replies.of(authorizer.refuse(request, TRANSPORT))
        decision = authorizer.check_now(request, TRANSPORT)
        if decision is None:
            return request
        reply = self._replies.of(decision)
        # How much of a body came is told by a header that is no word of the check.
        if name is not None and request.body is None and may_hold(decision):
            engine = authorizer.engine
            self._recurring.learn(
                name, data, request=request, allow=decision, reply=reply, engine=engine
            )
        return reply

    async def answer_in_turn(
        self, data: bytes, traceparent: Callable[[], str | None], left: float | None
    ) -> bytes:
        """The reply to a message of more than LARGE octets, so that others wait for one at most."""
        loop = asyncio.get_running_loop()
        came = loop.time()
        answered = await self._authorizer.in_turn(partial(self.answer, data, traceparent))
        if isinstance(answered, bytes):
            return answered
        return await self.wait(answered, None if left is None else left - (loop.time() - came))

    async def wait(self, request: Request, left: float | None) -> bytes:
        """The reply once the token is judged; the caller waits ``left`` seconds more."""
        return self._replies.of(await self._authorizer.check(request, TRANSPORT, left))


def _traceparent(context: grpc.aio.ServicerContext[Any, Any]) -> str | None:
    """Envoy's trace context; the headers of the check hold no more than its client's."""
    return traceparent_in(context.invocation_metadata() or ())


def traceparent_in(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """The trace context that stands in the metadata of a call."""
    for name, value in metadata:
        if name == "traceparent" and isinstance(value, str):
            return value
    return None


def _serialised(decision: Decision) -> bytes:
    return to_response(decision).SerializeToString()

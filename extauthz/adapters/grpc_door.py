"""The gRPC door: Envoy's Authorization service and the standard health service.

docs/contract.md, section 4. Whatever comes in, a reply goes out: an error of ours must not
become a gRPC error, which a proxy may be told to take for an allow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Final, cast

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from extauthz._pb.external_auth_pb2 import CheckRequest
from extauthz.authorizer import Authorizer
from extauthz.config.addresses import Address, TcpAddress
from extauthz.core.challenge import Challenger
from extauthz.core.model import Decision, Reason, Refusal, Request

from .envoy import MCP_NAMESPACE, to_request, to_response
from .replies import Replies
from .tls import TlsMaterial, TlsSource

_log = logging.getLogger(__name__)

SERVICE: Final = "envoy.service.auth.v3.Authorization"
TRANSPORT: Final = "grpc"

_MALFORMED: Final = Refusal(Reason.MALFORMED_REQUEST, "the check is no CheckRequest")
_BROKEN: Final = Refusal(Reason.KEYS_UNAVAILABLE, "internal error, see the log")

# What gRPC takes for "as before", though its type stubs do not know.
_UNCHANGED: Final = cast("grpc.ServerCertificateConfiguration", None)

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcLimits:
    """What one peer may ask for. Times are in seconds, sizes in bytes.

    ``message_bytes`` must hold a whole request body where Envoy sends one.
    ``connection_age`` makes a proxy connect anew now and then, so that it finds new
    replicas; calls under way have ``connection_grace`` to end.
    """

    message_bytes: int = 4 * 1024 * 1024
    metadata_bytes: int = 64 * 1024
    streams: int = 1024
    connection_age: float = 1800.0
    connection_grace: float = 30.0
    keepalive_interval: float = 60.0
    keepalive_timeout: float = 20.0
    ping_interval: float = 10.0

    def options(self, reuse_port: bool) -> list[tuple[str, int]]:
        """The same in gRPC's words."""
        return [
            # On by default in gRPC: a second service would silently take half of the checks.
            ("grpc.so_reuseport", int(reuse_port)),
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
        ]


class CheckServicer:
    """Answers Check: serialised CheckRequest in, serialised CheckResponse out.

    Nothing it does raises, but for cancellation: a gRPC error could be taken for an allow.
    """

    def __init__(self, authorizer: Authorizer, mcp_namespace: str = MCP_NAMESPACE) -> None:
        self._authorizer = authorizer
        self._mcp_namespace = mcp_namespace
        self._replies = Replies(_serialised)
        # Made beforehand, so that nothing is left that could fail.
        last_resort = Challenger(None, None).deny(_BROKEN, None)
        self._last_resort = _serialised(last_resort)

    async def check(self, data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        """Decide one request."""
        answered = self.answer(data, partial(_traceparent, context))
        if isinstance(answered, bytes):
            return answered
        return await self.wait(answered, context.time_remaining())

    def answer(self, data: bytes, traceparent: Callable[[], str | None]) -> bytes | Request:
        """The reply, or the request where a token has to be verified first: then ``wait``."""
        authorizer = self._authorizer
        try:
            request = to_request(CheckRequest.FromString(data), self._mcp_namespace, traceparent)
            if isinstance(request, Refusal):
                return self._replies.of(authorizer.refuse(request, TRANSPORT))
            decision = authorizer.check_now(request, TRANSPORT)
            return request if decision is None else self._replies.of(decision)
        except DecodeError:
            return self._replies.of(authorizer.refuse(_MALFORMED, TRANSPORT))
        except Exception:  # noqa: BLE001  as above
            _log.exception("a check failed; the request is refused")
            return self._last_resort

    async def wait(self, request: Request, left: float | None) -> bytes:
        """The reply once the token is judged; the caller waits ``left`` seconds more."""
        try:
            return self._replies.of(await self._authorizer.check(request, TRANSPORT, left))
        except Exception:  # noqa: BLE001  as above
            _log.exception("a check failed; the request is refused")
            return self._last_resort


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


class GrpcDoor:
    """A gRPC server on one address, from ``start`` to ``stop``.

    ``tls`` makes it a TLS server, with client certificates where its files name a client
    CA. ``reuse_port`` is for several worker processes. ``reflection`` lets tools list the
    services; it needs the package grpcio-reflection.
    """

    def __init__(
        self,
        authorizer: Authorizer,
        address: Address,
        *,
        tls: TlsSource | None = None,
        limits: GrpcLimits = GrpcLimits(),
        reuse_port: bool = False,
        reflection: bool = False,
        mcp_namespace: str = MCP_NAMESPACE,
    ) -> None:
        self.address = address
        self._servicer = CheckServicer(authorizer, mcp_namespace)
        self._tls = tls
        self._options = limits.options(reuse_port)
        self._reflection = reflection
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()

    async def start(self, *, ready: bool = True) -> Address:
        """Listen, and say which address that is: port 0 becomes a real one.

        ``ready`` is what the health service says at first. Raises OSError when the address
        cannot be had.
        """
        server = grpc.aio.server(options=self._options)
        check: grpc.RpcMethodHandler[bytes, bytes]
        check = grpc.unary_unary_rpc_method_handler(self._servicer.check)
        # Registered, the method is found without a look at every call's name.
        server.add_registered_method_handlers(SERVICE, {"Check": check})
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self._reflection:
            _reflect(server)
        await self.set_ready(ready)
        self.address = self._bind(server)
        await server.start()
        self._server = server
        return self.address

    async def set_ready(self, ready: bool) -> None:
        """Tell the proxies' health checks whether to send requests here."""
        status = _SERVING if ready else _NOT_SERVING
        for service in ("", SERVICE):
            await self._health.set(service, status)

    async def stop(self, grace: float) -> None:
        """Say NOT_SERVING, take no new checks, and give those under way ``grace`` seconds."""
        await self._health.enter_graceful_shutdown()
        if self._server is None:
            return
        await self._server.stop(grace)
        self._server = None

    def _bind(self, server: grpc.aio.Server) -> Address:
        address = self.address
        where = str(address)
        try:
            if self._tls is None:
                port = server.add_insecure_port(where)
            else:
                port = server.add_secure_port(where, _credentials(self._tls))
        except RuntimeError as fault:
            raise OSError(f"cannot listen on {address}: {fault}") from None
        return TcpAddress(address.host, port) if isinstance(address, TcpAddress) else address


def _credentials(source: TlsSource) -> grpc.ServerCredentials:
    given = source.current()

    def configuration(material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
        pair = (material.key, material.certificate)
        return grpc.ssl_server_certificate_configuration([pair], material.client_ca)

    def changed() -> grpc.ServerCertificateConfiguration:
        nonlocal given
        material = source.current()
        if material is given:
            return _UNCHANGED
        given = material
        return configuration(material)

    return grpc.dynamic_ssl_server_credentials(
        configuration(given), changed, require_client_authentication=given.client_ca is not None
    )


def _reflect(server: grpc.aio.Server) -> None:
    try:
        reflection = import_module("grpc_reflection.v1alpha.reflection")
    except ImportError:
        raise RuntimeError("gRPC reflection needs the package grpcio-reflection") from None
    names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)

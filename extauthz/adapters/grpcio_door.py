"""The gRPC door on grpcio's server, with the standard health service."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import quote

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from extauthz.authorizer import Authorizer
from extauthz.config.addresses import Address

from .grpc_door import SERVICE, CheckServicer, GrpcLimits
from .grpc_front import GrpcFront
from .grpc_listener import GrpcListener
from .grpcio_server import new_server
from .grpcio_threads import GivingWay
from .tls import TlsSource

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
_USUAL_LIMITS: Final = GrpcLimits()
_LAST_ANSWERS: Final = 0.5
"""Seconds in which those hear of it whom the end refuses."""


class GrpcDoor:
    """A gRPC server on one address, from ``start`` to ``stop``.

    ``tls`` makes it a TLS server, with client certificates where its files name a client
    CA. ``reuse_port`` is for several worker processes, ``unix_mode`` for a Unix socket.
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
        listener = GrpcListener(
            address, tls=tls, limits=limits, reuse_port=reuse_port, unix_mode=unix_mode
        )
        self._front = GrpcFront(listener)
        self._servicer = CheckServicer(authorizer)
        self._options = limits.options()
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()
        self._threads = GivingWay()

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
        self._server = await self._started_server()
        address = await self._front.start()
        self._threads.start()
        return address

    async def _started_server(self) -> grpc.aio.Server:
        server = new_server(self._options)
        check: grpc.RpcMethodHandler[bytes, bytes]
        check = grpc.unary_unary_rpc_method_handler(self._servicer.check)
        handler = grpc.method_handlers_generic_handler(SERVICE, {"Check": check})
        server.add_generic_rpc_handlers((handler,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        where = self._front.bind()
        try:
            # Read as a URI.
            server.add_insecure_port(f"unix:{quote(where.path)}")
        except RuntimeError:
            await self._front.stop()
            raise OSError(
                f"the gRPC server cannot listen on {where}, which is for it alone; expected "
                "$TMPDIR to be a folder that takes sockets"
            ) from None
        await server.start()
        return server

    async def set_ready(self, ready: bool) -> None:
        """Tell the proxies' health checks whether to send requests here."""
        status = _SERVING if ready else _NOT_SERVING
        for service in ("", SERVICE):
            await self._health.set(service, status)

    async def stop(self, grace: float) -> None:
        """Say NOT_SERVING, take no new checks, and give those under way ``grace`` seconds."""
        await self._health.enter_graceful_shutdown()
        self._front.close()
        if self._server is not None:
            # Or it would end them with an error of gRPC's.
            last_call = asyncio.get_running_loop().call_later(grace, self._servicer.end)
            try:
                await self._server.stop(grace + _LAST_ANSWERS)
            finally:
                last_call.cancel()
            self._server = None
        self._threads.stop()
        await self._front.stop()

"""The doors of one process: gRPC and HTTP, as the settings want them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from extauthz.adapters.grpc_door import GrpcDoor
from extauthz.adapters.http_door import HttpDoor
from extauthz.adapters.http_server import HttpServer
from extauthz.adapters.native_door import NativeDoor
from extauthz.adapters.tls import TlsFiles, TlsSource
from extauthz.adapters.trust import TrustedPeers
from extauthz.authorizer import Authorizer
from extauthz.config.addresses import Address, UnixAddress
from extauthz.config.base import TlsSettings
from extauthz.config.load import Loaded


@dataclass(frozen=True, slots=True)
class DoorAddresses:
    """Where the doors are; None for one that is off."""

    grpc: Address | None
    http: Address | None

    @classmethod
    def of(cls, loaded: Loaded) -> DoorAddresses:
        """As the settings say."""
        return cls(loaded.settings.listen.grpc, loaded.settings.listen.http)

    def known(self) -> list[Address]:
        """Those that are not off."""
        return [address for address in (self.grpc, self.http) if address is not None]


class Doors:
    """Serves ``authorizer`` at ``addresses``. ``shared`` is for one of several workers."""

    def __init__(
        self,
        authorizer: Authorizer,
        loaded: Loaded,
        addresses: DoorAddresses,
        *,
        shared: bool = False,
    ) -> None:
        listen = loaded.settings.listen
        self._http_door = HttpDoor(authorizer, _trusted(loaded))
        self._http: HttpServer | None = None
        self._grpc: GrpcDoor | NativeDoor | None = None
        if addresses.http is not None:
            self._http = HttpServer(
                self._http_door, addresses.http, tls=_tls(listen.http_tls), reuse_port=shared
            )
        if addresses.grpc is None:
            return
        if listen.grpc_transport == "native":
            self._grpc = NativeDoor(authorizer, addresses.grpc, reuse_port=shared)
        else:
            self._grpc = GrpcDoor(
                authorizer, addresses.grpc, tls=_tls(listen.grpc_tls), reuse_port=shared
            )

    async def start(self) -> DoorAddresses:
        """Listen, unready; the addresses with their real ports.

        Raises OSError when one cannot be had.
        """
        http = None if self._http is None else await self._http.start()
        grpc = None if self._grpc is None else await self._grpc.start(ready=False)
        return DoorAddresses(grpc, http)

    async def set_ready(self, ready: bool) -> None:
        """Tell gRPC health checks whether to send requests."""
        if self._grpc is not None:
            await self._grpc.set_ready(ready)

    async def begin_drain(self) -> None:
        """Say that no more requests are wanted; those that come are answered."""
        await self.set_ready(False)
        if self._http is not None:
            self._http.draining = True

    async def take(self, loaded: Loaded) -> None:
        """Go by changed settings, as far as doors can."""
        self._http_door.trusted = _trusted(loaded)

    async def stop(self, grace: float) -> None:
        """Take no new requests, and give those under way ``grace`` seconds."""
        doors = [door.stop(grace) for door in (self._http, self._grpc) if door is not None]
        await asyncio.gather(*doors)


def _trusted(loaded: Loaded) -> TrustedPeers:
    listen = loaded.settings.listen
    return TrustedPeers(listen.trusted_proxies, unix=isinstance(listen.http, UnixAddress))


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

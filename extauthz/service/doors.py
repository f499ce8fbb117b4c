"""The doors of one process: gRPC and HTTP, as the settings want them."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extauthz.adapters.http_door import HttpDoor
from extauthz.adapters.http_server import HttpServer
from extauthz.adapters.tls import TlsFiles, TlsSource
from extauthz.adapters.trust import TrustedPeers
from extauthz.authorizer import Authorizer
from extauthz.config.addresses import Address, UnixAddress

from .terms import Terms

if TYPE_CHECKING:
    from extauthz.adapters.grpcio_door import GrpcDoor
    from extauthz.adapters.native_door import NativeDoor
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
        terms: Terms,
        addresses: DoorAddresses,
        *,
        shared: bool = False,
    ) -> None:
        self._unix = isinstance(addresses.http, UnixAddress)
        self._http_door = HttpDoor(authorizer, self._trusted(terms))
        self._http: HttpServer | None = None
        self._grpc: GrpcDoor | NativeDoor | None = None
        if addresses.http is not None:
            self._http = HttpServer(
                self._http_door,
                addresses.http,
                recall=self._http_door.again,
                tls=_tls(terms.http_tls),
                reuse_port=shared,
                unix_mode=terms.unix_mode,
            )
        if addresses.grpc is None:
            return
        # Each transport takes a while to import, and one is enough.
        door: type[GrpcDoor | NativeDoor]
        if terms.grpc_transport == "native":
            from extauthz.adapters.native_door import NativeDoor  # noqa: PLC0415

            door = NativeDoor
        else:
            # Its library writes of what clients send on standard error, in their own words.
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")
            from extauthz.adapters.grpcio_door import GrpcDoor  # noqa: PLC0415

            door = GrpcDoor
        self._grpc = door(
            authorizer,
            addresses.grpc,
            tls=_tls(terms.grpc_tls),
            reuse_port=shared,
            unix_mode=terms.unix_mode,
        )

    async def start(self) -> DoorAddresses:
        """Listen, unready; the addresses with their real ports.

        Raises OSError when one cannot be had.
        """
        http = None if self._http is None else await self._http.start()
        grpc = None if self._grpc is None else await self._grpc.start(ready=False)
        return DoorAddresses(grpc, http)

    def serving(self) -> bool:
        """Whether anybody answers: this process does."""
        return True

    async def set_ready(self, ready: bool) -> None:
        """Tell gRPC health checks whether to send requests."""
        if self._grpc is not None:
            await self._grpc.set_ready(ready)

    async def begin_drain(self) -> None:
        """Say that no more requests are wanted; those that come are answered."""
        await self.set_ready(False)
        if self._http is not None:
            self._http.draining = True

    async def take(self, terms: Terms) -> None:
        """Go by changed terms, as far as doors can."""
        self._http_door.trust(self._trusted(terms))

    async def add_up(self) -> None:
        """Nothing to do: what is counted here is counted at once."""

    async def stop(self, grace: float) -> None:
        """Take no new requests, and give those under way ``grace`` seconds."""
        doors = [door.stop(grace) for door in (self._http, self._grpc) if door is not None]
        await asyncio.gather(*doors)

    def _trusted(self, terms: Terms) -> TrustedPeers:
        return TrustedPeers(terms.trusted_proxies, unix=self._unix)


def _tls(files: TlsFiles | None) -> TlsSource | None:
    return None if files is None else TlsSource(files)

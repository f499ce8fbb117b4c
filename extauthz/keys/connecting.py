"""Connections to issuers: whose names are looked up apart, and that are closed whatever happens."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any, Self

import httpcore

from .apart import apart
from .rationed import Ration, RationedStream

NEXT_ADDRESS = 0.25
"""So many seconds one address of a host has before the next is tried too (RFC 8305 section 5)."""


class Connections(httpcore.AnyIOBackend):
    """Opens connections for the HTTP library, and closes every one of them in the end.

    The library forgets one whose TLS handshake is cancelled, as our deadline does; each
    attempt at an issuer that hangs there would cost a file descriptor. It also looks names up in
    threads that others need, and reads at once whatever has come. ``ration`` bounds what comes
    besides content.
    """

    def __init__(self) -> None:
        self.ration = Ration()
        self._opened: list[httpcore.AsyncNetworkStream] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._opened:
            with suppress(Exception):
                await connection.aclose()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the library's own word
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """As the library's own. Raises httpcore.ConnectError."""
        connect = super().connect_tcp

        async def opened(address: str) -> httpcore.AsyncNetworkStream:
            stream = await connect(address, port, timeout, local_address, socket_options)
            self._opened.append(stream)
            return RationedStream(stream, self.ration.came)

        try:
            addresses = await addresses_of(host, port)
        except OSError as fault:
            raise httpcore.ConnectError(str(fault)) from fault
        return await _first(opened, addresses)


async def addresses_of(host: str, port: int) -> list[str]:
    """The IP addresses of a host, in the order they are to be tried. Raises OSError."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        return await apart(_looked_up, host, port)


def _looked_up(host: str, port: int) -> list[str]:
    # As bytes, so that no codec of Python's has a say in it.
    found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    addresses = dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found)
    # RFC 8305 section 4: by turns, so that a family that leads nowhere costs little.
    first = next((family for family, _ in addresses), None)
    preferred = [address for family, address in addresses if family == first]
    others = [address for family, address in addresses if family != first]
    turns = chain.from_iterable(zip_longest(preferred, others))
    return [address for address in turns if address is not None]


async def _first(
    connect: Callable[[str], Coroutine[Any, Any, httpcore.AsyncNetworkStream]],
    addresses: list[str],
) -> httpcore.AsyncNetworkStream:
    """A connection to the address that answers first, each having a start on the next."""
    waiting: set[asyncio.Task[httpcore.AsyncNetworkStream]] = set()
    fault: BaseException | None = None
    left = addresses[::-1]
    try:
        while left or waiting:
            if left:
                waiting.add(asyncio.create_task(connect(left.pop())))
            ended, waiting = await asyncio.wait(
                waiting,
                timeout=NEXT_ADDRESS if left else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            outcomes = {task: task.exception() for task in ended}
            for task, failed in outcomes.items():
                if failed is None:
                    return task.result()
                fault = fault or failed
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    raise fault or httpcore.ConnectError("the host has no address")

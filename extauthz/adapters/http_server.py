"""The HTTP server of the HTTP and the admin listener: sockets, TLS, time limits, a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator, Sequence
from email.utils import formatdate
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from extauthz.config.addresses import Address, UnixAddress

from .http_host import HttpLimits
from .http_message import HttpHandler, HttpRecall
from .http_protocol import HttpConnection
from .sockets import Listening, bind, bound_address, serve
from .tls import TlsSource

_TICK: Final = 0.5
_HANDSHAKE: Final = 5.0
_GOODBYE: Final = 1.0
_LINGER: Final = 0.25
_AT_ONCE: Final = 8
_USUAL_LIMITS: Final = HttpLimits()


class HttpServer:
    """Serves ``handler`` on one address, from ``start`` to ``stop``.

    ``recall`` may answer in its place what it knows already.

    ``tls`` makes it a TLS server, with client certificates where its files name a client
    CA. ``reuse_port`` is for several worker processes, ``unix_mode`` for a Unix socket.
    """

    def __init__(
        self,
        handler: HttpHandler,
        address: Address,
        *,
        recall: HttpRecall | None = None,
        tls: TlsSource | None = None,
        limits: HttpLimits = _USUAL_LIMITS,
        reuse_port: bool = False,
        unix_mode: int | None = None,
    ) -> None:
        self.address = address
        self.handler = handler
        self.recall = recall
        self.limits = limits
        self.draining = False
        """Whether each connection is to end with the answer to its next request."""
        self.tick = 0.0
        self.bodies = 0
        self.date = b""
        self._context: ssl.SSLContext | None = (
            None if tls is None else tls.server_context("http/1.1")
        )
        self._bind = partial(bind, reuse_port=reuse_port, unix_mode=unix_mode)
        self._listening: Sequence[Listening] = ()
        self._connections: set[HttpConnection] = set()
        self._ticking: asyncio.TimerHandle | None = None
        self._all_closed = asyncio.Event()

    async def start(self) -> Address:
        """Listen, and say which address that is: port 0 becomes a real one.

        Raises OSError when the address cannot be had.
        """
        self._look_at_the_clock()
        sockets = self._bind(self.address)
        self.address = bound_address(sockets[0])
        self._listening = await serve(
            sockets,
            lambda: HttpConnection(self),
            self._context,
            handshake=_HANDSHAKE,
            room=lambda: self.limits.connections - len(self._connections),
        )
        return self.address

    async def stop(self, grace: float) -> None:
        """Take no new requests, and give those under way ``grace`` seconds."""
        self.draining = True
        for server in self._listening:
            server.close()
        self._listening = ()
        if isinstance(self.address, UnixAddress):
            with contextlib.suppress(OSError):
                await asyncio.to_thread(Path(self.address.path).unlink)
        # A request that is on its way to a connection without one is still answered.
        linger = min(grace, _LINGER)
        await self._wait_until_closed(linger)
        for connection in tuple(self._connections):
            connection.drain()
        await self._wait_until_closed(grace - linger)
        for connection in tuple(self._connections):
            connection.abort()
        await self._wait_until_closed(_GOODBYE)
        if self._ticking is not None:
            self._ticking.cancel()

    async def _wait_until_closed(self, seconds: float) -> None:
        self._all_closed.clear()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._all_closed.wait()

    def opened(self, connection: HttpConnection) -> bool:
        """Count a connection in; False where there are too many."""
        self._connections.add(connection)
        return len(self._connections) <= self.limits.connections

    def closed(self, connection: HttpConnection) -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        if not self._connections:
            self._all_closed.set()

    def _look_at_the_clock(self) -> None:
        # One timer for all connections: one for each would cost every request a microsecond.
        loop = asyncio.get_running_loop()
        self.tick = loop.time()
        self.date = b"date: %b\r\n" % formatdate(usegmt=True).encode("ascii")
        self._end_those_overdue(iter(tuple(self._connections)))
        self._ticking = loop.call_later(_TICK, self._look_at_the_clock)

    def _end_those_overdue(self, connections: Iterator[HttpConnection]) -> None:
        some = tuple(islice(connections, _AT_ONCE))
        for connection in some:
            connection.end_if_overdue(self.tick)
        if some:
            # Of thousands that came together each is overdue, and others wait for an answer.
            asyncio.get_running_loop().call_soon(self._end_those_overdue, connections)

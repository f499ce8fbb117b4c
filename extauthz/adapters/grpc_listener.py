"""Whoever connects to the gRPC port: counted, given time to begin, and cut off if need be.

What it promises is in docs/contract.md, section 11.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from extauthz.config.addresses import Address, TcpAddress, UnixAddress

from .grpc_door import GrpcLimits
from .sockets import Listening, bind, serve
from .tls import TlsSource

_log = logging.getLogger(__name__)

_GOODBYE: Final = 1.0
_TICK: Final = 0.5
_AT_ONCE: Final = 8
_BETWEEN_REPORTS: Final = 10.0


class Connection(Protocol):
    """A client's connection."""

    def close(self) -> None:
        """End, once the client has what is on its way, or in a second."""

    def abort(self) -> None:
        """End at once."""


class GrpcListener:
    """Takes the connections at ``address``: first ``bind``, then ``start``.

    ``tls`` makes it a TLS server, with client certificates where its files name a client CA.
    ``reuse_port`` is for several worker processes, ``unix_mode`` for a Unix socket.
    """

    def __init__(
        self,
        address: Address,
        *,
        tls: TlsSource | None = None,
        limits: GrpcLimits,
        reuse_port: bool = False,
        unix_mode: int | None = None,
    ) -> None:
        self.address = address
        self.limits = limits
        self._context = None if tls is None else tls.server_context("h2")
        self._bind = partial(bind, reuse_port=reuse_port, unix_mode=unix_mode)
        self._sockets: list[socket.socket] = []
        self._servers: Sequence[Listening] = ()
        self.connections: set[Connection] = set()
        self._silent: dict[Connection, float] = {}
        self._ticking: asyncio.TimerHandle | None = None
        self._all_closed = asyncio.Event()
        self._cut: Counter[str] = Counter()
        self._reporting: asyncio.TimerHandle | None = None
        self._quiet_until = 0.0

    def bind(self) -> None:
        """Have the address. Raises OSError when it cannot be had."""
        self._sockets = self._bind(self.address)
        if isinstance(self.address, TcpAddress):
            self.address = TcpAddress(self.address.host, self._sockets[0].getsockname()[1])

    async def start(self, connection: Callable[[], asyncio.Protocol]) -> Address:
        """Take connections; the address with its real port."""
        self._servers = await serve(
            self._sockets,
            connection,
            self._context,
            handshake=self.limits.handshake,
            room=lambda: self.limits.connections - len(self.connections),
        )
        self._sockets = []
        self._end_those_late()
        return self.address

    def close(self) -> None:
        """Take no more connections; those that are go on."""
        for server in self._servers:
            server.close()
        for one in self._sockets:
            one.close()
        if isinstance(self.address, UnixAddress) and (self._servers or self._sockets):
            with contextlib.suppress(OSError):
                Path(self.address.path).unlink()
        self._servers, self._sockets = (), []

    async def stop(self) -> None:
        """End the connections."""
        self.close()
        self._all_closed.clear()
        for connection in tuple(self.connections):
            connection.close()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE):
                    await self._all_closed.wait()
        for connection in tuple(self.connections):
            connection.abort()
        if self._ticking is not None:
            self._ticking.cancel()
        if self._reporting is not None:
            self._reporting.cancel()
            self._report()

    def opened(self, connection: Connection, now: float) -> bool:
        """Count a connection in; False where there are too many."""
        self.connections.add(connection)
        self._silent[connection] = now + self.limits.handshake
        return len(self.connections) <= self.limits.connections

    def begun(self, connection: Connection) -> None:
        """Take note that a connection speaks HTTP/2."""
        self._silent.pop(connection, None)

    def closed(self, connection: Connection) -> None:
        """Count a connection out."""
        self.connections.discard(connection)
        self._silent.pop(connection, None)
        if not self.connections:
            self._all_closed.set()

    def suspicious(self) -> bool:
        """Whether somebody was cut off a moment ago."""
        return self._reporting is not None

    def cut(self, excess: str) -> None:
        """Count a connection that is cut off, for a line in the log now and then."""
        self._cut[excess] += 1
        if self._reporting is None:
            loop = asyncio.get_running_loop()
            self._reporting = loop.call_later(_BETWEEN_REPORTS, self._report)

    def unserved(self, why: str) -> None:
        """Say, now and then, why nobody serves a connection that is good."""
        now = asyncio.get_running_loop().time()
        # While all ends, nobody does.
        if self._servers and now >= self._quiet_until:
            self._quiet_until = now + _BETWEEN_REPORTS
            _log.error("gRPC connections are closed, since nobody can serve them: %s", why)

    def _end_those_late(self) -> None:
        # They are in the order in which they came. Of thousands that came together each is late,
        # and others wait for an answer.
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection, deadline in tuple(islice(self._silent.items(), _AT_ONCE)):
            if deadline > now:
                self._ticking = loop.call_later(_TICK, self._end_those_late)
                return
            self._silent.pop(connection)
            connection.abort()
        soon = 0.0 if self._silent else _TICK
        self._ticking = loop.call_later(soon, self._end_those_late)

    def _report(self) -> None:
        self._reporting = None
        for excess, count in self._cut.items():
            _log.warning("gRPC connections cut off: %d that sent %s", count, excess)
        self._cut.clear()

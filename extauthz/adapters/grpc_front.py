"""What stands before a gRPC server: TLS, time to begin, and a ration of frames.

What it promises is in docs/contract.md, section 11.

The server itself listens on a Unix socket in a folder of our own, where nobody else may go.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import shutil
import socket
import tempfile
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Final, cast

from extauthz.config.addresses import Address, TcpAddress, UnixAddress

from .grpc_door import GrpcLimits
from .http2_frames import FrameWatch
from .late_resets import LateResets
from .sockets import bind, serve
from .tls import TlsSource

_log = logging.getLogger(__name__)

_GOODBYE: Final = 1.0
_TICK: Final = 0.5
_AT_ONCE: Final = 8
_BETWEEN_REPORTS: Final = 10.0
_PROBATION: Final = 0.03
_EARLY_BYTES: Final = 64 * 1024
_RESETS_LATE_BY: Final = 0.1
_BETWEEN_RESETS: Final = 0.01


class GrpcFront:
    """Takes the connections at ``address`` and hands on what they send to a server behind.

    First ``bind``, then the server where that says, then ``start``. ``tls`` makes it a TLS server,
    with client certificates where its files name a client CA. ``reuse_port`` is for several
    worker processes. ``late_resets`` is for a server that bears few calls given up at once.
    """

    def __init__(
        self,
        address: Address,
        *,
        tls: TlsSource | None = None,
        limits: GrpcLimits,
        reuse_port: bool = False,
        late_resets: bool = False,
    ) -> None:
        self.address = address
        self.limits = limits
        self.late_resets = late_resets
        self._inner = ""
        self._context = None if tls is None else tls.server_context("h2")
        self._reuse_port = reuse_port
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._connections: set[_Outside] = set()
        self._silent: dict[_Outside, float] = {}
        self._ticking: asyncio.TimerHandle | None = None
        self._all_closed = asyncio.Event()
        self._cut: Counter[str] = Counter()
        self._reporting: asyncio.TimerHandle | None = None

    def bind(self) -> UnixAddress:
        """Have the address, and say where the server behind is to listen.

        Raises OSError when the address, or a folder for the socket, cannot be had.
        """
        sockets = bind(self.address, reuse_port=self._reuse_port)
        try:
            folder = _own_folder()
        except OSError:
            for one in sockets:
                one.close()
            raise
        if isinstance(self.address, TcpAddress):
            self.address = TcpAddress(self.address.host, sockets[0].getsockname()[1])
        self._sockets = sockets
        self._inner = str(folder / "grpc.sock")
        return UnixAddress(self._inner)

    async def start(self) -> Address:
        """Take connections; the address with its real port."""
        self._servers = await serve(
            self._sockets,
            lambda: _Outside(self, self._inner),
            self._context,
            handshake=self.limits.handshake,
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
        self._servers, self._sockets = [], []

    async def stop(self) -> None:
        """End the connections, once the server behind has ended."""
        self.close()
        self._all_closed.clear()
        for connection in tuple(self._connections):
            connection.close()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE):
                    await self._all_closed.wait()
        for connection in tuple(self._connections):
            connection.abort()
        if self._ticking is not None:
            self._ticking.cancel()
        if self._reporting is not None:
            self._reporting.cancel()
            self._report()
        if self._inner:
            await asyncio.to_thread(shutil.rmtree, Path(self._inner).parent, ignore_errors=True)

    def opened(self, connection: _Outside, now: float) -> bool:
        """Count a connection in; False where there are too many."""
        self._connections.add(connection)
        self._silent[connection] = now + self.limits.handshake
        return len(self._connections) <= self.limits.connections

    def begun(self, connection: _Outside) -> None:
        """Take note that a connection speaks HTTP/2."""
        self._silent.pop(connection, None)

    def closed(self, connection: _Outside) -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        self._silent.pop(connection, None)
        if not self._connections:
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


class _Side(asyncio.Protocol):
    """One of the two connections that belong together; ``other`` is what it hands on to."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast(asyncio.Transport, transport)

    def pass_on(self, data: bytes) -> None:
        """Write to the other one, if it is still there."""
        if data and self.other is not None and not self.other.is_closing():
            self.other.write(data)

    def pause_writing(self) -> None:
        """What it was written is not taken: the other one is not to bring more."""
        if self.other is not None and not self.other.is_closing():
            self.other.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self.other is not None and not self.other.is_closing():
            self.other.resume_reading()


class _Outside(_Side):
    """A client's connection."""

    def __init__(self, front: GrpcFront, inner: str) -> None:
        super().__init__()
        self._front = front
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self.watch = FrameWatch(self._loop.time(), block_bytes=2 * front.limits.metadata_bytes)
        self._resets = LateResets(_RESETS_LATE_BY) if front.late_resets else None
        self._resetting: asyncio.TimerHandle | None = None
        self._early = bytearray()
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client to begin, unless there are too many."""
        super().connection_made(transport)
        if not self._front.opened(self, self._loop.time()):
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Hand it on, if it may be; to begin with, connect."""
        now = self._loop.time()
        excess = self.watch.read(data, now)
        if excess is not None:
            self._front.cut(excess)
            self.abort()
            return
        if self._resets is not None and self.watch.given_up:
            data = self._resets.keep(data, self.watch.given_up, now)
            if self._resetting is None:
                self._resetting = self._loop.call_later(_RESETS_LATE_BY, self._reset, self._resets)
        if self.other is not None:
            self.pass_on(data)
        else:
            self._early += data
            if self.watch.begun and self._connecting is None:
                self._front.begun(self)
                self._connecting = self._loop.create_task(self._connect())
            elif len(self._early) > _EARLY_BYTES:
                self._read(on=False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """End what belongs to it."""
        self._front.closed(self)
        if self._connecting is not None:
            self._connecting.cancel()
        if self._resetting is not None:
            self._resetting.cancel()
        if self.other is not None:
            self.other.close()

    def _reset(self, resets: LateResets) -> None:
        self._resetting = None
        if self.other is not None and self.watch.between_frames:
            self.pass_on(resets.due(self._loop.time()))
        if resets:
            self._resetting = self._loop.call_later(_BETWEEN_RESETS, self._reset, resets)

    def close(self) -> None:
        """End, once the client has what is on its way, or in a second."""
        if self.transport is not None:
            self.transport.close()
            self._loop.call_later(_GOODBYE, self.transport.abort)

    def abort(self) -> None:
        """End at once."""
        for transport in (self.transport, self.other):
            if transport is not None:
                transport.abort()

    async def _connect(self) -> None:
        if self._front.suspicious():
            # What it sends in a moment tells a flood from a client, at the cost of nobody else.
            await asyncio.sleep(_PROBATION)
        self._read(on=False)
        try:
            inside, _ = await self._loop.create_unix_connection(lambda: _Inside(self), self._inner)
        except OSError:
            self.abort()
            return
        self.other = inside
        self.pass_on(bytes(self._early))
        self._early.clear()
        self._read(on=True)

    def _read(self, *, on: bool) -> None:
        if self.transport is not None and not self.transport.is_closing():
            if on:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()


class _Inside(_Side):
    """The connection to the server that belongs to a client's."""

    def __init__(self, outside: _Outside) -> None:
        super().__init__()
        self._outside = outside
        self.other = outside.transport

    def data_received(self, data: bytes) -> None:
        """Hand on what the server says."""
        self._outside.watch.hear(data)
        self.pass_on(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The server has ended it."""
        self._outside.close()


def _own_folder() -> Path:
    """A folder that only we may enter, in the usual place or in memory."""
    for parent in (None, "/dev/shm"):  # noqa: S108
        with contextlib.suppress(OSError):
            return Path(tempfile.mkdtemp(prefix="extauthz-", dir=parent))
    raise OSError(
        errno.EACCES,
        "no place for the socket of the gRPC server; expected $TMPDIR, /tmp or /dev/shm to be a "
        "folder that this user may write to",
    )

"""What stands before a gRPC server that is another's: what comes is handed on, or cut off.

The server itself listens on a Unix socket in a folder of our own, where nobody else may go.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final, cast

from extauthz.config.addresses import Address, UnixAddress

from .grpc_http2 import PREFIX
from .grpc_listener import GrpcListener
from .http2_frames import FrameWatch
from .http2_messages import Held, Messages

_GOODBYE: Final = 1.0
_PROBATION: Final = 0.03
_EARLY_BYTES: Final = 64 * 1024
_TICK: Final = 1.0
_MOST_HELD: Final = 128 * 1024 * 1024
"""Octets of messages without an end, over all connections, that the server behind may keep."""
_ENDLESS: Final = "messages without an end"
_SOCKET: Final = "grpc.sock"
# Of a Unix socket, in bytes, on every system; Linux takes four more.
_LONGEST_PATH: Final = 103


class GrpcFront:
    """Hands on what clients of ``listener`` send to a server behind.

    First ``bind``, then the server where that says, then ``start``.
    """

    def __init__(self, listener: GrpcListener) -> None:
        self.listener = listener
        self._inner = ""
        self.held = Held()
        self._clients: set[_Outside] = set()
        self._ticking: asyncio.TimerHandle | None = None

    @property
    def address(self) -> Address:
        """Where it listens; once bound with its real port."""
        return self.listener.address

    def bind(self) -> UnixAddress:
        """Have the address, and say where the server behind is to listen.

        Raises OSError when the address, or a folder for the socket, cannot be had.
        """
        self.listener.bind()
        try:
            self._inner = str(_own_folder() / _SOCKET)
        except OSError:
            self.listener.close()
            raise
        return UnixAddress(self._inner)

    async def start(self) -> Address:
        """Take connections; the address with its real port."""
        self._look()
        return await self.listener.start(lambda: _Outside(self, self._inner))

    def close(self) -> None:
        """Take no more connections; those that are go on."""
        self.listener.close()

    async def stop(self) -> None:
        """End the connections, once the server behind has ended."""
        await self.listener.stop()
        if self._ticking is not None:
            self._ticking.cancel()
        if self._inner:
            await asyncio.to_thread(shutil.rmtree, Path(self._inner).parent, ignore_errors=True)

    # ---- called by connections

    def opened(self, client: _Outside) -> None:
        """Count a connection in."""
        self._clients.add(client)

    def closed(self, client: _Outside) -> None:
        """Count a connection out."""
        self._clients.discard(client)

    def make_room(self) -> None:
        """Where all together have begun too much, cut off who has begun most."""
        if self.held.octets > _MOST_HELD:
            max(self._clients, key=lambda client: client.messages.held).cut(_ENDLESS)

    def _look(self) -> None:
        """Cut off who takes too long with a message."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for client in tuple(self._clients):
            if client.messages.overdue(now):
                client.cut(_ENDLESS)
        self._ticking = loop.call_later(_TICK, self._look)


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
        if self.other is not None and not self.other.is_closing():
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
        self._listener = front.listener
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        limits = self._listener.limits
        self.messages = Messages(limits.message_bytes + PREFIX, front.held)
        self.watch = FrameWatch(
            self._loop.time(), block_bytes=2 * limits.metadata_bytes, see=self.messages.see
        )
        self._early = bytearray()
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client to begin, unless there are too many."""
        super().connection_made(transport)
        self._front.opened(self)
        if not self._listener.opened(self, self._loop.time()):
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Hand it on, if it may be; to begin with, connect."""
        excess = self.watch.read(data, self._loop.time())
        if excess is not None:
            self.cut(excess)
            return
        self._front.make_room()
        if self.transport is None or self.transport.is_closing():
            return
        if self.other is not None:
            self.pass_on(data)
        else:
            self._early += data
            if self.watch.begun and self._connecting is None:
                self._listener.begun(self)
                self._connecting = self._loop.create_task(self._connect())
            elif len(self._early) > _EARLY_BYTES:
                self._read(on=False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """End what belongs to it."""
        self._listener.closed(self)
        self._front.closed(self)
        self.messages.forget()
        if self._connecting is not None:
            self._connecting.cancel()
        if self.other is not None:
            self.other.close()

    def close(self) -> None:
        """End, once the client has what is on its way, or in a second."""
        if self.transport is not None:
            self.transport.close()
            self._loop.call_later(_GOODBYE, self.transport.abort)

    def cut(self, excess: str) -> None:
        """End at once, and have it told what it sent too much of."""
        self.messages.forget()
        self._listener.cut(excess)
        self.abort()

    def abort(self) -> None:
        """End at once."""
        for transport in (self.transport, self.other):
            if transport is not None:
                transport.abort()

    async def _connect(self) -> None:
        if self._listener.suspicious():
            # What it sends in a moment tells a flood from a client, at the cost of nobody else.
            await asyncio.sleep(_PROBATION)
        self._read(on=False)
        try:
            inside, _ = await self._loop.create_unix_connection(lambda: _Inside(self), self._inner)
        except OSError as fault:
            self._listener.unserved(_why_unreached(self._inner, fault))
            self.abort()
            return
        self.other = inside
        # Before what may be too much for the server, and then stops the reading again.
        self._read(on=True)
        self.pass_on(bytes(self._early))
        self._early.clear()

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


def _why_unreached(path: str, fault: OSError) -> str:
    if isinstance(fault, FileNotFoundError):
        return (
            f"the socket of the gRPC server, {path}, was removed; restart extauthz, with TMPDIR "
            "set to a folder that nobody cleans"
        )
    return f"{path}: {(fault.strerror or type(fault).__name__).lower()}"


def _own_folder() -> Path:
    """A folder that only we may enter, in the usual place or in memory."""
    for parent in (None, "/tmp", "/dev/shm"):  # noqa: S108
        with contextlib.suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="extauthz-", dir=parent))
            if len(os.fsencode(folder / _SOCKET)) <= _LONGEST_PATH:
                return folder
            folder.rmdir()
    raise OSError(
        errno.EACCES,
        "no place for the socket of the gRPC server; expected $TMPDIR, /tmp or /dev/shm to be a "
        "folder that this user may write to, with a path of at most 75 bytes",
    )

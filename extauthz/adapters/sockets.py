"""Listening sockets, TCP and Unix, and the servers on them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from extauthz.config.addresses import Address, TcpAddress, UnixAddress

_BACKLOG: Final = 1024
_AT_ONCE: Final = 8
_GOODBYE: Final = 1.0
_REST: Final = 1.0
_LACKING: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class CannotListen(OSError):
    """Nobody can listen on ``address``."""

    def __init__(self, number: int | None, problem: str, address: Address) -> None:
        super().__init__(number, problem)
        self.address = address


def bind(
    address: Address, *, reuse_port: bool = False, unix_mode: int | None = None
) -> list[socket.socket]:
    """Listen on ``address``: one socket, or several where a name has several addresses.

    Of those, the ones that this machine does not have are passed over where it has another.

    ``reuse_port`` lets several processes share a TCP port; without it a second one fails.
    A Unix socket that nobody listens on any more is replaced, and nothing else that has its
    path; ``unix_mode`` says who may connect to it, else the umask does. Raises CannotListen.
    """
    try:
        if isinstance(address, UnixAddress):
            return [_bind_unix(address.path, unix_mode)]
        return _bind_tcp(address, reuse_port)
    except OSError as fault:
        problem = (fault.strerror or str(fault)).lower()
        raise CannotListen(fault.errno, f"cannot listen on {address}: {problem}", address) from None


class Listening(Protocol):
    """What takes connections."""

    def close(self) -> None:
        """Take no more of them."""


async def serve(
    sockets: Sequence[socket.socket],
    connection: Callable[[], asyncio.Protocol],
    context: ssl.SSLContext | None,
    *,
    handshake: float,
    room: Callable[[], int],
) -> Sequence[Listening]:
    """Take connections on ``sockets``; with a ``context`` over TLS, in ``handshake`` seconds.

    ``room`` says how many may be agreeing upon TLS, which ``connection`` is not told of before.
    """
    loop = asyncio.get_running_loop()
    servers: list[Listening] = []
    for one in sockets:
        if context is None:
            server = await loop.create_server(connection, sock=one, backlog=_AT_ONCE)
            # asyncio takes as many connections in one go as it lets wait: two different things.
            one.listen(_BACKLOG)
            servers.append(server)
        else:
            servers.append(_TlsListening(one, connection, context, handshake, room))
    return servers


class _TlsListening:
    """Takes connections as a server of asyncio does, but counts them before TLS is agreed upon."""

    def __init__(
        self,
        listening: socket.socket,
        connection: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        handshake: float,
        room: Callable[[], int],
    ) -> None:
        self._listening = listening
        self._connection = connection
        self._context = context
        self._handshake = handshake
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._agreeing: set[asyncio.Task[None]] = set()
        self._resting: asyncio.TimerHandle | None = None
        self._begin()

    def close(self) -> None:
        """As Listening says. Who is still agreeing upon TLS is no connection yet."""
        if self._resting is not None:
            self._resting.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()
        for task in self._agreeing:
            task.cancel()

    def _begin(self) -> None:
        self._resting = None
        self._loop.add_reader(self._listening, self._take)

    def _take(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                taken, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # No file descriptor is left, or no memory.
                self._loop.remove_reader(self._listening)
                self._resting = self._loop.call_later(_REST, self._begin)
                return
            if len(self._agreeing) < self._room():
                taken.setblocking(False)
                task = self._loop.create_task(self._agree(taken))
                self._agreeing.add(task)
                task.add_done_callback(self._agreeing.discard)
            else:
                taken.close()

    async def _agree(self, taken: socket.socket) -> None:
        # A client that breaks off, or speaks no TLS: it has been hung up on, and that is all.
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(
                self._connection,
                taken,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake,
                ssl_shutdown_timeout=_GOODBYE,
            )


def bound_address(listening: socket.socket) -> Address:
    """The address a socket got, with the port that was chosen for it."""
    name = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return UnixAddress(str(name))
    return TcpAddress(name[0], name[1])


def reserve(address: Address) -> tuple[Address, list[socket.socket]]:
    """Keep ``address`` for processes that will listen on it with ``reuse_port``.

    Gives the address with its real port, and sockets that hold it until they are closed and
    take no connections. Raises CannotListen where somebody else listens there.
    """
    if isinstance(address, UnixAddress):
        raise OSError(f"cannot listen on {address}: several workers cannot share a Unix socket")
    for one in bind(address):
        address = TcpAddress(address.host, one.getsockname()[1])
        one.close()
    return address, _bind_tcp(address, reuse_port=True, listen=False)


def _bind_tcp(address: TcpAddress, reuse_port: bool, *, listen: bool = True) -> list[socket.socket]:
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listening: list[socket.socket] = []
    lacking: OSError | None = None
    port = address.port
    try:
        for family, kind, protocol, _, where in dict.fromkeys(found):
            at = (where[0], port, *where[2:])
            dual = address.host == "::"
            try:
                one = _bound((family, kind, protocol), at, reuse_port=reuse_port, dual=dual)
            except OSError as fault:
                # `localhost` often has an address of IPv6 where that is turned off.
                if fault.errno not in _LACKING:
                    raise
                lacking = fault
                continue
            listening.append(one)
            port = one.getsockname()[1]
            if listen:
                one.listen(_BACKLOG)
            one.setblocking(False)
        if lacking is not None and not listening:
            raise lacking
    except OSError:
        for one in listening:
            one.close()
        raise
    return listening


def _bound(
    kind: tuple[int, int, int], at: tuple[Any, ...], *, reuse_port: bool, dual: bool
) -> socket.socket:
    one = socket.socket(*kind)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if one.family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual)
        one.bind(at)
    except OSError:
        one.close()
        raise
    return one


def _bind_unix(path: str, mode: int | None) -> socket.socket:
    _remove_stale(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if mode is not None:
            # On Linux the file then comes into being with this mode, less the bits of the umask,
            # which belongs to all threads and is left alone. Elsewhere it does nothing.
            with contextlib.suppress(OSError):
                os.fchmod(listening.fileno(), mode)
        listening.bind(path)
        if mode is not None:
            # Nobody can connect before listen(), whatever the mode was until here.
            Path(path).chmod(mode)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def _remove_stale(path: str) -> None:
    file = Path(path)
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        if not file.is_symlink():
            return
        mode = 0
    if not stat.S_ISSOCK(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "something that is no socket"
        raise OSError(errno.EEXIST, f"{what} is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            file.unlink(missing_ok=True)
            return
    raise OSError(errno.EADDRINUSE, "another process listens on it")

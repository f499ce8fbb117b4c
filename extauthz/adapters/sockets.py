"""Listening sockets, TCP and Unix, and the servers on them."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from extauthz.config.addresses import Address, TcpAddress, UnixAddress

_BACKLOG: Final = 1024
_AT_ONCE: Final = 8
_GOODBYE: Final = 1.0


def bind(address: Address, *, reuse_port: bool = False) -> list[socket.socket]:
    """Listen on ``address``: one socket, or several where a name has several addresses.

    ``reuse_port`` lets several processes share a TCP port; without it a second one fails.
    A Unix socket that nobody listens on any more is replaced. Raises OSError that names
    the address.
    """
    try:
        if isinstance(address, UnixAddress):
            return [_bind_unix(address.path)]
        return _bind_tcp(address, reuse_port)
    except OSError as fault:
        problem = (fault.strerror or str(fault)).lower()
        raise OSError(fault.errno, f"cannot listen on {address}: {problem}") from None


async def serve(
    sockets: Sequence[socket.socket],
    connection: Callable[[], asyncio.Protocol],
    context: ssl.SSLContext | None,
    *,
    handshake: float,
) -> list[asyncio.Server]:
    """Take connections on ``sockets``; with a ``context`` over TLS, in ``handshake`` seconds."""
    tls = context is not None
    servers = []
    for one in sockets:
        server = await asyncio.get_running_loop().create_server(
            connection,
            sock=one,
            backlog=_AT_ONCE,
            ssl=context,
            ssl_handshake_timeout=handshake if tls else None,
            ssl_shutdown_timeout=_GOODBYE if tls else None,
        )
        # asyncio takes as many connections in one go as it lets wait: two different things.
        one.listen(_BACKLOG)
        servers.append(server)
    return servers


def bound_address(listening: socket.socket) -> Address:
    """The address a socket got, with the port that was chosen for it."""
    name = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return UnixAddress(str(name))
    return TcpAddress(name[0], name[1])


def reserve(address: Address) -> tuple[Address, list[socket.socket]]:
    """Keep ``address`` for processes that will listen on it with ``reuse_port``.

    Gives the address with its real port, and sockets that hold it until they are closed and
    take no connections. Raises OSError where somebody else listens there.
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
    port = address.port
    try:
        for family, kind, protocol, _, where in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            listening.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                only6 = address.host != "::"
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only6)
            one.bind((where[0], port, *where[2:]))
            port = one.getsockname()[1]
            if listen:
                one.listen(_BACKLOG)
            one.setblocking(False)
    except OSError:
        for one in listening:
            one.close()
        raise
    return listening


def _bind_unix(path: str) -> socket.socket:
    _remove_stale(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(path)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def _remove_stale(path: str) -> None:
    file = Path(path)
    try:
        if not stat.S_ISSOCK(file.stat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            file.unlink(missing_ok=True)
            return
    raise OSError(errno.EADDRINUSE, "another process listens on it")

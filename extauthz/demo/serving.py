"""An ASGI application on a loopback port, served by uvicorn in a thread of its own."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Literal

import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

LOOPBACK = "127.0.0.1"

# Below the ports that Linux gives to outgoing connections, so that a port found free
# stays free until it is bound.
_FIRST, _LAST = 12_000, 19_999


def free_port(pick: Callable[[int, int], int] = random.randint) -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now.

    Raises RuntimeError when two hundred tries found none.
    """
    for _ in range(200):
        port = pick(_FIRST, _LAST)
        if is_free(port):
            return port
    raise RuntimeError(f"no free TCP port between {_FIRST} and {_LAST} on {LOOPBACK}")


def is_free(port: int) -> bool:
    """Whether ``port`` of 127.0.0.1 can be listened on now."""
    try:
        _listen(port).close()
    except OSError:
        return False
    return True


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


class LoopbackServer:
    """Serves ``app`` on ``port`` between `start` and `stop`, as often as asked.

    ``tls`` is a PEM certificate and its key, for https. ``lifespan`` is uvicorn's.
    """

    def __init__(
        self,
        app: Application,
        port: int,
        *,
        tls: tuple[Path, Path] | None = None,
        lifespan: Literal["on", "off"] = "off",
    ) -> None:
        self._app, self._port, self._tls = app, port, tls
        self._lifespan: Literal["on", "off"] = lifespan
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen; a connection made after this returns is answered.

        Raises OSError when the port is taken.
        """
        if self._thread is not None:
            return
        listener = _listen(self._port)
        certificate, key = self._tls or (None, None)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app,
                interface="asgi3",
                lifespan=self._lifespan,
                loop="asyncio",
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name=f"port-{self._port}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection; requests under way are abandoned.

        With ``lifespan`` on they get a second, so that the application can end well.
        """
        if self._thread is None or self._server is None:
            return
        self._server.force_exit = self._lifespan == "off"
        self._server.should_exit = True
        self._thread.join()
        self._server = self._thread = None

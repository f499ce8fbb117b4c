"""One HTTP/2 request over a plain connection, with the headers that a test wants, in that order."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, Event, ResponseReceived, StreamReset

SECONDS = 5.0


def status_of(
    port: int,
    headers: Sequence[tuple[str, str]],
    *,
    ended: bool = True,
    body: bytes = b"",
    trailers: Sequence[tuple[str, str]] = (),
) -> int:
    """The status of the answer; 0 where the request or the connection was refused without one.

    ``ended`` says whether the request ends with its headers, where it has no ``trailers``.
    """
    connection = H2Connection(H2Configuration(validate_outbound_headers=False))
    connection.initiate_connection()
    connection.send_headers(1, headers, end_stream=ended and not trailers)
    if trailers:
        connection.send_data(1, body)
        connection.send_headers(1, trailers, end_stream=True)
    deadline = time.monotonic() + SECONDS
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
        client.sendall(connection.data_to_send())
        while time.monotonic() < deadline:
            data = client.recv(65536)
            if not data:
                return 0
            for event in connection.receive_data(data):
                status = _status(event)
                if status is not None:
                    return status
            client.sendall(connection.data_to_send())
    raise TimeoutError(f"no answer within {SECONDS} s")


def _status(event: Event) -> int | None:
    if isinstance(event, ResponseReceived):
        return int(dict(event.headers)[b":status"])
    if isinstance(event, StreamReset | ConnectionTerminated):
        return 0
    return None

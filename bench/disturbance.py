"""What may go on beside the requests: rotation, outage, and a flood of unknown key ids."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from world import HOST

from extauthz.demo.issuer import Issuer

FLOOD: Final = 8
"""Connections of a flood; over each one question follows another without a pause."""

_PIPELINED: Final = 16  # more without an answer and the service hangs up


@dataclass(slots=True)
class Repeated:
    """How often something was done."""

    times: int = 0


@contextlib.contextmanager
def repeatedly(what: Callable[[], object], every: float) -> Iterator[Repeated]:
    """Do something again and again while the block runs, with ``every`` seconds in between."""
    stop = threading.Event()
    done = Repeated()

    def go_on() -> None:
        # The load generator shares a core with this thread, and is to wait for the service alone.
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        while not stop.wait(every):
            what()
            done.times += 1

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()


def question(token: str, path: str = "/s0/mcp") -> bytes:
    """A question at the HTTP door, as Envoy's HTTP flavour asks it."""
    return (
        f"POST /auth/envoy{path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 0\r\n"
        f"authorization: Bearer {token}\r\n\r\n"
    ).encode()


def ask_all(port: int, questions: Iterable[bytes]) -> tuple[int, float]:
    """Send all questions over one connection; how many got 200, and the seconds it took."""
    allowed = 0
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as client:
        batch: list[bytes] = []
        for one in questions:
            batch.append(one)
            if len(batch) == _PIPELINED:
                allowed += _exchange(client, batch)
                batch = []
        if batch:
            allowed += _exchange(client, batch)
    return allowed, time.perf_counter() - started


@contextlib.contextmanager
def flood(port: int, issuer: Issuer, resource: str) -> Iterator[Callable[[], object]]:
    """What asks once over each of ``FLOOD`` connections, with key ids that nobody has ever seen."""
    good = issuer.mint(alg="ES256", aud=resource, scope="mcp.read")
    _, claims, signature = good.split(".")
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(FLOOD)
        ]

        def ask() -> None:
            for client in clients:
                header = _header(secrets.token_hex(8))
                client.sendall(question(f"{header}.{claims}.{signature}"))
            for client in clients:
                if not client.recv(1 << 16).startswith(b"HTTP/1.1 401"):
                    raise ConnectionError("a question of the flood was not refused")

        yield ask


def _header(kid: str) -> str:
    from extauthz.demo.minting import compact  # noqa: PLC0415

    return compact({"alg": "ES256", "kid": kid, "typ": "at+jwt"}, {}, lambda _: b"x").split(".")[0]


def _exchange(client: socket.socket, batch: list[bytes]) -> int:
    client.sendall(b"".join(batch))
    data, answers, allowed = b"", 0, 0
    while answers < len(batch):
        part = client.recv(1 << 16)
        if not part:
            raise ConnectionError("the service closed the connection")
        data += part
        answers, allowed = data.count(b"HTTP/1.1 "), data.count(b"HTTP/1.1 200")
    # The last answer may still be on its way; its body is bounded by what a refusal says.
    client.settimeout(0.02)
    with contextlib.suppress(TimeoutError):
        while not data.endswith(b"\r\n\r\n") and not data.endswith(b"}"):
            data += client.recv(1 << 16)
    client.settimeout(None)
    return allowed

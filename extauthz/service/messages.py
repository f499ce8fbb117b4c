"""What the supervisor and its workers tell one another, and the way it goes.

A pair of connected sockets that nobody else has: whoever could write to it already is one of
these processes, so messages are pickled.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from extauthz.core.model import Reason
from extauthz.telemetry.refusals import Refusal

from .doors import DoorAddresses
from .terms import Terms

_LENGTH: Final = 4


@dataclass(frozen=True, slots=True)
class Take:
    """To a worker: go by these terms and keys. The first one opens the doors."""

    terms: Terms
    documents: Mapping[str, bytes]
    addresses: DoorAddresses


@dataclass(frozen=True, slots=True)
class Keys:
    """To a worker: the key documents in use, by issuer."""

    documents: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Ready:
    """To a worker: whether health checks are to say so."""

    ready: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """To a worker: say that no more requests are wanted, and answer those that come."""


@dataclass(frozen=True, slots=True)
class Tell:
    """To a worker: say what was counted until now, without waiting for the next report."""


@dataclass(frozen=True, slots=True)
class Stop:
    """To a worker: end, giving requests under way ``grace`` seconds."""

    grace: float


@dataclass(frozen=True, slots=True)
class Find:
    """To the supervisor: look for a key for at most ``wait`` seconds."""

    number: int
    issuer: str
    kid: str | None
    wait: float


@dataclass(frozen=True, slots=True)
class Found:
    """To a worker: what came of its search ``number``; any key found was sent before."""

    number: int
    missing: Reason | None


@dataclass(frozen=True, slots=True)
class Listening:
    """To the supervisor: the doors are open."""


@dataclass(frozen=True, slots=True)
class Done:
    """To the supervisor: one more ``Take`` is in force, or ``Tell`` followed."""


@dataclass(frozen=True, slots=True)
class CannotServe:
    """To the supervisor: why the doors could not be opened."""

    why: str


@dataclass(frozen=True, slots=True)
class Counts:
    """To the supervisor: everything a worker has counted since its start.

    ``durations`` has the counts by bucket and the sum of seconds, by transport.
    """

    by_key: Mapping[tuple[str, str, str, str], int]
    durations: Mapping[str, tuple[list[int], float]]
    hits: int
    misses: int
    entries: int
    dropped: int


def added_up(parts: list[Counts]) -> Counts:
    """What several workers have counted, those that have ended included."""
    by_key: Counter[tuple[str, str, str, str]] = Counter()
    durations: dict[str, tuple[list[int], float]] = {}
    for part in parts:
        by_key.update(part.by_key)
        for transport, (counts, seconds) in part.durations.items():
            before, sum_before = durations.get(transport, ([0] * len(counts), 0.0))
            summed = [a + b for a, b in zip(before, counts, strict=True)]
            durations[transport] = (summed, sum_before + seconds)
    return Counts(
        by_key,
        durations,
        sum(part.hits for part in parts),
        sum(part.misses for part in parts),
        sum(part.entries for part in parts),
        sum(part.dropped for part in parts),
    )


@dataclass(frozen=True, slots=True)
class Alive:
    """To the supervisor: nothing is new, and the worker goes on."""


@dataclass(frozen=True, slots=True)
class Refused:
    """To the supervisor: the last refusals since the message of this kind before."""

    refusals: tuple[Refusal, ...]


class Channel:
    """One end of the pair of sockets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, one: socket.socket) -> Channel:
        """Take one end into the running event loop."""
        return cls(*await asyncio.open_unix_connection(sock=one))

    def send(self, message: object) -> None:
        """Hand over a message; it is lost where the other side has ended."""
        if not self._writer.is_closing():
            data = pickle.dumps(message)
            self._writer.write(len(data).to_bytes(_LENGTH) + data)

    async def receive(self) -> object:
        """The next message. Raises EOFError when the other side has ended."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH))
            data = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            raise EOFError from None
        message: object = pickle.loads(data)  # noqa: S301  from our own process, see above
        return message

    def close(self) -> None:
        """Send what is left, and end."""
        self._writer.close()

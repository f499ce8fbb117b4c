"""A client that knows the right answer to everything it asks."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

from .inventory import Version
from .questions import Answer, Asker, Key, Question
from .truth import Permitted

_SCOPES = re.compile(r'scope="([^"]*)"')
_KEPT = 40
_KNOWN: frozenset[Key] = frozenset({"known"})


@dataclass
class Tally:
    """What came of all requests of one source; ``slowest`` is in seconds."""

    name: str
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    slowest: float = 0.0
    complaints: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(self.statuses.values())

    def complain(self, what: str) -> None:
        self.wrong += 1
        if len(self.complaints) < _KEPT:
            self.complaints.append(what)


class World:
    """What the checking clients hold answers against; those who disturb keep it up to date."""

    def __init__(self, asker: Asker) -> None:
        self.asker = asker
        self.earlier: Asker | None = None
        self.versions: Permitted[Version] = Permitted("A")
        self.keys: dict[str, Permitted[Key]] = {asker.key.kid: Permitted("known")}

    def right(self, asked: Question, start: float, end: float) -> list[Answer]:
        """Every answer that was right at some moment between the two times."""
        keys = _KNOWN if asked.kid is None else self.keys[asked.kid].during(start, end)
        return [
            asked.right(version, key)
            for version in self.versions.during(start, end)
            for key in keys
        ]


class Checker(threading.Thread):
    """Asks one edge, one request after the other, until ``stop``."""

    def __init__(
        self, edge: str, port: int, world: World, stop: threading.Event, pause: float
    ) -> None:
        super().__init__(name=f"checker of {edge}", daemon=True)
        self.tally = Tally(edge)
        self._port = port
        self._world = world
        self._stop_asking = stop
        self._pause = pause
        self._connection = HTTPConnection("127.0.0.1", port, timeout=10)

    def run(self) -> None:
        while not self._stop_asking.is_set():
            earlier = self._world.earlier
            for asked in [*self._world.asker.all(), *([earlier.one()] if earlier else [])]:
                self._ask(asked)
                self._stop_asking.wait(self._pause)
        self._connection.close()

    def _ask(self, asked: Question) -> None:
        start = time.monotonic()
        try:
            answer = self._answer(asked)
        except (OSError, HTTPException, ValueError) as fault:
            self._connection.close()
            self._connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
            self.tally.statuses[0] += 1
            self.tally.complain(f"{asked.kind}: {type(fault).__name__}: {fault}")
            return
        end = time.monotonic()
        self.tally.statuses[answer.status] += 1
        self.tally.slowest = max(self.tally.slowest, end - start)
        right = self._world.right(asked, start, end)
        if answer not in right:
            when = time.strftime("%H:%M:%S")
            expected = " or ".join(sorted(set(map(str, right))))
            took = (end - start) * 1000
            self.tally.complain(
                f"{when} {asked.kind}: got {answer} after {took:.0f} ms, right would be {expected}"
            )

    def _answer(self, asked: Question) -> Answer:
        self._connection.request("POST", asked.path, asked.body, dict(asked.headers))
        response = self._connection.getresponse()
        body = json.loads(response.read() or b"{}")
        if response.status == 200:
            return Answer(200, identity=body)
        challenge = _SCOPES.search(response.getheader("www-authenticate") or "")
        refusal = body.get("error")
        told = refusal.get("data", {}) if isinstance(refusal, dict) else body
        return Answer(response.status, told.get("reason", ""), challenge[1] if challenge else "")

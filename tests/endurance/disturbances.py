"""What happens to the service while it is under load: reloads, rotations, restarts."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from extauthz.demo.minting import SigningKey

from .client import World
from .inventory import Version
from .questions import Key
from .stage import Replica, Stage, until
from .truth import Permitted

# A worker hears of changed keys from its supervisor, which looks ten times a second.
_WORKERS_KNOW = 0.5
_ASKED_ABOUT = 1.0
_BETWEEN = 0.2


@dataclass(frozen=True)
class Numbers:
    """How often each happens; ``pause`` is seconds between two restarts."""

    reloads: int
    rotations: int
    restarts: int
    pause: float


class Disturber(threading.Thread):
    """Does one thing so many times; ``done`` counts, ``fault`` is what ended it early."""

    def __init__(self, name: str, times: int, once: Callable[[int], None]) -> None:
        super().__init__(name=name, daemon=True)
        self.done = 0
        self.fault: BaseException | None = None
        self._times = times
        self._once = once

    def run(self) -> None:
        try:
            for number in range(self._times):
                self._once(number)
                self.done += 1
        except BaseException as fault:  # noqa: BLE001  told by whoever waits for this thread
            self.fault = fault


def disturbers(stage: Stage, world: World, numbers: Numbers, *, patient: bool) -> list[Disturber]:
    """The three of them, ready to start."""
    reloads, rotations = _Reloads(stage, world), _Rotations(stage, world, patient=patient)
    restarts = _Restarts(stage.replicas, numbers.pause)
    return [
        Disturber("config reloads", numbers.reloads, reloads.once),
        Disturber("key rotations", numbers.rotations, rotations.once),
        Disturber("restarts of a replica", numbers.restarts, restarts.once),
    ]


class _Reloads:
    """Swaps the file. Most are announced by SIGHUP; every fourth has to be noticed."""

    def __init__(self, stage: Stage, world: World) -> None:
        self._stage = stage
        self._world = world

    def once(self, number: int) -> None:
        old: Version = "B" if number % 2 else "A"
        new: Version = "A" if number % 2 else "B"
        signalled = number % 4 != 3
        if number % 10 == 2:
            self._bad_one()
        text = self._stage.config.text(new)
        self._world.versions.become(old, new)
        self._stage.config.swap(text)
        if signalled:
            self._hang_up()
        digest = hashlib.sha256(text.encode()).hexdigest()
        for replica in self._stage.replicas:
            until(lambda r=replica: r.takes(digest), f"{replica.name} has taken {new}")  # type: ignore[misc]
            replica.look()
        self._world.versions.become(new)
        time.sleep(_BETWEEN)

    def _bad_one(self) -> None:
        # The rules stay as they are, so that there is nothing to tell those who ask. A replica
        # that starts just now could not: it would have no file to start with.
        with _RESTARTING:
            text = self._stage.config.file.read_text()
            self._stage.config.swap(text.replace('"scopes"', '"skopes"'))
            self._hang_up()
            for replica in self._stage.replicas:
                until(replica.problems, f"{replica.name} tells of a bad file")
            self._stage.config.swap(text)
            self._hang_up()
            for replica in self._stage.replicas:
                until(lambda r=replica: not r.problems(), f"{replica.name} is content")  # type: ignore[misc]

    def _hang_up(self) -> None:
        for replica in self._stage.replicas:
            replica.hang_up()


class _Rotations:
    """New keys: announced before they sign, or all at once; the old ones are withdrawn."""

    def __init__(self, stage: Stage, world: World, *, patient: bool) -> None:
        self._stage = stage
        self._world = world
        self._patient = patient

    def once(self, number: int) -> None:
        world, keys = self._world, self._stage.keys
        old = world.asker
        new = replace(old, key=SigningKey.generate("ES256"))
        sudden = number % 2 == 1
        world.keys[new.key.kid] = Permitted("known")
        if sudden and self._patient:
            world.keys[new.key.kid].become("known", "late")
        if not sudden:
            keys.publish("main", old.key, new.key)
            self._wait_for(old.key, new.key)
            world.asker = new
            world.earlier = old
            time.sleep(_BETWEEN)
        late: tuple[Key, ...] = ("late",) if self._patient else ()
        world.keys[old.key.kid].become("known", "unknown", *late)
        keys.publish("main", new.key)
        world.asker = new
        world.earlier = old
        self._wait_for(new.key)
        world.keys[old.key.kid].become("unknown", *late)
        world.keys[new.key.kid].become("known")
        time.sleep(_ASKED_ABOUT)
        world.earlier = None
        # Questions about the old key have the issuer asked again. The next sudden key must not
        # come within the cooldown of such a refresh.
        time.sleep(_ASKED_ABOUT)

    def _wait_for(self, *held: SigningKey) -> None:
        kids = {key.kid for key in held}
        for replica in self._stage.replicas:
            until(lambda r=replica: r.kids() == kids, f"{replica.name} holds the keys published")  # type: ignore[misc]
        time.sleep(_WORKERS_KNOW)


_RESTARTING = threading.Lock()


class _Restarts:
    """Ends one of the replicas and starts it again."""

    def __init__(self, replicas: list[Replica], pause: float) -> None:
        self._replicas = replicas
        self._pause = pause

    def once(self, number: int) -> None:
        replica = self._replicas[number % len(self._replicas)]
        with _RESTARTING:
            replica.stop()
            replica.start()
            replica.wait_until_ready()
        time.sleep(self._pause)

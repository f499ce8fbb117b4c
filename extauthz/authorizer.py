"""The shell of one request: the clock, the keys, one retry, and the one last resort."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from .core.challenge import Challenger
from .core.engine import Engine, Standing
from .core.keyset import KeySet
from .core.model import (
    MAX_KEY_WAIT,
    Allow,
    Answer,
    AskedFor,
    Decision,
    Deny,
    NeedKeys,
    Reason,
    Recurrence,
    Refusal,
    Request,
    Unproven,
)
from .turns import T, Turns

_log = logging.getLogger(__name__)

DEADLINE_RESERVE = 0.05

BROKEN = Refusal(Reason.KEYS_UNAVAILABLE, "internal error, see the log")
"""Why a request is refused when something breaks inside (contract, section 11)."""


class KeyFinder(Protocol):
    """Where keys come from: ``extauthz.keys.KeyStore``."""

    def snapshot(self) -> Mapping[str, KeySet]:
        """The usable key sets by issuer name."""

    async def find(self, issuer: str, kid: str | None, *, wait: float) -> Reason | None:
        """Look for a key for at most ``wait`` seconds; None when it is there now."""


class Observer(Protocol):
    """Who is told of every decision: ``extauthz.telemetry``."""

    def decided(
        self, request: AskedFor, decision: Decision, transport: str, seconds: float
    ) -> None:
        """Count and log one decision, made over ``transport`` in ``seconds``."""


class Authorizer:
    """Answers requests with the engine in force; both doors share one.

    ``wall`` tells seconds since the epoch, ``monotonic`` seconds for durations.
    """

    def __init__(
        self,
        engine: Engine,
        keys: KeyFinder,
        observer: Observer,
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.engine = engine
        self.hurried_by: float | None = None
        """Seconds that a proxy gave the last check that had to wait for a key, if too few."""
        self._keys = keys
        self._observer = observer
        self._wall = wall
        self._monotonic = monotonic
        self._outside = Challenger(None, None)
        self._turns = Turns(monotonic)

    def check_now(self, request: Request, transport: str) -> Decision | None:
        """Decide at once, or None when that would take a while: then ``check``."""
        started = self._monotonic()
        decision: Decision | Unproven
        try:
            decision = self.engine.decide_at_once(request, self._keys.snapshot(), now=self._wall())
        except Exception:  # noqa: BLE001  as in _decide
            decision = self._broke(request)
        if isinstance(decision, Unproven):
            return None
        self._tell(request, decision, transport, started)
        return decision

    def again(
        self, standing: Standing, transport: str, recurs: Callable[[], Recurrence]
    ) -> Allow | None:
        """The answer to a request of the very words that ``standing`` was found for.

        None where it has to be judged anew. ``recurs`` tells what it is, for its line in the log.
        """
        started = self._monotonic()
        try:
            allow = self.engine.still(standing, self._keys.snapshot(), now=self._wall())
        except Exception:  # noqa: BLE001  as in _decide
            _log.exception("an answer could not be given again; the request is judged anew")
            return None
        if allow is not None:
            self._tell(recurs, allow, transport, started)
        return allow

    async def check(
        self, request: Request, transport: str, time_left: float | None = None
    ) -> Decision:
        """Decide in turn, waiting for an unknown key if it must (contract, section 9).

        ``time_left`` is the caller's remaining time in seconds, None when it did not say.
        Never raises, but for cancellation.
        """
        started = self._monotonic()
        decision = await self._turns.do(partial(self._decide, request, None))
        if isinstance(decision, NeedKeys):
            spent = self._monotonic() - started
            decision = await self._with_keys(request, decision, time_left, spent)
        self._tell(request, decision, transport, started)
        return decision

    async def in_turn(self, work: Callable[[], T]) -> T:
        """What ``work`` returns, once its turn among costly decisions has come."""
        return await self._turns.do(work)

    def answer(self, request: Request, transport: str) -> Answer | Deny:
        """Answer a document or a preflight that came to us without a question of a proxy's."""
        started = self._monotonic()
        try:
            decision = self.engine.answer(request)
        except Exception:  # noqa: BLE001  as in _decide
            _log.exception("an answer failed; the request is refused")
            decision = self._outside.deny(BROKEN, request)
        self._tell(request, decision, transport, started)
        return decision

    def refuse(self, refusal: Refusal, transport: str, request: Request | None = None) -> Deny:
        """The answer to a message that no request could be made of."""
        decision = self._outside.deny(refusal, request)
        self._tell(request, decision, transport, self._monotonic())
        return decision

    def _tell(self, request: AskedFor, decision: Decision, transport: str, started: float) -> None:
        try:
            self._observer.decided(request, decision, transport, self._monotonic() - started)
        except Exception:  # noqa: BLE001  an answer never waits for, nor falls with, its record
            _log.exception("a decision could not be recorded")

    async def _with_keys(
        self, request: Request, need: NeedKeys, time_left: float | None, spent: float
    ) -> Decision:
        wait = MAX_KEY_WAIT
        if time_left is not None:
            wait = max(0.0, min(wait, time_left - spent - DEADLINE_RESERVE))
            self.hurried_by = time_left if time_left - DEADLINE_RESERVE < MAX_KEY_WAIT else None
        try:
            missing = await self._keys.find(need.issuer, need.kid, wait=wait)
        except Exception:  # noqa: BLE001  a door must answer, whatever broke behind it
            _log.exception("looking for keys failed")
            missing = Reason.KEYS_UNAVAILABLE
        if missing is not None:
            return self._without_key(request, missing, need.issuer)
        # A key that came may still be of another algorithm: then it is simply unknown.
        decision = await self._turns.do(partial(self._decide, request, Reason.UNKNOWN_KEY))
        if isinstance(decision, NeedKeys):
            return self._outside.deny(BROKEN, request)
        return decision

    def _without_key(self, request: Request, missing: Reason, issuer: str) -> Decision:
        try:
            return self.engine.without_key(request, missing, issuer)
        except Exception:  # noqa: BLE001  as in _decide
            return self._broke(request)

    def _decide(self, request: Request, missing_key: Reason | None) -> Decision | NeedKeys:
        try:
            return self.engine.decide(
                request, self._keys.snapshot(), now=self._wall(), missing_key=missing_key
            )
        except Exception:  # noqa: BLE001  as above: refuse, say so in the log, go on
            return self._broke(request)

    def _broke(self, request: Request) -> Deny:
        _log.exception("a decision failed; the request is refused")
        return self._outside.deny(BROKEN, request)

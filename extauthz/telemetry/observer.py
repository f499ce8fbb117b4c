"""Who is told of every decision: counts it, writes its line, and makes its span."""

from __future__ import annotations

from collections.abc import Callable

from extauthz.core.model import Allow, Answer, AskedFor, Decision, Recurrence, Request

from .counts import ALLOW, DecisionCounts, outcome_of, reason_of
from .decision_log import DecisionLog, Occasion
from .recent import RecentDecisions
from .recurring_lines import RecurringLines
from .tracing import Spans


class DecisionObserver:
    """The ``Observer`` of an ``Authorizer``. Costs about as much as finding the server.

    ``wall`` tells seconds since the epoch, ``monotonic`` seconds that never jump; ``spans``
    is where traces are wanted too.
    """

    def __init__(
        self,
        counts: DecisionCounts,
        log: DecisionLog,
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        spans: Spans | None = None,
    ) -> None:
        self.log = log
        self._recurring = RecurringLines(log)
        self.recent = RecentDecisions(counts, monotonic())
        self.unseen: set[str] = set()
        """Servers whose last judged call was told by Envoy's MCP filter, without its message."""
        self._counts = counts
        self._wall = wall
        self._monotonic = monotonic
        self._spans = spans

    def roll(self) -> None:
        """Note where the counters stand, once a minute: to be called several times a second."""
        now = self._monotonic()
        if now >= self.recent.next_minute:
            self.recent.roll(now)

    def decided(
        self, request: AskedFor, decision: Decision, transport: str, seconds: float
    ) -> None:
        """Count one decision, made over ``transport`` in ``seconds``, and log it."""
        if isinstance(decision, Allow) and decision.token is not None and decision.audited is None:
            # By far the most frequent.
            outcome, reason = ALLOW, ""
        else:
            outcome, reason = outcome_of(decision), reason_of(decision)
        self._counts.observe(decision.server or "", outcome, reason, transport, seconds)
        if isinstance(request, Request) and request.mcp_metadata is not None:
            self._look(request, decision)
        wanted = self.log.wants(outcome)
        if not wanted and self._spans is None:
            return
        asked = request() if callable(request) else request
        occasion = Occasion(self._wall(), outcome, transport, seconds)
        if wanted:
            if isinstance(asked, Recurrence):
                self._recurring.put(asked, decision, occasion)
            else:
                self.log.put(asked, decision, occasion)
        if self._spans is not None:
            self._spans.record(asked, decision, occasion)

    def _look(self, request: Request, decision: Decision) -> None:
        if isinstance(decision, Answer) or decision.call is None or decision.server is None:
            return
        if request.body is None:
            self.unseen.add(decision.server)
        else:
            self.unseen.discard(decision.server)

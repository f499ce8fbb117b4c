"""An engine whose decisions are counted and logged, and what came of it."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from extauthz.core.engine import Engine
from extauthz.core.model import Decision, NeedKeys, Reason, Request
from extauthz.telemetry.decision_log import DecisionLog, LineStyle
from extauthz.telemetry.exposition import register
from extauthz.telemetry.formats import json_line
from extauthz.telemetry.log_pipe import LogPipe
from extauthz.telemetry.metrics import Metrics
from extauthz.telemetry.observer import DecisionObserver
from tests.policies import key_sets, policy_for_tests
from tests.tokens import NOW

SAMPLE = random.Random(7)  # noqa: S311  which lines are left out may be guessed


@dataclass
class Clock:
    """A clock that tests move; seconds."""

    now: float

    def __call__(self) -> float:
        return self.now


@dataclass
class Listening:
    """Judges requests and keeps every line and number that tells of them."""

    style: LineStyle = field(default_factory=LineStyle)
    engine: Engine = field(default_factory=lambda: Engine(policy_for_tests()))
    transport: str = "grpc"

    def __post_init__(self) -> None:
        self.written: list[bytes] = []
        self.pipe = LogPipe(self.written.append, json_line, wall=lambda: NOW)
        self.metrics = Metrics(version="1.2.3")
        self.registry = CollectorRegistry()
        register(self.metrics, self.registry)
        self.monotonic = Clock(1000.0)
        log = DecisionLog(self.pipe, self.style, random=SAMPLE.random)
        self.observer = DecisionObserver(
            self.metrics.decisions, log, wall=lambda: NOW, monotonic=self.monotonic
        )

    def ask(self, request: Request, *, missing_key: Reason = Reason.UNKNOWN_KEY) -> Decision:
        """Judge one request, and tell of it."""
        decision = self.engine.decide(request, key_sets(), now=NOW)
        if isinstance(decision, NeedKeys):
            decision = self.engine.without_key(request, missing_key, decision.issuer)
        self.observer.decided(request, decision, self.transport, 0.0001234)
        return decision

    def lines(self) -> list[dict[str, Any]]:
        """Every line written, the pipe being closed now."""
        return [json.loads(line) for line in self.log_text().splitlines()]

    def log_text(self) -> str:
        assert self.pipe.close(10)
        return b"".join(self.written).decode("ascii")

    def exposition(self) -> str:
        """What Prometheus reads."""
        return generate_latest(self.registry).decode()

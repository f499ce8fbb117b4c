"""Logs as `serve` writes them, of requests that a policy judges in process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from extauthz.core.engine import Engine
from extauthz.core.model import Decision, Reason, Request
from extauthz.core.policy import Policy
from extauthz.replay.judge import Judge, Verdict
from extauthz.replay.record import Record, read_record
from extauthz.telemetry.counts import outcome_of
from extauthz.telemetry.decision_log import DecisionLog, LineStyle, Occasion, SubjectStyle
from extauthz.telemetry.formats import json_line
from extauthz.telemetry.log_pipe import LogPipe
from extauthz.telemetry.replayable import InForce
from tests.policies import key_sets
from tests.tokens import NOW


def log_of(
    policy: Policy,
    requests: Iterable[Request],
    *,
    subject: SubjectStyle = "plain",
    allow_sample: float = 1.0,
) -> list[bytes]:
    """The lines of these requests, each judged by an engine that knows nobody yet."""
    written: list[bytes] = []
    pipe = LogPipe(written.append, json_line)
    style = LineStyle(subject=subject, in_force=InForce.of(policy), allow_sample=allow_sample)
    log = DecisionLog(pipe, style, random=lambda: 0.0)
    for request in requests:
        decision = cast(
            "Decision",
            Engine(policy).decide(request, key_sets(), now=NOW, missing_key=Reason.UNKNOWN_KEY),
        )
        transport = "grpc" if request.in_band else "http"
        outcome = outcome_of(decision)
        if log.wants(outcome):
            log.put(request, decision, Occasion(NOW, outcome, transport, 0.0001))
    assert pipe.close(10)
    return b"".join(written).splitlines(keepends=True)


def record_of(line: bytes) -> Record:
    """The decision of a line."""
    record = read_record(line)
    assert record is not None
    return record


def replayed(
    old: Policy, request: Request, new: Policy, *, subject: SubjectStyle = "plain"
) -> Verdict:
    """What becomes of one request when ``new`` replaces ``old``."""
    line, *rest = log_of(old, [request], subject=subject)
    assert all(b"identity_too_large" in other for other in rest)
    return Judge(new).judge(record_of(line))

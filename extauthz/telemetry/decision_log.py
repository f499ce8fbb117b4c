"""One line per decision: who was let in or refused, where, why, and how long it took.

Claims are named only where the token was verified. Of the request there is what an access
log has, without queries; never a header beyond the two that join logs together.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from extauthz.core.calls import KIND_OF
from extauthz.core.identity import TOO_LARGE
from extauthz.core.model import (
    Allow,
    Answer,
    Decision,
    Deny,
    Reason,
    Recurrence,
    Request,
)
from extauthz.core.policy import Issuer
from extauthz.core.verified import VerifiedToken

from .counts import AUDIT_DENY, DENY
from .formats import Fields, timestamp
from .hashing import hashed
from .log_pipe import LogPipe
from .refusals import LastRefusals
from .replayable import (
    NOTHING,
    UNTOLD,
    InForce,
    Told,
    call_told,
    claim_fields,
    claim_sources,
    claims_read,
    fit_name,
    fit_origin,
    purpose_of,
)
from .trace_context import parse, traceparent_of

SubjectStyle = Literal["plain", "hash", "off"]

DOCTOR: Final = "extauthz-doctor"
"""What ``extauthz doctor`` calls itself (User-Agent); any client can."""

_MAX_PATH: Final = 512

_REFUSALS: Final = frozenset({DENY, AUDIT_DENY})
_WORD: Final = re.compile(r"[A-Za-z0-9._:/=+@-]{1,128}")
_METHOD: Final = re.compile(r"[A-Za-z-]{1,24}")
_HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_LINKS: Final = ("request_id", "trace_id")
# Where a query or parameters begin, escaped or not: some server might read it that way.
_END_OF_PATH: Final = re.compile(r"[?#;]|%(?:25|3[bBfF]|23)")


class Caller(NamedTuple):
    """What a line says of a verified token. ``claims`` are those that rules in force read."""

    issuer: str
    client_id: str | None
    subject: str | None
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    token_id: str | None
    kid: str | None
    judged_by: Issuer
    claims: tuple[object, ...]


class Occasion(NamedTuple):
    """When and at which door a decision fell: ``now`` in seconds since the epoch.

    ``outcome`` is one of ``counts.OUTCOMES``; the decision took ``seconds``.
    """

    now: float
    outcome: str
    transport: str
    seconds: float


class Asked(NamedTuple):
    """What a line says of the request. Cut short already, as lines may have to wait."""

    method: str
    host: str
    target: str
    request_id: str | None
    traceparent: str | None
    origin: str | None
    named: str | None
    purpose: str | None
    has_credentials: bool
    agent: str | None


@dataclass(frozen=True, slots=True)
class LineStyle:
    """What the operator wants of decision lines (``log`` of the file).

    ``level`` is the standard library's number. ``allow_sample`` is the share, 0 to 1, of
    lines written where nothing was refused; refusals are always written. ``in_force`` is what
    lines tell of the configuration, so that they can be replayed.
    """

    level: int = logging.INFO
    allow_sample: float = 1.0
    subject: SubjectStyle = "plain"
    in_force: InForce = NOTHING


class DecisionLine(NamedTuple):
    """One decision on its way to the log. Holds no header value and no unproven claim."""

    occasion: Occasion
    level: str
    style: LineStyle
    server: str | None
    reason: Reason | None
    status: int | None
    detail: str
    asked: Asked | None
    caller: Caller | None
    told: Told

    def asked_by(self, request_id: str | None, traceparent: str | None) -> DecisionLine:
        """The same line of a request with these names."""
        if self.asked is None:
            return self
        asked = self.asked._replace(request_id=request_id, traceparent=traceparent)
        return self._replace(asked=asked)

    def settled(self) -> DecisionLine:
        """The same line, with its call found out now and not when it is written."""
        return self if self.told is UNTOLD else self._replace(told=self.told.settled())

    def fields(self) -> Fields:
        """The fields in the order they are written; what is not known is left out."""
        outcome, transport = self.occasion.outcome, self.occasion.transport
        asked = self.asked
        links = (None, None) if asked is None else (asked.request_id, asked.traceparent)
        differing = fields_differing(self.occasion, *links)
        fields: dict[str, object] = {
            "ts": differing["ts"],
            "level": self.level,
            "msg": outcome,
            "event": "decision",
            "decision": outcome,
        }
        if self.reason is not None:
            fields["msg"] = f"{outcome} {self.reason}"
            fields["reason"] = self.reason
        if self.status is not None:
            fields["status"] = self.status
        if self.server is not None:
            fields["server"] = self.server
        if self.caller is not None:
            _name_caller(fields, self.caller, self.style)
        told = self.told.settled()
        if told.source is not None:
            _name_call(fields, told)
        if asked is not None:
            _name_request(fields, asked, differing)
            if not asked.has_credentials and self.caller is None:
                fields["credentials"] = "none"
        fields["transport"] = transport
        fields["duration_ms"] = differing["duration_ms"]
        if self.style.in_force.digest:
            fields["config"] = self.style.in_force.digest
        if self.style.allow_sample < 1 and outcome not in _REFUSALS:
            fields["sample"] = self.style.allow_sample
        if self.detail:
            fields["detail"] = self.detail
        return fields


def _name_caller(fields: dict[str, object], caller: Caller, style: LineStyle) -> None:
    fields["issuer"] = caller.issuer
    if caller.client_id is not None:
        fields["client_id"] = caller.client_id
    if caller.subject is not None and style.subject != "off":
        fields["subject"] = hashed(caller.subject) if style.subject == "hash" else caller.subject
    fields["scopes"] = caller.scopes
    fields["audience"] = caller.audiences
    if caller.token_id is not None:
        fields["jti"] = caller.token_id
    if caller.kid is not None:
        fields["kid"] = caller.kid
    if caller.claims:
        paths = style.in_force.claims
        fields |= claim_fields(paths, caller.claims, hashing=style.subject == "hash")
    fields |= claim_sources(caller.judged_by)


def _name_call(fields: dict[str, object], told: Told) -> None:
    call = told.call
    if call is not None:
        fields["method"] = call.method
        kind = KIND_OF.get(call.method)
        if kind is not None and call.name is not None:
            fields[kind] = _without_query(call.name) if kind == "resource" else call.name
    fields["call_source"] = told.source
    if told.version is not None:
        fields["mcp_version"] = told.version


def _without_query(uri: str) -> str:
    before, mark, _ = uri.partition("?")
    return before + mark


def fields_differing(
    occasion: Occasion, request_id: str | None, traceparent: str | None
) -> dict[str, object]:
    """The fields in which lines of like requests differ, in the order they are written.

    What is no name of a request, or no trace context, is left out.
    """
    fields: dict[str, object] = {"ts": timestamp(occasion.now)}
    if request_id is not None and _WORD.fullmatch(request_id):
        fields["request_id"] = request_id
    if traceparent is not None and (parent := parse(traceparent)):
        fields["trace_id"] = parent.trace
    fields["duration_ms"] = round(occasion.seconds * 1000, 3)
    return fields


def _name_request(fields: dict[str, object], asked: Asked, differing: Fields) -> None:
    if _METHOD.fullmatch(asked.method):
        fields["http_method"] = asked.method
    if _HOST.fullmatch(asked.host):
        fields["host"] = asked.host
    if asked.target.startswith("/"):
        fields["path"] = _END_OF_PATH.split(asked.target, maxsplit=1)[0]
    if asked.origin is not None:
        fields["origin"] = fit_origin(asked.origin)
    if asked.named is not None:
        fields["named"] = fit_name(asked.named)
    if asked.purpose is not None:
        fields["purpose"] = asked.purpose
    if asked.agent is not None:
        fields["agent"] = asked.agent
    fields |= {name: differing[name] for name in _LINKS if name in differing}


class DecisionLog:
    """Writes decision lines into a pipe. ``random`` gives numbers from 0 up to 1.

    Of refusals that have a line, the last ones are in ``refusals`` too.
    """

    def __init__(self, pipe: LogPipe, style: LineStyle, *, random: Callable[[], float]) -> None:
        self.style = style
        self.pipe = pipe
        self.refusals = LastRefusals()
        self._random = random

    def wants(self, outcome: str) -> bool:
        """Whether a decision of that outcome may get a line; of allows, a share as drawn."""
        if outcome in _REFUSALS:
            return True
        style = self.style
        if style.level > logging.INFO:
            return False
        return style.allow_sample >= 1.0 or self._random() < style.allow_sample

    def put(self, request: Request | None, decision: Decision, occasion: Occasion) -> None:
        """Queue the line of one decision that is wanted, unless its level is not."""
        style = self.style
        if occasion.outcome not in _REFUSALS:
            level = "info"
        elif isinstance(decision, Deny) and decision.reason is Reason.KEYS_UNAVAILABLE:
            level = "error"
        else:
            level = "warning"
            if style.level > logging.WARNING:
                return
        line = line_of(request, decision, occasion, level, style)
        if occasion.outcome in _REFUSALS:
            line = line.settled()
            self.refusals.add(line)
        self.pipe.put(line)
        if line.reason is TOO_LARGE.reason and line.detail == TOO_LARGE.detail:
            self.pipe.put(TooLargeLine(line))


class TooLargeLine(NamedTuple):
    """The second line about a caller whose identity headers are too large to be sent."""

    decision: DecisionLine

    def fields(self) -> Fields:
        """Where it happened and to whom, and what the operator can do."""
        fields = self.decision.fields()
        kept = ("server", "issuer", "client_id", "subject", "request_id", "trace_id")
        return {
            "ts": fields["ts"],
            "level": fields["level"],
            "msg": "the caller's identity headers exceed 16 KiB: forward fewer claims "
            "(forward.headers), or have the issuer put less into its tokens",
            "event": "identity_too_large",
            **{name: fields[name] for name in kept if name in fields},
        }


def line_of(
    request: Request | None,
    decision: Decision,
    occasion: Occasion,
    level: str,
    style: LineStyle,
) -> DecisionLine:
    """What is to be said of one decision, at that level."""
    asked = None if request is None else _asked(request, occasion)
    head = (occasion, level, style, decision.server)
    if isinstance(decision, Answer):
        return DecisionLine(*head, None, decision.status, "", asked, None, UNTOLD)
    token = decision.token
    caller = None if token is None else _caller(token, style)
    told = call_told(request, decision, style.in_force.ruled)
    if isinstance(decision, Allow):
        why = (decision.audited, None, decision.audited_detail)
        return DecisionLine(*head, *why, asked, caller, told)
    refusal = (decision.reason, decision.status, decision.detail)
    return DecisionLine(*head, *refusal, asked, caller, told)


def _caller(token: VerifiedToken, style: LineStyle) -> Caller:
    facts = token.facts
    paths = style.in_force.claims
    return Caller(
        facts.issuer_value,
        facts.client_id,
        facts.subject,
        facts.scopes,
        facts.audiences,
        facts.token_id,
        token.key.kid,
        facts.issuer,
        claims_read(token, paths) if paths and style.subject != "off" else (),
    )


def request_id_of(request: Request | Recurrence) -> str | None:
    """The name that a proxy gave a request, cut short, as it was sent."""
    return request.header("x-request-id")[:129] or None


def _asked(request: Request, occasion: Occasion) -> Asked:
    headers = request.headers
    origin = headers.get("origin")
    # Of refusals alone: requests that recur are alike in all that a line tells, and not in this.
    by_doctor = occasion.outcome in _REFUSALS and headers.get("user-agent") == DOCTOR
    return Asked(
        request.method[:25],
        request.host[:256],
        request.target[:_MAX_PATH],
        request_id_of(request),
        traceparent_of(request),
        None if origin is None else origin[:300],
        None if request.server is None else request.server[:300],
        purpose_of(request, occasion.transport),
        "authorization" in headers,
        DOCTOR if by_doctor else None,
    )

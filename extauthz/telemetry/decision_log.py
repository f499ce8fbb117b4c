"""One line per decision: who was let in or refused, where, why, and how long it took.

Claims are named only where the token was verified. Of the request there is what an access
log has, without queries; never a header beyond the two that join logs together.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from extauthz.core.identity import TOO_LARGE
from extauthz.core.model import Allow, Answer, Call, Decision, Deny, Reason, Request
from extauthz.core.verified import VerifiedToken

from .counts import AUDIT_DENY, DENY
from .formats import Fields, timestamp
from .log_pipe import LogPipe
from .trace_context import parse, traceparent_of

SubjectStyle = Literal["plain", "hash", "off"]

_MAX_PATH: Final = 512

_REFUSALS: Final = frozenset({DENY, AUDIT_DENY})
_WORD: Final = re.compile(r"[A-Za-z0-9._:/=+@-]{1,128}")
_METHOD: Final = re.compile(r"[A-Za-z-]{1,24}")
_HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
# Where a query or parameters begin, escaped or not: some server might read it that way.
_END_OF_PATH: Final = re.compile(r"[?#;]|%(?:25|3[bBfF]|23)")
_NAMED: Final = {
    "tools/call": "tool",
    "prompts/get": "prompt",
    "resources/read": "resource",
    "resources/subscribe": "resource",
    "resources/unsubscribe": "resource",
}


class Caller(NamedTuple):
    """What a line says of a verified token."""

    issuer: str
    client_id: str | None
    subject: str | None
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    token_id: str | None
    kid: str | None


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


@dataclass(frozen=True, slots=True)
class LineStyle:
    """What the operator wants of decision lines (``log`` of the file).

    ``level`` is the standard library's number. ``allow_sample`` is the share, 0 to 1, of
    lines written where nothing was refused; refusals are always written.
    """

    level: int = logging.INFO
    allow_sample: float = 1.0
    subject: SubjectStyle = "plain"


class DecisionLine(NamedTuple):
    """One decision on its way to the log. Holds no header value and no unproven claim."""

    occasion: Occasion
    level: str
    subject_style: SubjectStyle
    server: str | None
    reason: Reason | None
    status: int | None
    detail: str
    asked: Asked | None
    caller: Caller | None
    call: Call | None

    def fields(self) -> Fields:
        """The fields in the order they are written; what is not known is left out."""
        now, outcome, transport, seconds = self.occasion
        fields: dict[str, object] = {
            "ts": timestamp(now),
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
            _name_caller(fields, self.caller, self.subject_style)
        if self.call is not None:
            _name_call(fields, self.call)
        if self.asked is not None:
            _name_request(fields, self.asked)
        fields["transport"] = transport
        fields["duration_ms"] = round(seconds * 1000, 3)
        if self.detail:
            fields["detail"] = self.detail
        return fields


def _name_caller(fields: dict[str, object], caller: Caller, style: SubjectStyle) -> None:
    fields["issuer"] = caller.issuer
    if caller.client_id is not None:
        fields["client_id"] = caller.client_id
    if caller.subject is not None and style != "off":
        fields["subject"] = hashed(caller.subject) if style == "hash" else caller.subject
    fields["scopes"] = caller.scopes
    fields["audience"] = caller.audiences
    if caller.token_id is not None:
        fields["jti"] = caller.token_id
    if caller.kid is not None:
        fields["kid"] = caller.kid


def hashed(subject: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a subject's UTF-8.

    The same for every replica and every day, so that lines can be joined; whoever can
    guess a subject can check the guess.
    """
    return hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _name_call(fields: dict[str, object], call: Call) -> None:
    fields["method"] = call.method
    kind = _NAMED.get(call.method)
    if kind is not None and call.name is not None:
        fields[kind] = call.name.partition("?")[0] if kind == "resource" else call.name


def _name_request(fields: dict[str, object], asked: Asked) -> None:
    if _METHOD.fullmatch(asked.method):
        fields["http_method"] = asked.method
    if _HOST.fullmatch(asked.host):
        fields["host"] = asked.host
    if asked.target.startswith("/"):
        fields["path"] = _END_OF_PATH.split(asked.target, maxsplit=1)[0]
    if asked.request_id is not None and _WORD.fullmatch(asked.request_id):
        fields["request_id"] = asked.request_id
    if asked.traceparent is not None and (parent := parse(asked.traceparent)):
        fields["trace_id"] = parent.trace


class DecisionLog:
    """Writes decision lines into a pipe. ``random`` gives numbers from 0 up to 1."""

    def __init__(self, pipe: LogPipe, style: LineStyle, *, random: Callable[[], float]) -> None:
        self.style = style
        self._pipe = pipe
        self._random = random

    def write(self, request: Request | None, decision: Decision, occasion: Occasion) -> None:
        """Queue the line of one decision, unless the style leaves it out."""
        if self.wants(occasion.outcome):
            self.put(request, decision, occasion)

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
        line = _line(request, decision, occasion, level, style.subject)
        self._pipe.put(line)
        if line.reason is TOO_LARGE.reason and line.detail == TOO_LARGE.detail:
            self._pipe.put(TooLargeLine(line))


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


def _line(
    request: Request | None,
    decision: Decision,
    occasion: Occasion,
    level: str,
    subject_style: SubjectStyle,
) -> DecisionLine:
    asked = None if request is None else _asked(request)
    head = (occasion, level, subject_style, decision.server)
    if isinstance(decision, Answer):
        return DecisionLine(*head, None, decision.status, "", asked, None, None)
    caller = None if decision.token is None else _caller(decision.token)
    if isinstance(decision, Allow):
        why = (decision.audited, None, decision.audited_detail)
        return DecisionLine(*head, *why, asked, caller, decision.call)
    refusal = (decision.reason, decision.status, decision.detail)
    return DecisionLine(*head, *refusal, asked, caller, decision.call)


def _caller(token: VerifiedToken) -> Caller:
    facts = token.facts
    return Caller(
        facts.issuer_value,
        facts.client_id,
        facts.subject,
        facts.scopes,
        facts.audiences,
        facts.token_id,
        token.key.kid,
    )


def _asked(request: Request) -> Asked:
    headers = request.headers
    return Asked(
        request.method[:25],
        request.host[:256],
        request.target[:_MAX_PATH],
        headers.get("x-request-id", "")[:129] or None,
        traceparent_of(request),
    )

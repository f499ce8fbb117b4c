"""The words a decision is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .verified import VerifiedToken


class Reason(StrEnum):
    """Why a request was refused: metric label, log field, body member, guide entry.

    The list is closed (contract, section 8).
    """

    MISSING_TOKEN = "missing_token"
    MALFORMED_TOKEN = "malformed_token"
    TOKEN_TOO_LARGE = "token_too_large"
    UNSUPPORTED_ALGORITHM = "unsupported_algorithm"
    UNKNOWN_ISSUER = "unknown_issuer"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    WRONG_TOKEN_TYPE = "wrong_token_type"
    WRONG_AUDIENCE = "wrong_audience"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"
    MISSING_CLAIM = "missing_claim"
    REVOKED = "revoked"
    BINDING_MISMATCH = "binding_mismatch"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    DENIED_BY_RULE = "denied_by_rule"
    UNVERIFIED_CALL = "unverified_call"
    BAD_ORIGIN = "bad_origin"
    NO_MATCHING_SERVER = "no_matching_server"
    UNTRUSTED_PROXY = "untrusted_proxy"
    MALFORMED_REQUEST = "malformed_request"
    AMBIGUOUS_PATH = "ambiguous_path"
    BATCH_REFUSED = "batch_refused"
    SOURCE_MISMATCH = "source_mismatch"
    KEYS_UNAVAILABLE = "keys_unavailable"


Headers = tuple[tuple[str, str], ...]
"""Ordered (lower-case name, value) pairs, as an adapter writes them down."""


@dataclass(slots=True, kw_only=True)
class Request:
    """What the proxy told us about one HTTP request, free of any wire format.

    ``headers`` maps lower-case names to values without outer spaces or tabs. Lines of
    one name are joined by a comma; ``repeated`` names those that came in several lines.
    ``joined`` says that the proxy may have joined lines before we saw them, so that a
    comma may hide a second line. Treated as immutable once built.

    ``body`` is the whole request body, or what came of it (``body_truncated``), or None
    where the proxy sends none. ``mcp_metadata`` is what Envoy's MCP filter said, None
    where it said nothing. ``server`` is the name the proxy gave the server, if any.
    ``refuse_lookalikes`` is set where the proxy cannot remove headers by pattern (nginx).
    ``in_band`` is False where the proxy hears only yes or no, so that a document or a
    preflight cannot be answered in the server's place (contract, section 7).
    ``traceparent`` tells the trace context of the proxy's own question, None where that has
    none; it costs something, so only a log line or a span asks.
    """

    method: str
    host: str
    target: str
    headers: Mapping[str, str]
    repeated: frozenset[str] = frozenset()
    joined: bool = False
    server: str | None = None
    body: bytes | None = None
    body_truncated: bool = False
    mcp_metadata: Mapping[str, object] | None = None
    refuse_lookalikes: bool = False
    in_band: bool = True
    traceparent: Callable[[], str | None] | None = None

    def header(self, name: str) -> str:
        """The value of a header, empty where it has none."""
        return self.headers.get(name, "")


@dataclass(slots=True)
class Precedent:
    """A request that others follow in the same words.

    ``line`` is for the log, which keeps there what their lines have in common.
    """

    request: Request
    line: object = None


@dataclass(slots=True)
class Recurrence:
    """A request in the words of ``precedent``, but for these headers and its own trace context."""

    precedent: Precedent
    headers: Mapping[str, str]
    traceparent: Callable[[], str | None] | None = None

    def header(self, name: str) -> str:
        """The value of a header, empty where it has none."""
        value = self.headers.get(name)
        return self.precedent.request.header(name) if value is None else value

    def request(self) -> Request:
        """The whole request."""
        first = self.precedent.request
        if not self.headers and self.traceparent is None:
            return first
        headers = {**first.headers, **self.headers}
        return replace(first, headers=headers, traceparent=self.traceparent)


AskedFor = Request | Callable[[], Recurrence] | None
"""A request, or how to tell one that came before, or None where no request could be made."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A failed check: the reason, and a detail for our log and ``explain`` only."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """The JSON-RPC call a request makes; ``method`` is empty for a response message."""

    method: str
    name: str | None = None


@dataclass(slots=True)
class Allow:
    """Let the request through to ``server``. Treated as immutable once built.

    ``headers`` overwrite or add request headers, ``remove`` names those taken away, and
    the two never share a name. ``client_headers`` are set on the response to the client.
    ``token`` is None on a public path and on an audited refusal. ``audited`` is the reason
    an audited server would have refused for. ``lease_seconds`` bounds the response.
    """

    server: str
    headers: Headers
    remove: tuple[str, ...]
    client_headers: Headers = ()
    token: VerifiedToken | None = None
    call: Call | None = None
    audited: Reason | None = None
    audited_detail: str = ""
    lease_seconds: float | None = None

    @property
    def public(self) -> bool:
        """Whether no token was asked for."""
        return self.token is None and self.audited is None


@dataclass(slots=True, kw_only=True)
class Deny:
    """Refuse the request with exactly this HTTP answer. Treated as immutable once built.

    ``headers`` hold everything the client is to see (challenge, content type, CORS).
    ``detail`` is for our log; it never holds a token or an unverified claim value.
    ``token`` is set where a verified caller was refused.
    """

    reason: Reason
    status: int
    headers: Headers
    body: bytes
    server: str | None = None
    detail: str = ""
    token: VerifiedToken | None = None
    call: Call | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Answer in the server's place: a document, a redirect, a fixed 404 or a preflight."""

    status: int
    headers: Headers
    body: bytes = b""
    server: str | None = None


@dataclass(frozen=True, slots=True)
class NeedKeys:
    """Not an answer yet: look for this key of the issuer, then ask once more."""

    issuer: str
    kid: str | None


MAX_KEY_WAIT = 0.25
"""A request waits at most so many seconds for an unknown key (contract, section 9)."""


@dataclass(frozen=True, slots=True)
class Unproven:
    """Not an answer yet: verifying a token or reading a long body costs more than all the rest."""


Decision = Allow | Deny | Answer


@dataclass(slots=True)
class Step:
    """One check as ``explain`` shows it. Values are shown to the token's owner only."""

    check: str
    expected: str
    found: str
    passed: bool
    hint: str = ""


@dataclass(slots=True)
class Trace:
    """Collects the steps of one decision; the request path passes None instead."""

    steps: list[Step] = field(default_factory=list)

    def add(self, check: str, expected: str, found: str, passed: bool, hint: str = "") -> None:
        """Record one check in the order it was made."""
        self.steps.append(Step(check, expected, found, passed, hint))

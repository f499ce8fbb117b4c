"""Questions that come again word by word: their answers, and what these depend on besides.

A client's requests to one server are alike. What an engine makes of the words of a question never
changes, so that for one that came before only what changes by itself is looked at: the time, and
the issuer's keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, Generic, Protocol, TypeGuard, TypeVar

from extauthz.core.engine import Engine, Standing
from extauthz.core.model import Allow, Decision, Precedent, Recurrence, Request
from extauthz.core.token_cache import Recent

Reply = TypeVar("Reply")
LeftOut = Sequence[tuple[str, bytes]]

LONGEST: Final = 4096
"""Questions of more octets than this are not to be remembered."""

FLEETING: Final = frozenset(
    {
        "b3",
        "baggage",
        "cf-ray",
        "request-id",
        "sentry-trace",
        "traceparent",
        "tracestate",
        "x-amzn-trace-id",
        "x-azure-ref",
        "x-b3-parentspanid",
        "x-b3-spanid",
        "x-b3-traceid",
        "x-cloud-trace-context",
        "x-correlation-id",
        "x-datadog-parent-id",
        "x-datadog-trace-id",
        "x-request-id",
        "x-request-start",
    }
)
"""Headers that differ from request to request, and whose values no decision reads."""

MOST_FLEETING: Final = 6
"""Each that is left out of the words of a question costs all others the time to look for it."""

# Whose values a line in the log is made of. What others hold may be secret.
_TOLD: Final = frozenset(
    {"mcp-method", "mcp-name", "mcp-protocol-version", "traceparent", "x-request-id"}
)
_MAX_KNOWN: Final = 2048
_MAX_HEADERS: Final = 64
_MAX_SEEN: Final = 4096
_TURNS: Final = 16


@dataclass(frozen=True, slots=True)
class Known(Generic[Reply]):
    """A reply to give again while ``standing`` holds, and the request that it was made for."""

    standing: Standing
    reply: Reply
    precedent: Precedent

    def recurs(
        self, left_out: LeftOut, traceparent: Callable[[], str | None] | None = None
    ) -> Recurrence:
        """That request in the words of a question of now, whose own trace context that is."""
        headers = {name: value.decode("latin-1").strip(" \t") for name, value in left_out}
        return Recurrence(self.precedent, headers, traceparent)


class Words(Protocol):
    """Finds the words of one kind of question: all that an answer depends on, but time and keys."""

    def of(self, question: bytes) -> tuple[bytes, LeftOut]:
        """The words, and the values of fleeting headers that were noticed and are left out."""

    def notice(self, question: bytes, names: Iterable[str]) -> bool:
        """Leave out the value of one more fleeting header among these; whether there is one."""

    def are_clear(self, question: bytes) -> bool:
        """Whether no question that is to be decided otherwise has the same words as this one."""


class Recurring(Generic[Reply]):
    """At most 2048 questions that came more than once, by SHA-256.

    To remember one costs more than to judge it. Where more than these take turns, each would be
    forgotten before it comes again: then only one in 16 takes the place of that used longest ago.
    The words of a question hold credentials, and are not kept.
    """

    def __init__(self, words: Words) -> None:
        self._words = words
        self._known: Recent[Known[Reply]] = Recent(_MAX_KNOWN)
        self._seen: set[bytes] = set()
        self._turn = 0
        self._engine: Engine | None = None
        self.get = self._known.get

    def name(self, question: bytes, asker: bytes = b"") -> tuple[bytes, LeftOut]:
        """What a question is remembered by, and what its words are without.

        ``asker`` is the line that says who asks, if any.
        """
        words, left_out = self._words.of(question)
        return sha256(asker + words).digest(), left_out

    def learn(
        self,
        name: bytes,
        question: bytes,
        *,
        request: Request,
        allow: Allow,
        reply: Reply,
        engine: Engine,
    ) -> None:
        """Remember a question and its answer, if it came before and may be answered so again.

        Most that come once never come again, and are to take no place.
        """
        if not self._came_before(name):
            if self._words.notice(question, request.headers):
                self.clear()
        elif self._has_room(request):
            standing = engine.standing(request, allow)
            if standing is not None and self._words.are_clear(question):
                self._put(name, standing, reply, request)

    def _has_room(self, request: Request) -> bool:
        """Whether a question that came before is to take a place: all do until there is none.

        One in which a header came in several lines does not: of these, one may be fleeting. Nor
        does one with so many headers that they would take much memory.
        """
        if request.repeated or len(request.headers) > _MAX_HEADERS:
            return False
        if len(self._known) < _MAX_KNOWN:
            return True
        self._turn = (self._turn + 1) % _TURNS
        return self._turn == 0

    def _came_before(self, name: bytes) -> bool:
        if name in self._seen:
            return True
        if len(self._seen) >= _MAX_SEEN:
            self._seen.clear()
        self._seen.add(name)
        return False

    def _put(self, name: bytes, standing: Standing, reply: Reply, request: Request) -> None:
        # None is kept that was for an engine before.
        if standing.engine is not self._engine:
            self.clear()
            self._engine = standing.engine
        lines = request.headers.items()
        headers = {header: value if header in _TOLD else "" for header, value in lines}
        path = request.target.partition("?")[0]
        first = replace(request, target=path, headers=headers, traceparent=None)
        self._known.put(name, Known(standing, reply, Precedent(first)))

    def clear(self) -> None:
        """Forget all answers."""
        self._known.clear()


def may_hold(decision: Decision) -> TypeGuard[Allow]:
    """Whether a decision may hold for all requests of a caller: at a glance, as most that cannot.

    What others ask takes no place, nor has any header's value left out.
    """
    return (
        isinstance(decision, Allow)
        and decision.token is not None
        and decision.audited is None
        and decision.call is None
        and decision.lease_seconds is None
        and not decision.client_headers
    )

"""The last refusals, for the status page: a few of each reason and server.

A flood of one kind pushes out no other kind. What is kept is the line that the log was given, and
what is told are fields of that line, so that nothing is shown which the log would not hold; whom a
verified token names is neither kept nor shown.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from extauthz.core.calls import KINDS
from extauthz.core.model import Call

from .formats import LOOKED_AT, MAX_TEXT, beginning

if TYPE_CHECKING:
    from .decision_log import DecisionLine

EACH: Final = 3
"""So many are kept of one reason at one server."""

SERVERS: Final = 8
"""So many servers are remembered of one reason, the last ones that it was given for."""

# A name may be a megabyte long. One more than is looked at, or nobody would see that it is cut.
_MAX_KEPT: Final = LOOKED_AT + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One refusal in words, as its line in the log has them; what is not known is None.

    ``decided_at`` is in seconds since the epoch. ``decision`` is ``deny``, or ``audit_deny`` for
    what was let through and would be refused. ``name`` is that of the tool or prompt that is
    called, or the URI of the resource. ``config`` is the digest of the configuration that decided.
    ``agent`` is the client's own word, and of no more weight. Every text is printable and has at
    most 256 characters.
    """

    decided_at: float
    decision: str
    server: str | None
    reason: str
    status: int | None
    detail: str | None
    http_method: str | None
    host: str | None
    path: str | None
    method: str | None
    name: str | None
    transport: str
    request_id: str | None
    agent: str | None
    config: str | None


class LastRefusals:
    """At most ``EACH`` of a reason and a server, and at most ``SERVERS`` servers of a reason.

    Those of doctor count apart in both.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bool], dict[str | None, deque[DecisionLine | Refusal]]] = {}

    def add(self, line: DecisionLine) -> None:
        """Keep the line of a refusal, which is settled. No text is made before somebody asks."""
        if line.reason is not None:
            by_doctor = line.asked is not None and line.asked.agent is not None
            self._keep((line.reason, by_doctor), line.server, _light(line))

    def add_told(self, refusal: Refusal) -> None:
        """Keep one that another process was told of."""
        self._keep((refusal.reason, refusal.agent is not None), refusal.server, refusal)

    def told(self) -> tuple[Refusal, ...]:
        """All that are kept, the newest first."""
        told = [
            one if isinstance(one, Refusal) else _told(one)
            for servers in self._kept.values()
            for kept in servers.values()
            for one in reversed(kept)
        ]
        told.sort(key=lambda refusal: -refusal.decided_at)
        return tuple(told)

    def take(self) -> tuple[Refusal, ...]:
        """The same, and keep none of them."""
        told = self.told()
        self._kept.clear()
        return told

    def _keep(
        self, kind: tuple[str, bool], server: str | None, one: DecisionLine | Refusal
    ) -> None:
        servers = self._kept.setdefault(kind, {})
        kept = servers.pop(server, None)
        if kept is None:
            if len(servers) >= SERVERS:
                del servers[next(iter(servers))]
            kept = deque(maxlen=EACH)
        kept.append(one)
        servers[server] = kept


def _light(line: DecisionLine) -> DecisionLine:
    """The line without its caller, and with no more of a call than may be shown."""
    if line.caller is None:
        # Nobody looked at what is called: that comes after the token.
        return line
    told, call = line.told, line.told.call
    if call is not None and len(call.method) + len(call.name or "") > _MAX_KEPT:
        name = None if call.name is None else call.name[:_MAX_KEPT]
        told = told._replace(call=Call(call.method[:_MAX_KEPT], name))
    return line._replace(caller=None, told=told)


def _told(line: DecisionLine) -> Refusal:
    fields = line.fields()

    def text(*names: str) -> str | None:
        return next((_shown(str(fields[name])) for name in names if name in fields), None)

    return Refusal(
        decided_at=line.occasion.now,
        decision=line.occasion.outcome,
        server=line.server,
        reason=line.reason or "",
        status=line.status,
        detail=text("detail"),
        http_method=text("http_method"),
        host=text("host"),
        path=text("path"),
        method=text("method"),
        name=text(*KINDS),
        transport=line.occasion.transport,
        request_id=text("request_id"),
        agent=text("agent"),
        config=text("config"),
    )


def _shown(text: str) -> str:
    """The text on one line, cut short, without what looks like a token."""
    safe = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in beginning(text, LOOKED_AT)
    )
    return safe if len(safe) <= MAX_TEXT else f"{safe[: MAX_TEXT - 1]}…"

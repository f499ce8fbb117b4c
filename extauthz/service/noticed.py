"""What a service notices of how proxies ask it, and what their owners should know of that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from extauthz.authorizer import DEADLINE_RESERVE, Authorizer
from extauthz.core.model import MAX_KEY_WAIT
from extauthz.telemetry.observer import DecisionObserver

_FEW = 3
_HURRIED = (
    "a proxy gave a check {:.2f} s, and looking for a key may take {:.2f} s with all else: good "
    "tokens will fail after key rotations; set its timeout to 1s (Envoy: timeout of the filter's "
    "grpc_service, and retry_back_off.max_interval of a retry_policy to 0.5s)"
)
_UNSEEN = (
    "{}: what is called is told by Envoy's MCP filter alone, and the message does not come with "
    "it: an MCP server that reads member names in any case (Go) may make another call than the one "
    "that is judged; add with_request_body to ext_authz, or write the file anew (extauthz "
    "generate envoy)"
)


@dataclass(frozen=True, slots=True)
class Noticed:
    """How proxies asked lately, where that is risky.

    ``hurried_by`` is what the last check that had to wait for a key was given, in seconds, if
    too little. ``unseen`` are the servers whose last judged call came without its message.
    """

    hurried_by: float | None = None
    unseen: frozenset[str] = frozenset()

    @classmethod
    def in_this_process(cls, authorizer: Authorizer, observer: DecisionObserver) -> Noticed:
        """What the two have seen."""
        return cls(authorizer.hurried_by, frozenset(observer.unseen))

    @classmethod
    def by_any(cls, parts: Iterable[Noticed]) -> Noticed:
        """What several processes noticed."""
        parts = tuple(parts)
        times = [part.hurried_by for part in parts if part.hurried_by is not None]
        unseen = frozenset[str]().union(*(part.unseen for part in parts))
        return cls(min(times, default=None), unseen)

    def but_for(self, known: Noticed) -> Noticed:
        """What of it is new to somebody to whom ``known`` was told."""
        hurried = self.hurried_by if known.hurried_by is None else None
        return Noticed(hurried, self.unseen - known.unseen)

    def among(self, servers: Iterable[str]) -> Noticed:
        """What of it is about servers of these names, or about all."""
        return Noticed(self.hurried_by, self.unseen.intersection(servers))

    def warnings(self) -> tuple[str, ...]:
        """The same in words, each with what to do."""
        told = []
        if self.hurried_by is not None:
            told.append(_HURRIED.format(self.hurried_by, MAX_KEY_WAIT + DEADLINE_RESERVE))
        if self.unseen:
            first = sorted(self.unseen)
            more = len(first) - _FEW
            shown = ", ".join(first[:_FEW]) + (f" and {more} more" if more > 0 else "")
            told.append(_UNSEEN.format(f"server{'s' * (len(first) > 1)} {shown}"))
        return tuple(told)

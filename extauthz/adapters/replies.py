"""Replies made once and sent often: one caller gets the same one all day.

Writing a reply down costs more than deciding it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from extauthz.core.model import Allow, Decision, Deny

Written = TypeVar("Written")

_MAX_REPLIES: Final = 4096


class Replies(Generic[Written]):
    """What ``write`` makes of decisions, the recent ones remembered: at most 4096.

    ``write`` must depend on nothing but the decision.
    """

    def __init__(self, write: Callable[[Decision], Written]) -> None:
        self._write = write
        # Beside each reply, the objects whose identity stands in its key: while they are
        # held here, nothing else can have that identity.
        self._kept: dict[object, tuple[Written, object, object]] = {}

    def of(self, decision: Decision) -> Written:
        """The reply for ``decision``."""
        held: tuple[object, object] = (None, None)
        key: object
        if isinstance(decision, Allow):
            if decision.lease_seconds is not None or decision.audited is not None:
                return self._write(decision)
            held = (decision.token, decision.headers)
            key = (
                id(decision.token),
                id(decision.headers),
                decision.call,
                decision.remove,
                decision.client_headers,
            )
        elif isinstance(decision, Deny):
            key = (
                decision.reason,
                decision.server,
                decision.status,
                decision.headers,
                decision.body,
            )
        else:
            return self._write(decision)
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= _MAX_REPLIES:
                self._kept.clear()
            kept = self._kept[key] = (self._write(decision), *held)
        return kept[0]

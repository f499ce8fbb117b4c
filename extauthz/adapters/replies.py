"""Replies made once and sent often: one caller gets the same one all day.

Writing a reply down costs more than deciding it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from extauthz.core.model import Allow, Decision, Deny

Written = TypeVar("Written")

_MAX_REPLIES: Final = 2048
_MAX_LENGTH: Final = 4096


class Replies(Generic[Written]):
    """What ``write`` makes of decisions, the recent ones remembered: at most 2048 short ones.

    Of an allow's token ``write`` may tell no more than the identity headers do.
    """

    def __init__(self, write: Callable[[Decision], Written]) -> None:
        self._write = write
        self._kept: dict[object, Written] = {}
        # An engine gives a caller the very same allow again and again. Kept with it, so that its
        # number stays its own.
        self._same: dict[int, tuple[Decision, Written]] = {}

    def of(self, decision: Decision) -> Written:
        """The reply for ``decision``."""
        same = self._same.get(id(decision))
        if same is not None and same[0] is decision:
            return same[1]
        key: object
        if isinstance(decision, Allow):
            if decision.lease_seconds is not None or decision.audited is not None:
                return self._write(decision)
            key = (
                decision.headers,
                decision.remove,
                decision.client_headers,
                decision.call,
                decision.server,
                decision.token is None,
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
        reply = self._kept.get(key)
        if reply is None:
            reply = self._write(decision)
            if _length(decision) <= _MAX_LENGTH:
                if len(self._kept) >= _MAX_REPLIES:
                    self._kept.clear()
                self._kept[key] = reply
        elif isinstance(decision, Allow):
            # Not seen for the first time: it may well be one of those that come again.
            if len(self._same) >= _MAX_REPLIES:
                self._same.clear()
            self._same[id(decision)] = (decision, reply)
        return reply


def _length(decision: Allow | Deny) -> int:
    """How many characters a client can make us keep with a decision, more or less."""
    length = sum(len(name) + len(value) for name, value in decision.headers)
    if decision.call is not None:
        length += len(decision.call.method) + len(decision.call.name or "")
    if isinstance(decision, Allow):
        length += sum(map(len, decision.remove))
        length += sum(len(value) for _, value in decision.client_headers)
    return length

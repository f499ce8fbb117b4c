"""Replies to Envoy as bytes, those made before taken from memory.

Building a reply costs more than deciding it, and one caller gets the same reply all day.
"""

from __future__ import annotations

from typing import Final

from extauthz.core.model import Allow, Decision, Deny

from .envoy import to_response

_MAX_REPLIES: Final = 4096


class ReplyBytes:
    """Serialised replies, the recent ones kept: at most 4096, some 2 KiB each."""

    def __init__(self) -> None:
        # Beside each reply, the objects whose identity stands in its key: while they are
        # held here, nothing else can have that identity.
        self._kept: dict[object, tuple[bytes, object, object]] = {}

    def of(self, decision: Decision) -> bytes:
        """The serialised reply for ``decision``, the same as ``to_response`` makes."""
        key: object
        if isinstance(decision, Allow):
            if decision.lease_seconds is not None or decision.audited is not None:
                return to_response(decision).SerializeToString()
            held: tuple[object, object] = (decision.token, decision.headers)
            key = (
                id(decision.token),
                id(decision.headers),
                decision.call,
                decision.remove,
                decision.client_headers,
            )
        elif isinstance(decision, Deny):
            held = (None, None)
            key = (decision.reason, decision.server, decision.headers, decision.body)
        else:
            return to_response(decision).SerializeToString()
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= _MAX_REPLIES:
                self._kept.clear()
            kept = self._kept[key] = (to_response(decision).SerializeToString(), *held)
        return kept[0]

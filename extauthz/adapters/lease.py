"""How long Envoy may let a stream go on, in a header of the answer."""

from __future__ import annotations

from typing import Final

LEASE_HEADER: Final = "x-envoy-upstream-rq-timeout-ms"
"""The request header by which Envoy bounds one response (Envoy's router filter)."""


def lease_milliseconds(seconds: float) -> str:
    """How long a response may last, as Envoy reads it: whole milliseconds, at least one."""
    return str(max(1, int(seconds * 1000)))

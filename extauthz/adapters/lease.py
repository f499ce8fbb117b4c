"""How long Envoy may let a stream go on, in headers of the answer."""

from __future__ import annotations

from typing import Final

LEASE_HEADERS: Final = ("x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-stream-duration-ms")
"""The request headers by which Envoy bounds one response (Envoy's router filter).

The first counts from the end of the request, which a client may never send. The second counts from
its beginning.
"""


def lease(seconds: float | None) -> tuple[tuple[str, str], ...]:
    """What bounds a response to ``seconds``, in whole milliseconds, at least one.

    Nothing for None.
    """
    if seconds is None:
        return ()
    milliseconds = str(max(1, int(seconds * 1000)))
    return tuple((name, milliseconds) for name in LEASE_HEADERS)

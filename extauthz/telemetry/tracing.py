"""Whether spans are wanted: what the standard ``OTEL_*`` variables say, and what is installed.

Until they are, nothing of OpenTelemetry is imported and a decision costs nothing more.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, Protocol

from extauthz.core.model import Decision, Recurrence, Request

from .decision_log import Occasion

_log = logging.getLogger(__name__)

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"


class Spans(Protocol):
    """Where spans go: ``spans.OtelSpans``."""

    def record(
        self, request: Request | Recurrence | None, decision: Decision, occasion: Occasion
    ) -> None:
        """Make the span of one decision."""

    def close(self, timeout: float = 1.0) -> bool:
        """Send what is left, for at most ``timeout`` seconds; whether all was sent."""


def spans_wanted(environ: Mapping[str, str], *, version: str) -> Spans | None:
    """Spans as the variables ask for them, or None, with a warning where they ask in vain.

    Never raises: a mistake about traces must not keep the service from starting.
    """
    if not _asked_for(environ):
        return None
    try:
        from .spans import exporting  # noqa: PLC0415  0.1 s and 15 MB that nobody else pays for

        return exporting(environ, version=version)
    except ImportError:
        _log.warning(
            "no spans are made: OTEL_* variables ask for them, but OpenTelemetry is not "
            "installed. Mend: pip install '.[otel]' in a clone, or build the image with "
            "REQUIREMENTS=otel.txt"
        )
    except Exception:  # noqa: BLE001  whatever it is that OpenTelemetry cannot use
        _log.exception("no spans are made: OpenTelemetry refused its OTEL_* variables")
    return None


def _asked_for(environ: Mapping[str, str]) -> bool:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporter not in ("", "otlp", "none"):
        _log.warning("no spans are made: OTEL_TRACES_EXPORTER must be otlp or none")
    if exporter != "otlp" and (exporter or _first(environ, _ENDPOINTS) is None):
        return False
    protocol = _first(environ, _PROTOCOLS) or _PROTOCOL
    if protocol != _PROTOCOL:
        _log.warning(
            "no spans are made: extauthz sends OTLP over HTTP only. "
            "Mend: OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, and the endpoint's port for it, "
            "as a rule 4318"
        )
    return protocol == _PROTOCOL


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := environ.get(name, "").strip())), None)

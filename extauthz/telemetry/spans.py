"""OpenTelemetry spans: one per decision, joined to the proxy's trace. Needs the extra ``otel``.

Imported by ``tracing`` alone, and only where spans are wanted. A span is made when its decision
has fallen, so that there is nothing to carry along while deciding.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from extauthz.core.model import Answer, Decision, Reason, Recurrence, Request

from .counts import reason_of
from .decision_log import Occasion
from .formats import LOOKED_AT, MAX_TEXT, beginning
from .trace_context import TraceParent, parse, traceparent_of

NAME: Final = "extauthz.check"
"""The name of every span; what was decided, and for which server, is in its attributes."""

_NO_PARENT: Final = Context()
_FAILED: Final = Status(StatusCode.ERROR)


class OtelSpans:
    """Makes the span of each decision and hands it to ``provider``, which sends batches."""

    def __init__(self, provider: TracerProvider, *, version: str) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("extauthz", version)

    def record(
        self, request: Request | Recurrence | None, decision: Decision, occasion: Occasion
    ) -> None:
        """Make the span of one decision. It names no subject, client, host, path or header."""
        traceparent = None if request is None else traceparent_of(request)
        parent = None if traceparent is None else parse(traceparent)
        end = int(occasion.now * 1e9)
        span = self._tracer.start_span(
            NAME,
            context=_NO_PARENT if parent is None else _context(parent),
            kind=SpanKind.SERVER,
            attributes=_attributes(decision, occasion),
            start_time=end - int(occasion.seconds * 1e9),
        )
        if reason_of(decision) == Reason.KEYS_UNAVAILABLE:
            span.set_status(_FAILED)
        span.end(end)

    def close(self, timeout: float = 1.0) -> bool:
        """Send what is left, for at most ``timeout`` seconds; whether all was sent."""
        # The provider's own way waits half a minute for a collector that does not answer.
        thread = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        thread.start()
        thread.join(timeout)
        return not thread.is_alive()


def exporting(environ: Mapping[str, str], *, version: str) -> OtelSpans:
    """Spans sent by OTLP over HTTP, as the ``OTEL_*`` variables of this process say.

    ``environ`` is looked at for the name of the service alone; OpenTelemetry reads the real
    one itself. Raises what OpenTelemetry raises at a variable that it cannot use.
    """
    about = {SERVICE_VERSION: version}
    elsewhere = environ.get("OTEL_RESOURCE_ATTRIBUTES", "").replace(" ", "")
    if not environ.get("OTEL_SERVICE_NAME") and "service.name=" not in elsewhere:
        about[SERVICE_NAME] = "extauthz"
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OtelSpans(provider, version=version)


def _context(parent: TraceParent) -> Context:
    flags = TraceFlags(parent.flags)
    span = SpanContext(int(parent.trace, 16), int(parent.span, 16), True, flags)
    return set_span_in_context(NonRecordingSpan(span), _NO_PARENT)


def _attributes(decision: Decision, occasion: Occasion) -> dict[str, str]:
    attributes = {
        "extauthz.decision": occasion.outcome,
        "extauthz.transport": occasion.transport,
    }
    if decision.server:
        attributes["extauthz.server"] = decision.server
    if reason := reason_of(decision):
        attributes["extauthz.reason"] = str(reason)
    call = None if isinstance(decision, Answer) else decision.call
    if call is not None and call.method == "tools/call" and call.name:
        attributes["extauthz.tool"] = beginning(call.name, LOOKED_AT)[:MAX_TEXT]
    return attributes

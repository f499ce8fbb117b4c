"""Spans: one per decision, in the proxy's trace, and none unless asked for."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from extauthz.adapters.grpcio_door import GrpcDoor
from extauthz.authorizer import Authorizer
from extauthz.config.addresses import TcpAddress
from extauthz.core.engine import Engine
from extauthz.core.model import Reason
from extauthz.telemetry.decision_log import DecisionLog, LineStyle
from extauthz.telemetry.formats import json_line
from extauthz.telemetry.log_pipe import LogPipe
from extauthz.telemetry.metrics import Metrics
from extauthz.telemetry.observer import DecisionObserver
from extauthz.telemetry.spans import OtelSpans, exporting
from extauthz.telemetry.trace_context import parse, traceparent_of
from extauthz.telemetry.tracing import spans_wanted
from tests.adapters.doors import CHECK, Asked, Keys, Loop, check_request
from tests.policies import asking, policy_for_tests
from tests.tokens import CALCULATOR, NOW, mint

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
CLIENTS = f"00-{'c' * 32}-{'d' * 16}-01"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@dataclass
class Traced:
    """A gRPC door whose decisions become lines and spans that stay in memory."""

    port: int = 0
    keys: Keys = field(default_factory=Keys)
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    pipe: LogPipe = field(init=False)
    written: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pipe = LogPipe(self.written.append, json_line)

    def check(self, asked: Asked, *metadata: tuple[str, str]) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
            call(check_request(asked).SerializeToString(), timeout=10, metadata=metadata)

    @property
    def span(self) -> ReadableSpan:
        """The one span there is."""
        (span,) = self.exporter.get_finished_spans()
        return span

    def line(self) -> dict[str, Any]:
        """The one line there is."""
        assert self.pipe.close(10)
        line: dict[str, Any] = json.loads(b"".join(self.written))
        return line


@contextmanager
def traced() -> Iterator[Traced]:
    service, loop = Traced(), Loop()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(service.exporter))
    observer = DecisionObserver(
        Metrics(version="1").decisions,
        DecisionLog(service.pipe, LineStyle(), random=lambda: 0.0),
        wall=lambda: NOW,
        monotonic=time.monotonic,
        spans=OtelSpans(provider, version="1.2.3"),
    )
    authorizer = Authorizer(
        Engine(policy_for_tests()),
        service.keys,
        observer,
        wall=lambda: NOW,
        monotonic=time.monotonic,
    )
    door = GrpcDoor(authorizer, TcpAddress("127.0.0.1", 0))
    try:
        address = loop.run(door.start())
        assert isinstance(address, TcpAddress)
        service.port = address.port
        yield service
    finally:
        loop.run(door.stop(0))
        loop.close()


def bearing(token: str, **more: Any) -> Asked:
    return Asked((("authorization", f"Bearer {token}"),), **more)


def parent_of(span: ReadableSpan) -> tuple[str, str] | None:
    if span.parent is None:
        return None
    return format_trace_id(span.parent.trace_id), format_span_id(span.parent.span_id)


def test_a_check_is_one_server_span_that_says_what_was_decided() -> None:
    with traced() as service:
        service.check(bearing(mint()), ("traceparent", PARENT))
        span = service.span
    assert span.name == "extauthz.check"
    assert span.kind is SpanKind.SERVER
    assert dict(span.attributes or {}) == {
        "extauthz.decision": "allow",
        "extauthz.transport": "grpc",
        "extauthz.server": "notes",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.instrumentation_scope is not None
    assert (span.instrumentation_scope.name, span.instrumentation_scope.version) == (
        "extauthz",
        "1.2.3",
    )
    assert span.end_time == int(NOW * 1e9)
    assert span.start_time is not None
    assert 0 < span.end_time - span.start_time < 10e9


def test_a_question_that_comes_again_is_in_the_trace_of_each_time() -> None:
    traces = [f"{number:032x}" for number in range(1, 9)]
    with traced() as service:
        asked = bearing(mint())
        for trace in traces:
            service.check(asked, ("traceparent", f"00-{trace}-{SPAN}-01"))
        spans = service.exporter.get_finished_spans()
        assert [span.context and format_trace_id(span.context.trace_id) for span in spans] == traces
        assert service.pipe.close(10)
    lines = [json.loads(line) for line in b"".join(service.written).splitlines()]
    assert [line["trace_id"] for line in lines] == traces


def test_a_refusal_names_its_reason_and_tool_and_is_no_error_of_ours() -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "danger_1"}}
    token = mint({"aud": CALCULATOR, "scope": "calculator"})
    asked = bearing(token, target="/calculator/mcp", body=json.dumps(call).encode())
    with traced() as service:
        service.check(asked)
        span = service.span
    assert span.attributes is not None
    assert span.attributes["extauthz.decision"] == "deny"
    assert span.attributes["extauthz.reason"] == "denied_by_rule"
    assert span.attributes["extauthz.tool"] == "danger_1"
    assert span.status.status_code is StatusCode.UNSET


def test_keys_that_cannot_be_had_are_an_error_of_ours() -> None:
    with traced() as service:
        service.keys.answers["corp"] = Reason.KEYS_UNAVAILABLE
        service.check(bearing(mint(header={"kid": "new"})))
        span = service.span
    assert span.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize(
    ("metadata", "header", "trace"),
    [
        (PARENT, CLIENTS, TRACE),
        (PARENT, None, TRACE),
        (None, CLIENTS, "c" * 32),
        (None, None, None),
    ],
)
def test_envoys_own_span_is_the_parent_before_what_its_client_sent(
    metadata: str | None, header: str | None, trace: str | None
) -> None:
    """Span and decision line belong to the same trace."""
    asked = bearing(mint())
    if header is not None:
        asked = asked.plus(("traceparent", header))
    with traced() as service:
        service.check(asked, *(() if metadata is None else (("traceparent", metadata),)))
        parent, line = parent_of(service.span), service.line()
    assert (None if parent is None else parent[0]) == trace
    assert line.get("trace_id") == trace


def test_what_the_proxy_did_not_sample_is_not_sent() -> None:
    with traced() as service:
        service.check(bearing(mint()), ("traceparent", PARENT[:-2] + "00"))
        assert service.exporter.get_finished_spans() == ()


def test_no_span_holds_a_token_or_who_is_calling() -> None:
    canary = "canary-7f3a"
    token = mint({"aud": CALCULATOR, "sub": canary, "client_id": canary, "jti": canary})
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": token}}
    with traced() as service:
        service.check(bearing(token, target="/calculator/mcp", body=json.dumps(call).encode()))
        service.check(bearing(token).plus(("x-request-id", canary)))
        service.check(Asked(target=f"/{canary}?q={token}", host=f"{canary}.example.com"))
        told = " ".join(span.to_json() for span in service.exporter.get_finished_spans())
    assert told.count("extauthz.check") == 3
    assert canary not in told
    assert token.split(".")[1] not in told


def test_no_span_holds_the_beginning_of_a_token_that_is_longer_than_what_is_looked_at() -> None:
    name = "danger_ " + "eyJhbGciOiJFUzI1NiJ9" * 1000 + ".e30.c2lnbmF0dXJl"
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name}}
    body = json.dumps(call).encode()
    with traced() as service:
        service.check(bearing(mint({"aud": CALCULATOR}), target="/calculator/mcp", body=body))
        assert service.span.attributes
        assert service.span.attributes["extauthz.tool"] == "danger_ [token]"


@pytest.mark.parametrize(
    ("traceparent", "trace"),
    [
        (PARENT, TRACE),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", TRACE),
        (f"{PARENT}-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"{PARENT},{PARENT}", None),
        (f"cc-{TRACE}-{SPAN}-01-{'x' * 72}", TRACE),
        (f"cc-{TRACE}-{SPAN}-01-{'x' * 73}", None),
        ("", None),
    ],
)
def test_a_traceparent_is_read_as_w3c_has_it(traceparent: str, trace: str | None) -> None:
    parent = parse(traceparent)
    assert (None if parent is None else parent.trace) == trace


def test_an_endless_traceparent_is_cut_before_it_is_kept() -> None:
    assert len(traceparent_of(asking(headers={"traceparent": PARENT * 1000})) or "") == 129


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SERVICE_NAME": "edge"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_TRACES_EXPORTER": "none", **ENDPOINT},
        {"OTEL_SDK_DISABLED": "true", **ENDPOINT},
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1"},
    ],
)
def test_no_spans_unless_asked_for(
    environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert spans_wanted(environ, version="1") is None
    assert caplog.records == []


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", **ENDPOINT}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc", **ENDPOINT}, "http/protobuf"),
    ],
)
def test_what_is_asked_for_in_vain_is_said(
    environ: dict[str, str], named: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert spans_wanted(environ, version="1") is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert named in record.getMessage()


def test_without_the_extra_the_warning_names_the_cure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "extauthz.telemetry.spans", None)
    assert spans_wanted(ENDPOINT, version="1") is None
    assert "pip install '.[otel]' in a clone" in caplog.text


def test_variables_that_opentelemetry_refuses_do_not_stop_the_service(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    assert spans_wanted(ENDPOINT, version="1") is None
    assert "OTEL_* variables" in caplog.text


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "extauthz"),
        ({"OTEL_SERVICE_NAME": "edge"}, "edge"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=edge,a=b"}, "edge"),
    ],
)
def test_the_service_is_called_extauthz_unless_it_is_given_a_name(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], name: str
) -> None:
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    spans = exporting(environ, version="1.2.3")
    about = spans._provider.resource.attributes
    assert (about["service.name"], about["service.version"]) == (name, "1.2.3")
    assert spans.close(10)


def test_a_service_without_traces_imports_nothing_of_opentelemetry() -> None:
    """The adapters and the service; commands import less."""
    program = (
        "import sys, extauthz.service.run\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_collector_that_never_answers_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, traced() as service:
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
        service.check(bearing(mint()))
        before = set(threading.enumerate())
        spans = exporting({}, version="1")
        processor = spans._provider._active_span_processor
        processor.on_end(service.span)
        started = time.monotonic()
        assert not spans.close(0.2)
        assert time.monotonic() - started < 2
        # What goes on trying must not reach into the tests that follow.
        for thread in set(threading.enumerate()) - before:
            thread.join(30)
            assert not thread.is_alive()

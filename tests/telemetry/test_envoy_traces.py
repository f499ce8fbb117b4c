"""Envoy with its own tracer in front: one trace from the client's request to our decision."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.e2e import backend, edges
from tests.e2e.edges import Wiring
from tests.e2e.scene import PING, extauthz
from tests.e2e.tokens import ISSUER, NOTES, Signer
from tests.service.conftest import until

pytestmark = pytest.mark.e2e


@dataclass
class Collector:
    """What was exported to it, with the name of the service."""

    port: int = 0
    spans: list[tuple[str, Span]] = field(default_factory=list)

    def of(self, service: str) -> list[Span]:
        return [span for name, span in self.spans if name == service]


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = ExportTraceServiceRequest.FromString(self._body())
            for resource in message.resource_spans:
                about = {one.key: one.value.string_value for one in resource.resource.attributes}
                for scope in resource.scope_spans:
                    collector.spans += [(about["service.name"], span) for span in scope.spans]
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def _body(self) -> bytes:
            length = self.headers["content-length"]
            if length is not None:
                return self.rfile.read(int(length))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def log_message(self, *_: object) -> None:
            """No noise on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        collector.port = server.server_port
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield collector
        server.shutdown()


def with_tracer(document: dict[str, Any], port: int) -> None:
    """What docs/operations/tracing.md says to add to Envoy's configuration."""
    listener = document["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["tracing"] = {
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "service_name": "edge",
                "http_service": {
                    "http_uri": {
                        "uri": f"http://127.0.0.1:{port}/v1/traces",
                        "cluster": "collector",
                        "timeout": "1s",
                    }
                },
            },
        }
    }
    document["layered_runtime"] = {
        "layers": [
            {
                "name": "often",
                "static_layer": {
                    "tracing.opentelemetry.flush_interval_ms": 100,
                    "tracing.opentelemetry.min_flush_spans": 1,
                },
            }
        ]
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    document["static_resources"]["clusters"].append(
        {
            "name": "collector",
            "type": "STATIC",
            "load_assignment": {
                "cluster_name": "collector",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            },
        }
    )


def test_our_span_is_a_child_of_envoys_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = Signer()
    signer.write_key_set(tmp_path / "jwks.json")
    config = {
        "issuers": [{"issuer": ISSUER, "jwks_file": str(tmp_path / "jwks.json")}],
        "servers": [{"name": "notes", "resource": NOTES, "match": {"paths": ["/notes"]}}],
    }
    with collecting() as collector, backend.running("calculator", "notes") as backends:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with extauthz(config, tmp_path / "extauthz") as service:
            ports = {name: one.port for name, one in backends.items()}
            wiring = Wiring(**ports, grpc=service.grpc, http=service.http)
            trace_it = lambda document: with_tracer(document, collector.port)  # noqa: E731
            with edges.envoy("envoy.yaml", wiring, tmp_path / "envoy", edit=trace_it) as edge:
                token = f"Bearer {signer.token()}"
                answer = edge.send("POST", "/notes/mcp", [("Authorization", token)], PING)
                assert answer.status == 200
                until(lambda: collector.of("extauthz") and len(collector.of("edge")) >= 2)
        (ours,) = collector.of("extauthz")
        asked = [span for span in collector.of("edge") if span.span_id == ours.parent_span_id]
        assert [span.trace_id for span in asked] == [ours.trace_id]
        assert asked[0].kind == Span.SPAN_KIND_CLIENT
        assert ours.trace_id.hex() in service.log.read_text()

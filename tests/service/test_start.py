"""A start imports what it needs and no more: that is most of what it costs.

Named by module and not timed, since a machine may be busy.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.e2e.processes import accepts, program
from tests.service.conftest import CONFIG, Running, until

# Needed later, by another command, or by tools of ours.
NEVER = {
    "click",
    "extauthz.backend",
    "extauthz.config.reference",
    "extauthz.config.schema",
    "extauthz.demo",
    "extauthz.generate",
    "extauthz.keys.http_get",
    "extauthz.telemetry.exposition",
    "extauthz.telemetry.spans",
    "h11",
    "httpx",
    "opentelemetry",
    "prometheus_client",
    "uvicorn",
}
TRANSPORTS = {
    "grpcio": {"hpack"},
    "native": {"grpc", "grpc_health.v1.health"},
    "off": {"hpack", "grpc", "google.protobuf"},
}


def imported_by(*arguments: str) -> set[str]:
    """The modules that a Python has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    return modules(done.stderr.decode())


def modules(importtime: str) -> set[str]:
    """The names in what ``-X importtime`` writes."""
    lines = [line for line in importtime.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines if "[us]" not in line}


def not_of_python(names: Iterable[str]) -> set[str]:
    """The top-level packages that neither Python nor what is set up for it brings.

    Debian's looks for a reporter of crashes at each start.
    """
    by_itself = imported_by("-c", "pass") | set(sys.stdlib_module_names)
    return {name.partition(".")[0] for name in set(names) - by_itself} - by_itself


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_serve_has_not_imported_when_it_is_ready(tmp_path: Path, transport: str) -> None:
    running = Running(tmp_path)
    if transport == "off":
        running.write(CONFIG.replace('grpc: "127.0.0.1:{grpc}"', "grpc: off"))
    else:
        running.write(CONFIG.replace("listen: {{", f"listen: {{{{grpc_transport: {transport}, "))
    command = [sys.executable, "-X", "importtime", "-m", "extauthz", "serve"]
    command += ["--config", str(running.file)]
    with program(command, running.log, lambda: accepts(running.ports["admin"])):
        until(lambda: running.ready() == 200)
        found = modules(running.log.read_text())
    assert "extauthz.service.run" in found
    assert not found & (NEVER | TRANSPORTS[transport])


def test_metrics_are_imported_at_the_first_scrape(service: Running) -> None:
    """The other side of the test above: it is not that they are never there."""
    assert service.ask("admin", "/metrics")[0] == 200
    assert b"extauthz_build_info" in service.ask("admin", "/metrics")[2]


def test_a_worker_needs_nothing_that_reads_settings_or_writes_metrics() -> None:
    found = imported_by("-c", "import extauthz.service.worker")
    assert "extauthz.service.worker" in found
    settings = {"extauthz.config.load", "pydantic", "yaml"}
    transports = {"google.protobuf", "grpc", "hpack"}
    assert not found & (NEVER | settings | transports)


def test_the_version_needs_nothing_but_python() -> None:
    found = imported_by("-m", "extauthz", "version")
    assert not_of_python(found) == {"extauthz"}
    assert not found & {"asyncio", "dataclasses", "http.client", "inspect", "logging", "ssl"}


def test_the_garbage_collector_is_back_after_a_start() -> None:
    """Off for good, memory would grow with every reference cycle."""
    code = (
        "import gc; from extauthz.service.garbage import begin_start, end_start;"
        "begin_start(); off = gc.isenabled(); end_start();"
        "print(off, gc.isenabled(), gc.get_freeze_count() > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False True True\n"

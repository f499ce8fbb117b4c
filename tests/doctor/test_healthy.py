"""Against the shipped configurations doctor finds nothing."""

from __future__ import annotations

import pytest

from extauthz.doctor.telling import table
from tests.doctor.clinic import Clinic

pytestmark = pytest.mark.e2e

# An edge that shows no messages serves no rules for calls.
EDGES = [
    ("envoy", "notes"),
    ("envoy-mcp", "calculator"),
    ("envoy-body", "calculator"),
    ("envoy-http", "notes"),
    ("nginx", "notes"),
    ("caddy", "notes"),
    ("haproxy", "notes"),
]


@pytest.mark.parametrize(("proxy", "server"), EDGES)
def test_nothing_is_found(open_clinic: Clinic, proxy: str, server: str) -> None:
    with open_clinic.edge(proxy):
        full = open_clinic.examine(server)
        short = open_clinic.examine(server, token=None, echo_tool=None)
    assert not full.findings, table(full)
    assert not short.findings, table(short)
    assert full.requests > 200
    skipped = {step.title for step in full.steps if step.skipped}
    assert skipped == (set() if server == "calculator" else {"rules for calls hold"})

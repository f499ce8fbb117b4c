"""What the status page says of a server in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from extauthz.adapters.server_status import server_statuses
from extauthz.core.claims import ClaimCondition
from tests.policies import policy_for_tests

POLICY = policy_for_tests()
NOTES = next(server for server in POLICY.servers if server.name == "notes")


@pytest.mark.parametrize(
    ("changes", "notes"),
    [
        ({}, ()),
        (
            {"audit": True},
            ("Audit: refusals are only reported; every request reaches the server.",),
        ),
        (
            {"claims": (ClaimCondition("tid", ("tid",), ("a", "b")),)},
            ("Every request needs this of its token: claim tid is or contains a or b.",),
        ),
        ({"audiences": None}, ("Tokens of any audience are accepted.",)),
        (
            {"allow_unverified_calls": True},
            ("Calls that cannot be verified pass without rules; only the server's scopes count.",),
        ),
        (
            {"header_versions": frozenset({"2026-07-28", "2025-06-18"})},
            ("Mcp-* headers are believed for protocol version 2025-06-18, 2026-07-28.",),
        ),
        ({"origins": None}, ("Pages of any origin may call.",)),
        ({"keep_token": True}, ("The caller's token is passed on to the server.",)),
        ({"allowed_clients": frozenset({"b", "a"})}, ("Only these clients may call: a, b.",)),
    ],
)
def test_what_is_not_as_usual_is_noted(changes: dict[str, Any], notes: tuple[str, ...]) -> None:
    (status,) = server_statuses(replace(POLICY, servers=(replace(NOTES, **changes),)), {})
    assert status.notes == notes

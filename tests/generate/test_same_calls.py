"""Rules for calls, and leases, hold behind other proxies' written files: the same tests."""

from __future__ import annotations

import pytest

from tests.e2e.edges import Edge
from tests.e2e.scene import Scene
from tests.e2e.test_calls import (
    test_a_blind_edge_lets_no_post_through_where_rules_exist,
    test_a_denied_tool_does_not_run_however_it_is_written,
    test_a_tool_that_needs_a_scope_names_it,
    test_a_tool_that_the_rules_allow_runs,
    test_by_default_headers_are_nobodys_word,
    test_headers_that_name_a_safe_tool_do_not_help,
)
from tests.e2e.test_streams import stream
from tests.generate.conftest import running
from tests.generate.edges import NEW_CADDY

pytestmark = pytest.mark.e2e

__all__ = [
    "test_a_blind_edge_lets_no_post_through_where_rules_exist",
    "test_a_denied_tool_does_not_run_however_it_is_written",
    "test_a_tool_that_needs_a_scope_names_it",
    "test_a_tool_that_the_rules_allow_runs",
    "test_by_default_headers_are_nobodys_word",
    "test_headers_that_name_a_safe_tool_do_not_help",
]


@pytest.fixture(params=["envoy-gateway"])
def seeing(request: pytest.FixtureRequest, scene: Scene) -> Edge:
    """The edges that show extauthz the message itself."""
    return running(request.param, scene)


@pytest.fixture(params=["caddy", NEW_CADDY, "haproxy", "traefik"])
def blind(request: pytest.FixtureRequest, scene: Scene) -> Edge:
    """The edges that show extauthz headers alone."""
    return running(request.param, scene)


def test_a_leased_stream_ends_with_its_token(scene: Scene) -> None:
    with stream(running("envoy-gateway", scene), scene.token(lifetime=2)) as opened:
        events = opened.chunks()
        assert next(events) == b"data: open\n\n"
        with pytest.raises(EOFError):
            next(events)

"""What whoever writes a file for a proxy that asks over HTTP, and shows no message, has to know."""

from __future__ import annotations

from collections.abc import Iterator

from .plan import Plan


def cautions(plan: Plan) -> Iterator[str]:
    """Each warning, whatever the proxy."""
    yield from plan.warnings
    yield from plan.relative_files()
    yield from plan.asked_as_a_stranger()
    for site in plan.ruled_sites:
        if not site.server.header_versions:
            yield (
                f"server {site.name} has rules for calls, and this proxy cannot show which tool "
                "is called: such a POST is refused or, with unverified_calls, judged without "
                "rules; use Envoy, or header_versions where the MCP server compares headers"
            )

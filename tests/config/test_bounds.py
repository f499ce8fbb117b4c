"""The bounds that the contract names (section 11, "Settings"): each end is allowed, no more is."""

from __future__ import annotations

import pytest

from tests.config.desk import SERVERS, Desk, at_issuer

ISSUER = {
    "leeway: {}": ("0s", None, "1h", "3601s"),
    "keys: {{refresh: {}}}": ("1s", "999ms", "24h", "86401s"),
    "keys: {{cooldown: {}}}": ("10ms", "9ms", "1h", "3601s"),
    "keys: {{max_stale: {}}}": ("0s", None, "8760h", "8761h"),
    "keys: {{timeout: {}}}": ("10ms", "9ms", "60s", "61s"),
    "keys: {{max_bytes: {}}}": ("1KiB", "0KiB", "64MiB", "65537KiB"),
}
TOP = {
    "tokens: {{max_bytes: {}}}": ("1KiB", "0KiB", "1MiB", "1025KiB"),
    "tokens: {{cache_entries: {}}}": ("0", "-1", "10000000", "10000001"),
    "workers: {}": ("1", "0", "64", "65"),
    "drain: {}": ("0s", None, "10s", "10001ms"),
    "log: {{allow_sample: {}}}": ("0", "-0.1", "1", "1.1"),
}


@pytest.mark.parametrize(("line", "bounds"), [*ISSUER.items(), *TOP.items()])
def test_bounds(desk: Desk, line: str, bounds: tuple[str, str | None, str, str]) -> None:
    def text(value: str) -> str:
        filled = line.format(value)
        return at_issuer(filled) if line in ISSUER else f"{SERVERS}{filled}\n"

    least, too_little, most, too_much = bounds
    desk.load(text(least))
    desk.load(text(most))
    for value in (too_little, too_much):
        if value is not None:
            assert len(desk.problems(text(value))) == 1


@pytest.mark.parametrize("name", ["EXTAUTHZ_EDGE_LISTEN", "EXTAUTHZ_ISSUERS", "EXTAUTHZ_SERVERS"])
def test_what_has_no_variable(desk: Desk, name: str) -> None:
    assert "unknown variable" in desk.problems(SERVERS, environ={name: "x"})[0]
    desk.load(SERVERS, environ={name: ""})

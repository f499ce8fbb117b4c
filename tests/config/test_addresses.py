"""Who can reach what listens on an address."""

from __future__ import annotations

import pytest

from extauthz.config.addresses import TcpAddress


@pytest.mark.parametrize(
    ("host", "whose"),
    [
        ("127.0.0.1", "this machine's"),
        ("127.9.9.9", "this machine's"),
        ("::1", "this machine's"),
        ("localhost", "this machine's"),
        ("0.0.0.0", "everybody's"),  # noqa: S104
        ("::", "everybody's"),
        ("192.0.2.1", "everybody's"),
        ("extauthz", "everybody's"),
    ],
)
def test_who_reaches_an_address(host: str, whose: str) -> None:
    assert TcpAddress(host, 9090).is_loopback is (whose == "this machine's")

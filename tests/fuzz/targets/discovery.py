"""Metadata is used only if it is this issuer's, and its keys only from where they may be.

Never plain http away from loopback, never an inner address for an issuer outside.
"""

from __future__ import annotations

from extauthz.keys.addresses import Address
from extauthz.keys.discovery import discover
from extauthz.keys.fetch import Fetched, FetchError, FetchLimits
from extauthz.keys.source import IssuerSource
from tests.fuzz.targets.check_request import run

SOURCE = IssuerSource(name="corp", issuer="https://idp.example.com/realms/acme", discovery="oidc")

SEEDS = (
    b'{"issuer":"https://idp.example.com/realms/acme","jwks_uri":"https://idp.example.com/jwks"}',
    b'{"issuer":"https://idp.example.com/realms/acme","jwks_uri":"http://169.254.169.254/"}',
    b'{"issuer":"https://idp.example.com/realms/acme","jwks_uri":"https://[::ffff:10.0.0.1]/"}',
    b'{"issuer":"https://idp.example.com/realms/acme","jwks_uri":"https://a@127.0.0.1:1/"}',
    b'{"issuer":"https://idp.example.com/realms/acme","jwks_uri":"https://0x7f000001/"}',
    b'{"issuer":"https://attacker.example","jwks_uri":"https://attacker.example/jwks"}',
    b'{"issuer":["x"],"jwks_uri":null}',
    b"<html></html>",
)


def one(data: bytes) -> None:
    """Raise where the invariant is broken."""

    async def fetcher(url: str, limits: FetchLimits, *, etag: str | None = None) -> Fetched:
        return Fetched(body=data)

    try:
        found = run(discover(SOURCE, fetcher))
    except FetchError:
        return
    assert found.metadata["issuer"] == SOURCE.issuer
    address = Address.of(found.jwks_uri)
    assert address.scheme == "https" or address.is_loopback
    assert not address.is_inside

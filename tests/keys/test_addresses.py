"""A URL leads to one host for every reader, and never inside a network unasked."""

from __future__ import annotations

import pytest

from extauthz.keys.addresses import Address, BadAddress, check_scheme


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://idp.example.com/keys", Address("https", "idp.example.com", 443)),
        ("HTTPS://IDP.Example.COM./keys?a=b", Address("https", "idp.example.com", 443)),
        ("http://localhost:8080", Address("http", "localhost", 8080)),
        ("https://[::1]:8443/keys", Address("https", "::1", 8443)),
        ("https://192.0.2.7?x", Address("https", "192.0.2.7", 443)),
        ("https://my_idp/a%20b;c/~d", Address("https", "my_idp", 443)),
    ],
)
def test_a_plain_url_is_read(url: str, address: Address) -> None:
    assert Address.of(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "idp.example.com",
        "ftp://idp/",
        "file:///etc/passwd",
        "gopher://idp/",
        "https://",
        "https:///keys",
        "https://issuer@evil.example/",
        "https://a:b@evil.example/",
        "https://idp\\@evil.example/",
        "https://idp/#x",
        "https://idp/a b",
        "https://idp/\n",
        "https://idp/é",
        "https://іdp/",
        "https://idp:/",
        "https://idp:0/",
        "https://idp:65536/",
        "https://idp:99999999/",
        "https://[::1/",
        "https://[x]/",
        "https://%31/",
        " https://idp/",
        "https://-idp/",
        "//idp/keys",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.0.0.1.1/",
        "https://1.2.3.999/",
        "https://a.0x7f/",
        "https://[::ffff:1.2.3.4.5]/",
    ],
)
def test_any_other_spelling_is_refused(url: str) -> None:
    with pytest.raises(BadAddress):
        Address.of(url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104  nobody binds here
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[::ffff:8.8.8.8]",
        "[::8.8.8.8]",
        "[2002:808:808::1]",
        "[64:ff9b::808:808]",
        "[2001:0:1::1]",
        "[2001:db8::1]",
        "localhost",
        "keys.localhost",
        "LOCALHOST.",
    ],
)
def test_addresses_that_only_we_can_reach_are_told(host: str) -> None:
    assert Address.of(f"https://{host}/").is_inside


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "[2606:4700::1111]", "idp.example.com", "localhost.me"]
)
def test_public_addresses_and_names_are_not_inside(host: str) -> None:
    assert not Address.of(f"https://{host}/").is_inside


@pytest.mark.requirement("M19", "R31")
@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://idp.example.com/", True),
        ("http://127.0.0.1:80/", True),
        ("http://127.8.8.8/", True),
        ("http://[::1]/", True),
        ("http://localhost/", True),
        ("http://keycloak:8080/", True),
        ("http://keycloak.evil/", False),
        ("http://idp.example.com/", False),
        ("http://10.0.0.1/", False),
        ("http://a.localhost/", False),
        ("http://[::ffff:127.0.0.1]/", False),
    ],
)
def test_plain_http_is_for_loopback_and_hosts_allowed_by_name(url: str, allowed: bool) -> None:
    address = Address.of(url)
    if allowed:
        check_scheme(address, {"keycloak"})
    else:
        with pytest.raises(BadAddress, match="allow_http_hosts"):
            check_scheme(address, {"keycloak"})

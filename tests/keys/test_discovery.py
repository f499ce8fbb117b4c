"""Keys are found by the issuer's own metadata, and by nobody else's."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from extauthz.keys.discovery import Discovered, IssuerMismatch, discover, metadata_urls
from extauthz.keys.fetch import Fetched, FetchError
from extauthz.keys.source import IssuerSource

from .fake_issuer import ISSUER, JWKS_URI, METADATA_URL, FakeIssuer, metadata
from .fake_time import FakeTime

HOST = "https://idp.example.com"
OAUTH_URL = HOST + "/.well-known/oauth-authorization-server/realms/acme"
INSERTED_URL = HOST + "/.well-known/openid-configuration/realms/acme"
APPENDED_URL = ISSUER + "/.well-known/oauth-authorization-server"
FORMS = (METADATA_URL, OAUTH_URL, INSERTED_URL, APPENDED_URL)


@pytest.fixture
def idp() -> FakeIssuer:
    return FakeIssuer(FakeTime())


async def find(idp: FakeIssuer, **members: Any) -> Discovered:
    source = IssuerSource(**{"name": "corp", "issuer": ISSUER, **members})
    return await discover(source, idp.fetch)


async def refused(idp: FakeIssuer, match: str, **members: Any) -> FetchError:
    with pytest.raises(FetchError, match=match) as caught:
        await find(idp, **members)
    return caught.value


@pytest.mark.requirement("R29")
def test_the_order_of_addresses_is_as_documented() -> None:
    assert metadata_urls(ISSUER, "auto") == FORMS
    assert metadata_urls(ISSUER, "oidc") == (METADATA_URL, INSERTED_URL)
    assert metadata_urls(ISSUER, "oauth") == (OAUTH_URL, APPENDED_URL)
    assert metadata_urls(ISSUER, "off") == ()


@pytest.mark.parametrize("issuer", [HOST, HOST + "/"])
def test_an_issuer_without_a_path_has_each_form_once(issuer: str) -> None:
    oidc = HOST + "/.well-known/openid-configuration"
    oauth = HOST + "/.well-known/oauth-authorization-server"
    assert metadata_urls(issuer, "auto") == (oidc, oauth)
    assert metadata_urls(issuer, "oidc") == (oidc,)
    assert metadata_urls(issuer, "oauth") == (oauth,)


def test_a_final_slash_of_the_issuer_is_not_doubled() -> None:
    """Auth0 and authentik end their issuers with one."""
    assert metadata_urls(ISSUER + "/", "auto") == metadata_urls(ISSUER, "auto")


@pytest.mark.requirement("R29")
@pytest.mark.parametrize("url", FORMS)
async def test_each_form_is_found(idp: FakeIssuer, url: str) -> None:
    idp.pages[url] = metadata(code_challenge_methods_supported=["S256"])
    found = await find(idp)
    assert (found.jwks_uri, found.url) == (JWKS_URI, url)
    assert found.metadata["code_challenge_methods_supported"] == ["S256"]


async def test_the_first_form_that_is_found_is_enough(idp: FakeIssuer) -> None:
    idp.pages = {url: metadata() for url in FORMS}
    await find(idp)
    assert [asked.url for asked in idp.asked] == [METADATA_URL]


async def test_a_mode_asks_for_no_other_form(idp: FakeIssuer) -> None:
    idp.pages[OAUTH_URL] = metadata()
    assert (await find(idp, discovery="oauth")).url == OAUTH_URL
    await refused(idp, "no metadata", discovery="oidc")
    idp.asked.clear()
    await refused(idp, "discovery is off: set jwks_uri", discovery="off")
    assert idp.asked == []


async def test_a_named_address_is_the_only_one_asked(idp: FakeIssuer) -> None:
    url = "https://other.example.com/metadata"
    idp.pages = {url: metadata(), METADATA_URL: metadata(jwks_uri="https://wrong.example")}
    assert (await find(idp, well_known_url=url)).jwks_uri == JWKS_URI
    idp.pages[url] = metadata(issuer="https://other.example.com")
    await refused(idp, "byte for byte", well_known_url=url)
    assert {asked.url for asked in idp.asked} == {url}


@pytest.mark.requirement("R30")
@pytest.mark.parametrize(
    "issuer",
    [ISSUER + "/", ISSUER.upper(), "https://evil.example", HOST, "", None, 5, [ISSUER], {}],
)
async def test_another_issuers_metadata_is_never_used(idp: FakeIssuer, issuer: Any) -> None:
    """RFC 8414 section 3.3."""
    page = json.dumps({"issuer": issuer, "jwks_uri": JWKS_URI}).encode()
    idp.pages = {METADATA_URL: page, OAUTH_URL: page}
    assert isinstance(await refused(idp, "its issuer is"), IssuerMismatch)
    idp.pages[METADATA_URL] = b'{"jwks_uri": "https://idp.example.com/keys"}'
    await refused(idp, "its issuer is missing")


async def test_a_wrong_answer_at_one_form_does_not_end_the_search(idp: FakeIssuer) -> None:
    idp.pages = {
        METADATA_URL: metadata(issuer="https://someone.else"),
        OAUTH_URL: b"<html>not found</html>",
        INSERTED_URL: metadata(),
    }
    assert (await find(idp)).url == INSERTED_URL


async def test_a_host_that_does_not_answer_is_asked_once(idp: FakeIssuer) -> None:
    idp.fail(METADATA_URL, "connection refused")
    idp.pages[OAUTH_URL] = metadata()
    await refused(idp, "connection refused")
    assert len(idp.asked) == 1


async def test_when_nothing_is_found_every_attempt_and_the_way_out_are_told(
    idp: FakeIssuer,
) -> None:
    idp.fail(METADATA_URL, "status 503", answered=True, retry_after=20.0)
    idp.pages[OAUTH_URL] = b"[]"
    found = await refused(idp, "status 503.*not a JSON object.*status 404.*set jwks_uri")
    assert found.retry_after == 20.0
    assert not isinstance(found, IssuerMismatch)


@pytest.mark.parametrize(
    "page",
    [b"", b"null", b"x", b'{"issuer": 1, "issuer": 2}', metadata()[:-1], b"\xff", metadata() * 2],
)
async def test_an_unusable_document_is_not_used(idp: FakeIssuer, page: bytes) -> None:
    idp.pages[METADATA_URL] = page
    await refused(idp, "no metadata")


async def test_others_have_their_turn_while_a_long_document_is_read(idp: FakeIssuer) -> None:
    idp.pages[METADATA_URL] = metadata(other="x" * 70_000)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    await asyncio.sleep(0)
    before = turns
    assert (await find(idp)).jwks_uri == JWKS_URI
    task.cancel()
    assert turns > before


async def test_an_issuer_that_calls_itself_otherwise_is_told_and_nothing_beside_it(
    idp: FakeIssuer,
) -> None:
    """What mends it is the issuer, not a jwks_uri, whatever the other forms of URL answer."""
    idp.pages[METADATA_URL] = idp.pages[OAUTH_URL] = metadata(issuer=ISSUER + "/")
    found = await refused(idp, f"its issuer is '{ISSUER}/' where '{ISSUER}' is configured")
    assert isinstance(found, IssuerMismatch)
    assert str(found).count("byte for byte") == 1
    assert "write it as the issuer does, if its tokens do too" in str(found)
    assert "jwks_uri" not in str(found)
    assert "404" not in str(found)


async def test_a_template_may_stand_in_for_the_issuer(idp: FakeIssuer) -> None:
    """Entra ID's metadata for many tenants names one."""
    template = "https://login.example.com/{tenantid}/v2.0"
    idp.pages[METADATA_URL] = metadata(issuer=template)
    await refused(idp, "byte for byte")
    assert (await find(idp, issuer_templates=(template,))).metadata["issuer"] == template
    await refused(idp, "byte for byte", issuer_templates=("https://login.example.com/{tid}/v2.0",))


@pytest.mark.parametrize(
    "issuer", ["accounts.google.com", "stytch.com/project", "urn:x", "https://u@idp", "https://i#f"]
)
async def test_an_issuer_that_is_no_url_needs_an_address(idp: FakeIssuer, issuer: str) -> None:
    await refused(idp, "set jwks_uri", issuer=issuer)
    assert idp.asked == []


async def test_an_issuer_with_a_query_has_no_metadata(idp: FakeIssuer) -> None:
    await refused(idp, "query", issuer=HOST + "/?realm=acme")


@pytest.mark.parametrize("jwks_uri", [None, 5, ["https://idp.example.com/keys"], {}])
async def test_metadata_without_a_jwks_uri_says_so(idp: FakeIssuer, jwks_uri: Any) -> None:
    idp.pages[METADATA_URL] = metadata(jwks_uri=jwks_uri)
    await refused(idp, "names no jwks_uri; set jwks_uri yourself")


class TestWhereKeysMayBe:
    async def check(self, idp: FakeIssuer, jwks_uri: str, used: bool, **members: Any) -> None:
        issuer = members.get("issuer", ISSUER)
        url = issuer + "/.well-known/openid-configuration"
        idp.pages = {url: metadata(issuer=issuer, jwks_uri=jwks_uri)}
        if used:
            assert (await find(idp, **members)).jwks_uri == jwks_uri
        else:
            found = await refused(idp, "its jwks_uri is not used", **members)
            assert isinstance(found, IssuerMismatch)

    @pytest.mark.parametrize(
        ("jwks_uri", "used"),
        [
            ("https://idp.example.com:8443/keys", True),
            ("https://www.googleapis.example/oauth2/v3/certs", True),
            ("https://8.8.8.8/keys", True),
            ("http://idp.example.com/keys", False),
            ("http://localhost/keys", False),
            ("https://localhost/keys", False),
            ("https://127.0.0.1/keys", False),
            ("https://10.0.0.1/keys", False),
            ("https://169.254.169.254/latest", False),
            ("https://[::1]/keys", False),
            ("https://[::ffff:10.0.0.1]/keys", False),
            ("https://[64:ff9b::a00:1]/keys", False),
            ("https://2130706433/keys", False),
            ("file:///etc/passwd", False),
            ("https://idp.example.com@evil.example/keys", False),
            ("", False),
        ],
    )
    async def test_of_a_public_issuer(self, idp: FakeIssuer, jwks_uri: str, used: bool) -> None:
        await self.check(idp, jwks_uri, used)

    @pytest.mark.parametrize(
        ("jwks_uri", "used"),
        [
            ("http://127.0.0.1:9000/keys", True),
            ("http://localhost:9001/keys", True),
            ("http://[::1]/keys", True),
            ("https://10.0.0.1/keys", True),
            ("https://idp.example.com/keys", True),
            ("http://10.0.0.1/keys", False),
            ("http://idp.example.com/keys", False),
        ],
    )
    async def test_of_an_issuer_on_loopback(
        self, idp: FakeIssuer, jwks_uri: str, used: bool
    ) -> None:
        await self.check(idp, jwks_uri, used, issuer="http://127.0.0.1:9000")

    @pytest.mark.parametrize(
        ("issuer", "jwks_uri", "used"),
        [
            ("http://keycloak:8080/realms/a", "http://keycloak:8080/keys", True),
            ("http://keycloak:8080/realms/a", "http://10.0.0.1/keys", False),
            ("http://keycloak:8080/realms/a", "https://10.0.0.1/keys", True),
            (ISSUER, "http://keycloak:8080/keys", True),
            (ISSUER, "http://other:8080/keys", False),
        ],
    )
    async def test_with_hosts_allowed_by_name(
        self, idp: FakeIssuer, issuer: str, jwks_uri: str, used: bool
    ) -> None:
        allowed = frozenset({"keycloak"})
        await self.check(idp, jwks_uri, used, issuer=issuer, allow_http_hosts=allowed)


async def test_the_answer_of_a_stranger_is_shown_escaped_and_cut(idp: FakeIssuer) -> None:
    idp.pages[METADATA_URL] = Fetched(body=metadata(issuer="x\n\u202e" + "y" * 10_000))
    found = await refused(idp, "its issuer is")
    assert str(found).isascii()
    assert "\n" not in str(found)
    assert len(str(found)) < 1500

"""One attempt ends with usable keys, in time, or with a reason."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from extauthz.keys.fetch import Fetched, FetchError, FetchLimits
from extauthz.keys.load import Loaded, load_keys
from extauthz.keys.source import IssuerSource

from .fake_issuer import ISSUER, JWKS_URI, METADATA_URL, FakeIssuer, document, metadata
from .fake_time import FakeTime
from .fetching import BODY
from .issuer_keys import jwk, rsa_key
from .rough_server import RoughServer, answer, hang


@pytest.fixture
def idp() -> FakeIssuer:
    made = FakeIssuer(FakeTime())
    made.pages[METADATA_URL] = metadata()
    made.publish("a")
    return made


def source(**members: Any) -> IssuerSource:
    return IssuerSource(**{"name": "corp", "issuer": ISSUER, **members})


def kids(loaded: Loaded) -> list[str | None]:
    return [key.kid for key in loaded.key_set.keys]


async def test_discovery_leads_to_keys(idp: FakeIssuer) -> None:
    loaded = await load_keys(source(), fetcher=idp.fetch)
    assert kids(loaded) == ["a"]
    assert loaded.jwks_uri == JWKS_URI
    assert loaded.metadata is not None
    assert loaded.metadata["issuer"] == ISSUER


async def test_a_name_that_clients_will_not_find_in_the_metadata_is_noted(
    idp: FakeIssuer,
) -> None:
    idp.pages[METADATA_URL] = metadata(issuer=ISSUER + "/")
    made = source(issuer_templates=(ISSUER + "/",))
    loaded = await load_keys(made, fetcher=idp.fetch)
    assert f"its metadata says '{ISSUER}/' where '{ISSUER}' is advertised" in loaded.note
    again = await load_keys(made, loaded, fetcher=idp.fetch, rediscover=False)
    assert again.note == loaded.note


@pytest.mark.parametrize(
    ("named", "advertised"),
    [
        (ISSUER, None),
        ("https://idp.example.com/{tenantid}/v2.0", None),
        (ISSUER + "/", ISSUER + "/"),
        # Inside a cluster; at the public address the same issuer may name that.
        (ISSUER, "https://public.example.com/realms/acme"),
    ],
)
async def test_a_name_that_clients_may_well_find_is_not_noted(
    idp: FakeIssuer, named: str, advertised: str | None
) -> None:
    idp.pages[METADATA_URL] = metadata(issuer=named)
    made = source(issuer_templates=(named,), advertised=advertised)
    assert (await load_keys(made, fetcher=idp.fetch)).note == ""


async def test_a_given_address_needs_no_discovery(idp: FakeIssuer) -> None:
    loaded = await load_keys(source(jwks_uri=JWKS_URI, discovery="off"), fetcher=idp.fetch)
    assert kids(loaded) == ["a"]
    assert loaded.metadata is None
    assert [asked.url for asked in idp.asked] == [JWKS_URI]


async def test_asked_for_a_new_key_the_known_address_is_used_at_once(idp: FakeIssuer) -> None:
    known = await load_keys(source(), fetcher=idp.fetch)
    idp.asked.clear()
    idp.publish("b")
    loaded = await load_keys(source(), known, fetcher=idp.fetch, rediscover=False)
    assert kids(loaded) == ["b"]
    assert loaded.metadata is known.metadata
    assert [asked.url for asked in idp.asked] == [JWKS_URI]


async def test_while_metadata_cannot_be_had_the_last_known_address_is_used(
    idp: FakeIssuer,
) -> None:
    known = await load_keys(source(), fetcher=idp.fetch)
    idp.fail(METADATA_URL, "status 500", answered=True)
    idp.publish("b")
    loaded = await load_keys(source(), known, fetcher=idp.fetch)
    assert kids(loaded) == ["b"]
    assert "status 500" in loaded.note
    with pytest.raises(FetchError, match="status 500"):
        await load_keys(source(), fetcher=idp.fetch)


async def test_metadata_that_contradicts_the_settings_ends_the_attempt(idp: FakeIssuer) -> None:
    known = await load_keys(source(), fetcher=idp.fetch)
    idp.pages[METADATA_URL] = metadata(issuer="https://evil.example")
    with pytest.raises(FetchError, match="byte for byte"):
        await load_keys(source(), known, fetcher=idp.fetch)


async def test_metadata_that_hangs_leaves_half_the_time_for_keys(idp: FakeIssuer) -> None:
    known = await load_keys(source(), fetcher=idp.fetch)

    async def slow(url: str, limits: FetchLimits, *, etag: str | None = None) -> Fetched:
        if url == METADATA_URL:
            await asyncio.Event().wait()
        return await idp.fetch(url, limits, etag=etag)

    loaded = await load_keys(source(timeout=1.0), known, fetcher=slow)
    assert "took too long" in loaded.note
    with pytest.raises(
        FetchError, match=r"acme/\.well-known/openid-configuration: no complete answer .* 0\.1 s"
    ):
        await load_keys(source(timeout=0.1), fetcher=slow)


async def test_an_entity_tag_is_offered_only_where_it_came_from(idp: FakeIssuer) -> None:
    idp.publish("a", etag='"1"')
    known = await load_keys(source(), fetcher=idp.fetch)
    await load_keys(source(), known, fetcher=idp.fetch)
    assert idp.asked[-1].etag == '"1"'
    idp.pages[METADATA_URL] = metadata(jwks_uri=JWKS_URI + "2")
    idp.publish("a", url=JWKS_URI + "2")
    await load_keys(source(), known, fetcher=idp.fetch)
    assert idp.asked[-1].etag is None


async def test_one_deadline_covers_discovery_and_keys(server: RoughServer) -> None:
    server.pages["/.well-known/openid-configuration"] = answer(
        metadata(issuer=server.origin, jwks_uri=server.origin + "/keys")
    )
    server.pages["/keys"] = hang
    started = asyncio.get_running_loop().time()
    with pytest.raises(FetchError, match="/keys: no complete answer"):
        await load_keys(source(issuer=server.origin, timeout=0.5))
    assert asyncio.get_running_loop().time() - started < 2.0
    server.pages["/keys"] = answer(document("a"))
    assert kids(await load_keys(source(issuer=server.origin))) == ["a"]


@pytest.mark.parametrize(
    "page", [b"", b"null", BODY, metadata(), b'{"keys": [{"kty": "oct", "k": "AA"}]}']
)
async def test_a_document_without_a_usable_key_is_a_failure(idp: FakeIssuer, page: bytes) -> None:
    idp.pages[JWKS_URI] = page
    with pytest.raises(FetchError, match=r"^https://idp\.example\.com/keys: ") as caught:
        await load_keys(source(), fetcher=idp.fetch)
    assert caught.value.answered


async def test_a_web_page_is_called_one(idp: FakeIssuer) -> None:
    idp.pages[JWKS_URI] = Fetched(body=b"<html>s3cret</html>", is_html=True)
    with pytest.raises(FetchError, match="it is a web page: check the address") as caught:
        await load_keys(source(), fetcher=idp.fetch)
    assert "s3cret" not in str(caught.value)


async def test_a_large_set_is_read_beside_the_loop(idp: FakeIssuer) -> None:
    """While 1,000 keys are read, others go on."""
    members = [jwk(rsa_key(), kid=str(number)) for number in range(1000)]
    idp.pages[JWKS_URI] = json.dumps({"keys": members}).encode()
    loading = asyncio.create_task(load_keys(source(), fetcher=idp.fetch))
    turns = 0
    while not loading.done():
        await asyncio.sleep(0)
        turns += 1
    assert len((await loading).key_set.keys) == 1000
    assert turns > 10
    idp.pages[JWKS_URI] = json.dumps({"keys": members + members}).encode()
    with pytest.raises(FetchError, match="2000 keys; at most 1000"):
        await load_keys(source(), fetcher=idp.fetch)


class TestFiles:
    def write(self, tmp_path: Path, content: bytes) -> str:
        path = tmp_path / "keys.json"
        path.write_bytes(content)
        return str(path)

    async def test_keys_come_from_the_file_and_from_nowhere_else(
        self, idp: FakeIssuer, tmp_path: Path
    ) -> None:
        path = self.write(tmp_path, document("file"))
        loaded = await load_keys(source(jwks_file=path, jwks_uri=JWKS_URI), fetcher=idp.fetch)
        assert kids(loaded) == ["file"]
        assert idp.asked == []
        assert await load_keys(source(jwks_file=path), loaded) is loaded
        self.write(tmp_path, document("new"))
        assert kids(await load_keys(source(jwks_file=path), loaded)) == ["new"]

    async def test_a_file_as_large_as_allowed_and_one_byte_larger(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, document("a").ljust(1000))
        assert kids(await load_keys(source(jwks_file=path, max_bytes=1000))) == ["a"]
        with pytest.raises(FetchError, match=f"jwks_file {path}: larger than 999 bytes"):
            await load_keys(source(jwks_file=path, max_bytes=999))

    async def test_what_is_wrong_with_a_file_is_told(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, b"{}")
        with pytest.raises(FetchError, match=f"jwks_file {path}: not a JWK set"):
            await load_keys(source(jwks_file=path))
        for missing in (tmp_path, tmp_path / "none.json", tmp_path / "keys.json" / "x"):
            with pytest.raises(FetchError, match=f"jwks_file {missing}: no such file"):
                await load_keys(source(jwks_file=str(missing)))

    async def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(FetchError, match="no such file"):
            await load_keys(source(jwks_file=str(tmp_path / "pipe")))

"""Issuers come, stay and go without harm to one another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from extauthz.core.model import Reason
from extauthz.keys.refresher import Refresher
from extauthz.keys.store import KeyStore

from .desk import Desk, kids, status
from .fake_issuer import ISSUER, JWKS_URI
from .fake_time import settle

OTHER_URI = "https://other.example/keys"


async def test_the_view_of_the_keys_is_live_and_cannot_be_changed(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    view = store.snapshot()
    desk.issuer.publish("b")
    await store.refresh_now()
    assert view["corp"].has("b")
    assert view is store.snapshot()
    with pytest.raises(TypeError):
        view["corp"] = view["corp"]  # type: ignore[index]


async def test_first_attempts_are_waited_for_however_they_end(desk: Desk) -> None:
    desk.issuer.publish("a")
    desk.issuer.fail(OTHER_URI)
    desk.issuer.gate.clear()
    store = await desk.open(desk.source(), desk.source("other", jwks_uri=OTHER_URI))
    waiting = asyncio.create_task(store.wait_first_attempts())
    await settle()
    assert not waiting.done()
    assert [one.first_attempt_done for one in store.status()] == [False, False]
    desk.issuer.gate.set()
    await waiting
    assert [one.first_attempt_done for one in store.status()] == [True, True]
    assert [one.usable for one in store.status()] == [True, False]


async def test_the_status_tells_how_the_keys_stand(desk: Desk) -> None:
    desk.issuer.publish("a", "b")
    store = await desk.open()
    await desk.time.advance(100)
    one = status(store)
    assert (one.name, one.issuer, one.jwks_uri) == ("corp", ISSUER, JWKS_URI)
    assert [(key.kid, key.kty, key.algorithms) for key in one.keys] == [
        ("a", "OKP", ("Ed25519", "EdDSA")),
        ("b", "OKP", ("Ed25519", "EdDSA")),
    ]
    assert one.age_seconds == 100
    assert one.fetched_at == desk.time.wall() - 100
    assert one.next_refresh_at == desk.time.wall() + 500
    assert (one.last_error, one.last_error_at, one.skipped) == (None, None, ())
    desk.issuer.fail(message="status 500")
    await desk.time.advance(500)
    one = status(store)
    assert one.last_error is not None
    assert "status 500" in one.last_error
    assert one.last_error_at == desk.time.wall()
    assert one.usable


async def test_refreshes_are_observed_with_their_duration(desk: Desk) -> None:
    desk.issuer.publish("a")
    desk.issuer.gate.clear()
    store = await desk.open()
    await desk.time.advance(2)
    desk.issuer.gate.set()
    await settle()
    desk.issuer.fail()
    await store.refresh_now()
    assert desk.observed.results == [("corp", "ok", 2.0), ("corp", "failed", 0.0)]


async def test_refresh_now_ignores_the_cooldown_and_shares_an_attempt(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    await asyncio.gather(store.refresh_now(), store.refresh_now())
    assert len(desk.issuer.asked) == 2


async def test_refresh_now_does_not_make_do_with_an_attempt_that_began_before(desk: Desk) -> None:
    """It may bring a key that was withdrawn meanwhile, as one that has leaked is."""
    desk.issuer.publish("leaked", "b")
    store = await desk.open()
    desk.issuer.hold()
    await desk.time.advance(600)
    desk.issuer.publish("b")
    refreshing = asyncio.create_task(store.refresh_now())
    await settle()
    assert len(desk.issuer.asked) == 2
    desk.issuer.gate.set()
    await refreshing
    assert not store.snapshot()["corp"].has("leaked")
    assert len(desk.issuer.asked) == 3


async def test_refresh_now_ends_with_the_store_whatever_it_waits_for(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.gate.clear()
    await desk.time.advance(600)
    refreshing = asyncio.create_task(store.refresh_now())
    await settle()
    await store.aclose()
    async with asyncio.timeout(5):
        await refreshing


async def test_two_issuers_of_one_name_are_refused(desk: Desk) -> None:
    with pytest.raises(ValueError, match="same name"):
        KeyStore([desk.source(), desk.source()])


class TestReplacing:
    async def test_an_unchanged_issuer_keeps_keys_and_schedule(self, desk: Desk) -> None:
        desk.issuer.publish("a")
        store = await desk.open()
        before = store.snapshot()["corp"]
        for _ in range(100):
            await desk.time.advance(1)
            await store.replace([desk.source()])
            await settle()
            assert store.snapshot()["corp"] is before
        assert len(desk.issuer.asked) == 1
        await desk.time.advance(500)
        assert len(desk.issuer.asked) == 2

    @pytest.mark.parametrize(
        "change",
        [
            {"refresh": 60.0},
            {"cooldown": 1.0},
            {"name": "renamed"},
            {"egress_proxy": "http://proxy.example:3128"},
        ],
        ids=str,
    )
    async def test_another_name_timing_or_way_there_keeps_the_keys(
        self, desk: Desk, change: dict[str, Any]
    ) -> None:
        desk.issuer.publish("a")
        store = await desk.open()
        before = store.snapshot()["corp"]
        source = desk.source(**{"name": "corp", **change})
        await store.replace([source])
        assert dict(store.snapshot()) == {source.name: before}
        await settle()
        assert len(desk.issuer.asked) == 1
        await desk.time.advance(source.refresh)
        assert len(desk.issuer.asked) == 2

    async def test_a_shorter_max_stale_counts_at_once(self, desk: Desk) -> None:
        desk.issuer.publish("a")
        store = await desk.open()
        desk.issuer.fail()
        await desk.time.advance(1000)
        await store.replace([desk.source(max_stale=500.0)])
        assert kids(store) is None

    @pytest.mark.parametrize(
        "change",
        [{"jwks_uri": OTHER_URI}, {"issuer": "https://new.example"}, {"ca_file": "/ca.pem"}],
        ids=str,
    )
    async def test_keys_of_other_settings_are_let_go(
        self, desk: Desk, change: dict[str, str]
    ) -> None:
        """What the old address said is no word of the new one."""
        desk.issuer.publish("a")
        desk.issuer.fail(OTHER_URI)
        store = await desk.open()
        desk.issuer.fail()
        await store.replace([desk.source(**change)])
        await settle()
        assert kids(store) is None

    async def test_a_removed_issuer_is_fetched_no_more(self, desk: Desk) -> None:
        desk.issuer.publish("a")
        desk.issuer.publish("b", url=OTHER_URI)
        other = desk.source("other", jwks_uri=OTHER_URI)
        store = await desk.open(desk.source(), other)
        await store.replace([other])
        assert list(store.snapshot()) == ["other"]
        assert await store.find("corp", "a", wait=0.0) is Reason.KEYS_UNAVAILABLE
        await desk.time.advance(6000)
        assert len(desk.issuer.times_asked()) == 1
        assert len(desk.issuer.times_asked(OTHER_URI)) == 11

    async def test_new_issuers_can_be_waited_for_before_anything_changes(self, desk: Desk) -> None:
        desk.issuer.publish("a")
        desk.issuer.publish("b", url=OTHER_URI)
        store = await desk.open()
        desk.issuer.gate.clear()
        replacement = store.prepare([desk.source("other", jwks_uri=OTHER_URI)])
        await replacement.start()
        waiting = asyncio.create_task(replacement.first_attempts())
        await settle()
        assert not waiting.done()
        assert kids(store) == ["a"]
        desk.issuer.gate.set()
        await waiting
        assert list(store.snapshot()) == ["corp"]
        replacement.commit()
        assert list(store.snapshot()) == ["other"]
        assert kids(store, "other") == ["b"]

    async def test_a_replacement_that_is_discarded_leaves_nothing_behind(self, desk: Desk) -> None:
        desk.issuer.publish("a")
        desk.issuer.publish("b", url=OTHER_URI)
        store = await desk.open()
        replacement = store.prepare([desk.source(), desk.source("other", jwks_uri=OTHER_URI)])
        await replacement.start()
        replacement.discard()
        await desk.time.advance(6000)
        assert kids(store) == ["a"]
        assert desk.issuer.times_asked(OTHER_URI) == []
        assert len(desk.issuer.times_asked()) == 11

    async def test_who_waits_for_a_replaced_issuer_is_not_told_that_its_key_is_unknown(
        self, desk: Desk
    ) -> None:
        """Its key may well exist: 503, not 401."""
        desk.issuer.publish("a")
        store = await desk.open()
        desk.issuer.gate.clear()
        waiting = asyncio.create_task(store.find("corp", "b", wait=5.0))
        await settle()
        await store.replace([desk.source(jwks_uri=OTHER_URI)])
        assert await waiting is Reason.KEYS_UNAVAILABLE

    @pytest.mark.parametrize("change", [{"jwks_uri": OTHER_URI}, {"cooldown": 60.0}])
    async def test_who_waits_for_a_key_during_a_reload_has_it_from_the_source_in_force_then(
        self, desk: Desk, change: dict[str, Any]
    ) -> None:
        desk.issuer.publish("a")
        store = await desk.open()
        desk.issuer.publish("b")
        desk.issuer.publish("b", url=OTHER_URI)
        desk.issuer.gate.clear()
        waiting = asyncio.create_task(store.find("corp", "b", wait=0.25))
        await settle()
        await store.replace([desk.source(**change)])
        desk.issuer.gate.set()
        assert await waiting is None

    async def test_who_waits_for_a_key_of_an_issuer_that_a_reload_removes_is_answered(
        self, desk: Desk
    ) -> None:
        desk.issuer.publish("a")
        store = await desk.open()
        desk.issuer.gate.clear()
        waiting = asyncio.create_task(store.find("corp", "b", wait=0.25))
        await settle()
        await store.replace([])
        assert await waiting is Reason.KEYS_UNAVAILABLE

    async def test_a_reload_does_not_let_a_request_wait_twice(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ends: list[float] = []
        find = Refresher.find

        async def noted(refresher: Refresher, kid: str | None, until: float) -> Reason | None:
            ends.append(until)
            return await find(refresher, kid, until)

        monkeypatch.setattr(Refresher, "find", noted)
        desk.issuer.publish("a")
        store = await desk.open()
        desk.issuer.gate.clear()
        waiting = asyncio.create_task(store.find("corp", "b", wait=5.0))
        await settle()
        await store.replace([desk.source(cooldown=60.0)])
        assert await waiting is Reason.KEYS_UNAVAILABLE
        first, second = ends
        assert second == first

    async def test_an_issuer_gone_and_back_begins_anew(self, desk: Desk) -> None:
        desk.issuer.publish("a")
        store = await desk.open()
        await store.replace([])
        assert dict(store.snapshot()) == {}
        await store.replace([desk.source()])
        await settle()
        assert kids(store) == ["a"]
        assert len(desk.issuer.asked) == 2

    async def test_two_of_one_name_are_refused_and_change_nothing(self, desk: Desk) -> None:
        desk.issuer.publish("a")
        store = await desk.open()
        with pytest.raises(ValueError, match="same name"):
            await store.replace([desk.source(), desk.source(jwks_uri=OTHER_URI)])
        assert kids(store) == ["a"]

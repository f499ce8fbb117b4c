"""A key id not seen before causes one shared refresh, and no outsider can cause more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from extauthz.core.model import Reason
from extauthz.keys.refresher import MAX_UNKNOWN_KIDS
from extauthz.keys.store import KeyStore

from .desk import Desk, kids
from .fake_time import settle

WAIT = 0.2


async def test_a_key_that_is_held_is_there_at_once(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    assert await store.find("corp", "a", wait=WAIT) is None
    assert await store.find("corp", None, wait=WAIT) is None
    assert len(desk.issuer.asked) == 1


async def test_a_rotated_key_works_with_its_first_token(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.publish("b")
    assert await store.find("corp", "b", wait=WAIT) is None
    assert kids(store) == ["b"]


async def test_an_unknown_key_is_refused_after_one_refresh(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    for _ in range(5):
        assert await store.find("corp", "x", wait=WAIT) is Reason.UNKNOWN_KEY
        assert await store.find("corp", "y", wait=WAIT) is Reason.UNKNOWN_KEY
    assert len(desk.issuer.asked) == 2


async def test_all_who_wait_share_one_refresh(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.publish("a", "b")
    desk.issuer.gate.clear()
    waiting = [
        asyncio.create_task(store.find("corp", kid, wait=WAIT)) for kid in ["b"] * 50 + ["x"] * 50
    ]
    await settle()
    desk.issuer.gate.set()
    assert await asyncio.gather(*waiting) == [None] * 50 + [Reason.UNKNOWN_KEY] * 50
    assert len(desk.issuer.asked) == 2


async def rotated_during_a_fetch(desk: Desk) -> KeyStore:
    """A scheduled fetch is under way, and the issuer rotates after it has answered."""
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.hold()
    await desk.time.advance(600)
    desk.issuer.publish("b")
    return store


@pytest.mark.requirement("R51")
async def test_a_key_is_looked_for_again_after_an_answer_that_may_be_older_than_it(
    desk: Desk,
) -> None:
    store = await rotated_during_a_fetch(desk)
    kids_asked_for = ["b", "b", "x", "y"]
    waiting = [asyncio.create_task(store.find("corp", kid, wait=WAIT)) for kid in kids_asked_for]
    await settle()
    desk.issuer.gate.set()
    unknown = Reason.UNKNOWN_KEY
    assert await asyncio.gather(*waiting) == [None, None, unknown, unknown]
    assert desk.issuer.times_asked() == [5000, 5600, 5600]
    # All that were made up have had their one fetch.
    for kid in ("x", "z"):
        assert await store.find("corp", kid, wait=WAIT) is unknown
    assert len(desk.issuer.asked) == 3


async def test_who_has_no_time_left_after_an_older_answer_leaves_the_fetch_to_the_next(
    desk: Desk,
) -> None:
    store = await rotated_during_a_fetch(desk)
    waiting = asyncio.create_task(store.find("corp", "b", wait=WAIT))
    await settle()
    desk.issuer.gate.set()
    desk.issuer.hold()
    assert await waiting is Reason.KEYS_UNAVAILABLE
    desk.issuer.gate.set()
    assert await store.find("corp", "b", wait=WAIT) is None
    assert desk.issuer.times_asked() == [5000, 5600, 5600]


async def test_an_answer_that_may_be_older_than_a_key_does_not_lift_the_cooldown(
    desk: Desk,
) -> None:
    """Nor does it make the key wait longer than that."""
    desk.issuer.publish("a")
    store = await desk.open()
    await desk.time.advance(595)
    assert await store.find("corp", "x", wait=WAIT) is Reason.UNKNOWN_KEY
    await desk.time.advance(5)
    desk.issuer.hold()
    refreshing = asyncio.create_task(store.refresh_now())
    await settle()
    desk.issuer.publish("b")
    waiting = asyncio.create_task(store.find("corp", "b", wait=WAIT))
    await settle()
    desk.issuer.gate.set()
    assert await waiting is Reason.UNKNOWN_KEY
    await refreshing
    asked = len(desk.issuer.asked)
    await desk.time.advance(4.9)
    assert await store.find("corp", "b", wait=WAIT) is Reason.UNKNOWN_KEY
    assert len(desk.issuer.asked) == asked
    await desk.time.advance(0.1)
    assert await store.find("corp", "b", wait=WAIT) is None


async def test_an_issuer_that_just_failed_is_not_asked_again_by_those_who_waited(
    desk: Desk,
) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.fail()
    desk.issuer.hold()
    await desk.time.advance(600)
    waiting = asyncio.create_task(store.find("corp", "b", wait=WAIT))
    await settle()
    desk.issuer.gate.set()
    assert await waiting is Reason.KEYS_UNAVAILABLE
    assert len(desk.issuer.asked) == 2


async def test_a_request_waits_no_longer_than_it_can_while_the_fetch_goes_on(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.publish("b")
    desk.issuer.gate.clear()
    assert await store.find("corp", "b", wait=0.01) is Reason.KEYS_UNAVAILABLE
    assert await store.find("corp", "b", wait=0.0) is Reason.KEYS_UNAVAILABLE
    assert await store.find("corp", "b", wait=-1.0) is Reason.KEYS_UNAVAILABLE
    assert kids(store) == ["a"]
    desk.issuer.gate.set()
    await settle()
    assert await store.find("corp", "b", wait=0.0) is None
    assert len(desk.issuer.asked) == 2


async def test_a_request_never_waits_longer_than_a_quarter_of_a_second(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.gate.clear()
    started = asyncio.get_running_loop().time()
    assert await store.find("corp", "b", wait=30.0) is Reason.KEYS_UNAVAILABLE
    assert 0.2 < asyncio.get_running_loop().time() - started < 5.0


async def test_when_the_last_attempt_failed_the_keys_are_unavailable(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.fail()
    assert await store.find("corp", "b", wait=WAIT) is Reason.KEYS_UNAVAILABLE
    assert await store.find("corp", "c", wait=WAIT) is Reason.KEYS_UNAVAILABLE
    assert await store.find("corp", "a", wait=WAIT) is None
    assert len(desk.issuer.asked) == 2


async def test_an_issuer_that_never_had_keys_is_asked_and_unavailable(desk: Desk) -> None:
    desk.issuer.fail()
    store = await desk.open()
    for kid in ("a", None):
        assert await store.find("corp", kid, wait=WAIT) is Reason.KEYS_UNAVAILABLE
    assert len(desk.issuer.asked) == 2
    desk.issuer.publish("a")
    await desk.time.advance(9.9)
    asked = len(desk.issuer.asked)
    await desk.time.advance(0.1)
    assert await store.find("corp", "a", wait=WAIT) is None
    assert len(desk.issuer.asked) == asked


async def test_a_token_without_key_id_waits_for_the_first_keys(desk: Desk) -> None:
    desk.issuer.publish("a")
    desk.issuer.gate.clear()
    store = await desk.open()
    waiting = asyncio.create_task(store.find("corp", None, wait=WAIT))
    await settle()
    desk.issuer.gate.set()
    assert await waiting is None


async def test_keys_too_old_to_use_are_unavailable(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open(desk.source(max_stale=700.0))
    desk.issuer.fail()
    await desk.time.advance(699)
    assert await store.find("corp", "a", wait=WAIT) is None
    await desk.time.advance(1)
    assert await store.find("corp", "a", wait=WAIT) is Reason.KEYS_UNAVAILABLE


async def test_an_issuer_not_configured_is_unavailable(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    assert await store.find("other", "a", wait=WAIT) is Reason.KEYS_UNAVAILABLE
    assert len(desk.issuer.asked) == 1


async def test_the_cooldown_has_two_sides(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    await store.find("corp", "x", wait=WAIT)
    desk.issuer.publish("a", "b")
    await desk.time.advance(9.9)
    assert await store.find("corp", "b", wait=WAIT) is Reason.UNKNOWN_KEY
    await desk.time.advance(0.1)
    assert await store.find("corp", "b", wait=WAIT) is None
    assert len(desk.issuer.asked) == 3


async def test_a_scheduled_refresh_does_not_start_the_cooldown(desk: Desk) -> None:
    """A rotation just after one is as quick as any other."""
    desk.issuer.publish("a")
    store = await desk.open()
    await desk.time.advance(600)
    desk.issuer.publish("b")
    assert await store.find("corp", "b", wait=WAIT) is None
    assert desk.issuer.times_asked() == [5000, 5600, 5600]


async def test_the_scheduled_refresh_goes_on_under_a_flood(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open(desk.source(cooldown=100000.0))
    await store.find("corp", "x", wait=WAIT)
    desk.issuer.publish("b")
    for second in range(600):
        await store.find("corp", f"x{second}", wait=WAIT)
        await desk.time.advance(1)
    assert kids(store) == ["b"]


@pytest.mark.requirement("R51")
async def test_a_flood_of_made_up_ids_causes_one_fetch_per_cooldown_at_most(desk: Desk) -> None:
    """R6: fetches <= 1 + duration / cooldown, beside the scheduled ones."""
    desk.issuer.publish("a")
    store = await desk.open()
    for tick in range(600):
        for number in range(20):
            found = await store.find("corp", f"{tick}-{number}", wait=WAIT)
            assert found is Reason.UNKNOWN_KEY
        await desk.time.advance(0.1)
    assert len(desk.issuer.asked) <= 1 + 1 + 60 / 10


async def test_a_flood_while_the_issuer_is_down_is_bounded_too(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.fail()
    for tick in range(600):
        assert await store.find("corp", f"{tick}", wait=WAIT) is Reason.KEYS_UNAVAILABLE
        await desk.time.advance(0.1)
    # Six for the flood, as many again for backing off, which is there without a flood.
    assert len(desk.issuer.asked) <= 1 + 1 + 6 + 7


@pytest.mark.parametrize(("retry_after", "pause"), [(120.0, 120.0), (1e9, 600.0)])
async def test_made_up_ids_do_not_shorten_the_pause_that_an_issuer_asks_for(
    desk: Desk, retry_after: float, pause: float
) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.fail(answered=True, retry_after=retry_after)
    assert await store.find("corp", "x", wait=WAIT) is Reason.KEYS_UNAVAILABLE
    for tick in range(int(pause) - 1):
        await desk.time.advance(1)
        assert await store.find("corp", f"{tick}", wait=WAIT) is Reason.KEYS_UNAVAILABLE
    assert len(desk.issuer.asked) == 2
    desk.issuer.publish("a", "b")
    await desk.time.advance(1)
    assert await store.find("corp", "b", wait=WAIT) is None
    assert len(desk.issuer.asked) == 3


async def test_where_no_keys_are_held_the_pause_is_a_minute_at_most(desk: Desk) -> None:
    desk.issuer.fail(answered=True, retry_after=1e9)
    store = await desk.open()
    desk.issuer.publish("a")
    await desk.time.advance(59.9)
    assert await store.find("corp", "a", wait=WAIT) is Reason.KEYS_UNAVAILABLE
    await desk.time.advance(0.1)
    assert await store.find("corp", "a", wait=WAIT) is None


async def test_a_reload_does_not_end_the_pause_and_an_answer_does(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.fail(answered=True, retry_after=300.0)
    await store.refresh_now()
    await store.replace([desk.source(cooldown=1.0)])
    assert await store.find("corp", "b", wait=WAIT) is Reason.KEYS_UNAVAILABLE
    assert len(desk.issuer.asked) == 2
    desk.issuer.publish("a")
    await settle()
    await store.refresh_now()
    desk.issuer.publish("a", "b")
    assert await store.find("corp", "b", wait=WAIT) is None


async def test_a_short_pause_that_is_asked_for_leaves_the_cooldown_as_it_is(desk: Desk) -> None:
    """Backing off is no pause that the issuer asked for: a new key is looked for meanwhile."""
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.fail(answered=True, retry_after=2.0)
    await desk.time.advance(660)
    asked = len(desk.issuer.asked)
    desk.issuer.publish("b")
    await desk.time.advance(2)
    assert len(desk.issuer.asked) == asked
    assert await store.find("corp", "b", wait=WAIT) is None


async def test_a_genuine_rotation_gets_through_a_flood_within_one_cooldown(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    await store.find("corp", "flood", wait=WAIT)
    await desk.time.advance(3)
    desk.issuer.publish("b")
    waited = 0.0
    while await store.find("corp", "b", wait=WAIT) is not None:
        await store.find("corp", f"flood-{waited}", wait=WAIT)
        await desk.time.advance(0.5)
        waited += 0.5
    assert waited <= 10.0


async def test_an_unknown_id_is_remembered_for_one_cooldown(desk: Desk) -> None:
    """It is the token's fault, also while a later attempt fails."""
    desk.issuer.publish("a")
    store = await desk.open(desk.source(refresh=35.0, cooldown=10.0))
    await desk.time.advance(30)
    assert await store.find("corp", "x", wait=WAIT) is Reason.UNKNOWN_KEY
    desk.issuer.fail()
    await store.refresh_now()
    assert await store.find("corp", "x", wait=WAIT) is Reason.UNKNOWN_KEY
    assert await store.find("corp", "y", wait=WAIT) is Reason.KEYS_UNAVAILABLE
    await desk.time.advance(10)
    assert await store.find("corp", "x", wait=WAIT) is Reason.KEYS_UNAVAILABLE


async def test_it_is_forgotten_when_the_key_set_changes(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    assert await store.find("corp", "x", wait=WAIT) is Reason.UNKNOWN_KEY
    desk.issuer.publish("a", "b")
    await store.refresh_now()
    desk.issuer.fail()
    await store.refresh_now()
    assert await store.find("corp", "x", wait=WAIT) is Reason.KEYS_UNAVAILABLE


async def test_the_memory_of_unknown_ids_is_bounded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The wait is by the loop's own clock: a slow machine must not end it for some of so many.
    monkeypatch.setattr("extauthz.keys.store.MAX_KEY_WAIT", 60.0)
    desk.issuer.publish("a")
    store = await desk.open()
    asking = (store.find("corp", str(number), wait=60.0) for number in range(2 * MAX_UNKNOWN_KIDS))
    await asyncio.gather(*asking)
    assert len(store._refreshers["corp"]._unknown) == MAX_UNKNOWN_KIDS
    await desk.time.advance(600)
    assert not store._refreshers["corp"]._unknown


async def test_who_waits_is_answered_when_the_store_closes(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.gate.clear()
    asking: list[Coroutine[Any, Any, Any]] = [
        store.find("corp", "b", wait=WAIT),
        store.refresh_now(),
    ]
    waiting = [asyncio.create_task(one) for one in asking]
    await settle()
    await store.aclose()
    assert await asyncio.gather(*waiting) == [Reason.KEYS_UNAVAILABLE, None]


async def test_ten_thousand_who_give_up_waiting_cost_little(desk: Desk) -> None:
    """Giving up is as cheap for the last as for the first (a second for all, at the most)."""
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.gate.clear()
    loop = asyncio.get_running_loop()
    started = loop.time()
    found = await asyncio.gather(*(store.find("corp", str(n), wait=0.05) for n in range(10000)))
    assert set(found) == {Reason.KEYS_UNAVAILABLE}
    assert loop.time() - started < 5.0
    assert not store._refreshers["corp"]._flight._waiters


@pytest.mark.requirement("R51")
@pytest.mark.parametrize("kid", ["", "../../dev/null", "\0", "x" * 100_000, "ключ"])
async def test_odd_ids_are_only_strings(desk: Desk, kid: str) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    assert await store.find("corp", kid, wait=WAIT) is Reason.UNKNOWN_KEY

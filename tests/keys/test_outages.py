"""How long last good keys serve while the issuer is down, and that this harms no healthy one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extauthz.core.model import Reason
from extauthz.keys.store import KeyStore

from .desk import Desk, kids, status

FOR_EVER = 1e9


async def held_at(desk: Desk, store: KeyStore, *seconds: float) -> list[bool]:
    """Whether there are keys at each of these times, in seconds from now."""
    started, found = desk.time.now, []
    for second in seconds:
        await desk.time.advance(started + second - desk.time.now)
        found.append(kids(store) is not None)
        assert status(store).usable is found[-1]
    return found


@pytest.mark.parametrize("max_stale", [0.0, 1.0, 1.5, 4.0, 20.0, 600.0])
async def test_an_issuer_that_answers_never_loses_its_keys(desk: Desk, max_stale: float) -> None:
    """However short ``max_stale`` is: it is for outages."""
    desk.issuer.publish("a")
    store = await desk.open(desk.source(refresh=12.0, max_stale=max_stale))
    for _ in range(200):
        await desk.time.advance(0.25)
        assert kids(store) == ["a"]
    assert 5 <= len(desk.issuer.asked) <= 1 + 50


@pytest.mark.parametrize("max_stale", [11.0, 20.0, 604.0])
async def test_one_that_is_slow_within_its_timeout_does_not_either(
    desk: Desk, max_stale: float
) -> None:
    """From twice its timeout and a second on, there is time for one attempt after another."""
    desk.issuer.publish("a")
    store = await desk.open(desk.source(max_stale=max_stale))
    desk.issuer.delay = 4.9
    for _ in range(2000):
        await desk.time.advance(0.5)
        assert kids(store) == ["a"]


@pytest.mark.parametrize("delay", [FOR_EVER, 0.0], ids=["hangs", "fails"])
@pytest.mark.parametrize("max_stale", [1.5, 4.0, 20.0, 100.0, 1000.0])
async def test_the_keys_of_one_that_is_down_go_at_max_stale(
    desk: Desk, max_stale: float, delay: float
) -> None:
    """Not a second longer, whatever the attempt under way does."""
    desk.issuer.publish("a")
    store = await desk.open(desk.source(max_stale=max_stale, timeout=5.0))
    desk.issuer.fail()
    desk.issuer.delay = delay
    assert await held_at(desk, store, max_stale - 0.1, max_stale, max_stale + 30) == [
        True,
        False,
        False,
    ]
    assert await store.find("corp", "a", wait=0.0) is Reason.KEYS_UNAVAILABLE
    desk.issuer.publish("a")
    desk.issuer.delay = 0.0
    await desk.time.advance(20)
    assert kids(store) == ["a"]


@pytest.mark.parametrize("max_stale", [0.0, 1.0])
async def test_with_hardly_any_max_stale_they_go_when_an_attempt_fails(
    desk: Desk, max_stale: float
) -> None:
    desk.issuer.publish("a")
    store = await desk.open(desk.source(max_stale=max_stale))
    desk.issuer.delay = FOR_EVER
    assert await held_at(desk, store, 599, 604.9, 605) == [True, True, False]
    desk.issuer.delay = 0.0
    await desk.time.advance(10)
    assert kids(store) == ["a"]
    desk.issuer.fail()
    assert await store.find("corp", "b", wait=0.2) is Reason.KEYS_UNAVAILABLE
    assert kids(store) is None


async def test_keys_that_nobody_could_renew_in_time_stay_until_an_attempt_says_more(
    desk: Desk,
) -> None:
    """After a reload with a shorter ``max_stale`` the issuer is asked at once."""
    desk.issuer.publish("a")
    store = await desk.open()
    await desk.time.advance(400)
    desk.issuer.delay = 3.0
    await store.replace([desk.source(max_stale=300.0)])
    assert await held_at(desk, store, 0, 2.9, 3, 500) == [True, True, True, True]
    assert desk.issuer.times_asked()[:2] == [5000, 5400]


async def test_after_a_reload_an_attempt_still_ends_in_time(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    await desk.time.advance(100)
    await store.replace([desk.source(max_stale=300.0)])
    assert len(desk.issuer.asked) == 1
    await desk.time.advance(194.9)
    assert len(desk.issuer.asked) == 1
    await desk.time.advance(0.1)
    assert desk.issuer.times_asked() == [5000, 5295]


async def test_a_reload_does_not_ask_an_issuer_that_fails_sooner(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.fail(answered=True, retry_after=300.0)
    await desk.time.advance(600)
    assert len(desk.issuer.asked) == 2
    await store.replace([desk.source(max_stale=700.0)])
    await desk.time.advance(299)
    assert len(desk.issuer.asked) == 2


async def test_keys_from_disk_go_at_max_stale_while_the_first_attempt_hangs(
    desk: Desk, tmp_path: Path
) -> None:
    desk.issuer.publish("a")
    patience: dict[str, Any] = {"max_stale": 100.0, "timeout": 50.0}
    first = await desk.open(desk.source(**patience), snapshot_dir=tmp_path)
    await first.aclose()
    await desk.time.advance(80)
    desk.issuer.delay = FOR_EVER
    store = await desk.open(desk.source(**patience), snapshot_dir=tmp_path)
    assert await held_at(desk, store, 19.9, 20) == [True, False]


async def test_a_store_that_closes_leaves_no_timer_behind(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open(desk.source(max_stale=20.0))
    desk.issuer.delay = FOR_EVER
    await desk.time.advance(16)
    await store.aclose()
    await desk.time.advance(100)
    assert not desk.time._sleepers

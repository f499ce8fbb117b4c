"""Whatever happens, in whatever order, the promises about keys hold."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.core.model import Reason
from extauthz.keys.fetch import FetchError

from .desk import Desk, Observed, kids, status
from .fake_issuer import JWKS_URI, FakeIssuer, document
from .fake_time import FakeTime

COOLDOWN, REFRESH, MAX_STALE = 10.0, 60.0, 300.0

EVENTS = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from([0.5, 4.0, 9.0, 35.0, 61.0, 301.0])),
    st.tuples(st.just("publish"), st.sampled_from(["a", "b", "c"])),
    st.tuples(st.just("fail"), st.sampled_from(["down", "no keys", "not json"])),
    st.tuples(st.just("ask"), st.sampled_from(["a", "b", "c", "never"])),
    st.tuples(st.just("jump"), st.sampled_from([-3600.0, 3600.0, 1e8])),
    st.tuples(st.just("reload"), st.sampled_from([REFRESH, REFRESH + 1])),
)

BROKEN: dict[str, bytes | FetchError] = {
    "down": FetchError("down"),
    "no keys": b'{"keys": []}',
    "not json": b"<html>",
}


@dataclass
class History:
    """What the issuer said, so that it can be compared with what is held."""

    published: str | None = None
    good: list[tuple[float, str]] = field(default_factory=list)


async def live_through(events: list[tuple[str, Any]]) -> None:
    time = FakeTime()
    desk = Desk(time, FakeIssuer(time), Observed())
    told = History()

    def page(_: str | None) -> bytes:
        if told.published is None:
            raise FetchError("down")
        told.good.append((time.now, told.published))
        return document(told.published)

    desk.issuer.pages[JWKS_URI] = page

    def source(refresh: float) -> Any:
        return desk.source(refresh=refresh, cooldown=COOLDOWN, max_stale=MAX_STALE)

    store = await desk.open(source(REFRESH))
    asked_for = 0
    begun = time.now
    try:
        for event, what in events:
            if event == "pass":
                await time.advance(what)
            elif event == "publish":
                told.published = what
                desk.issuer.pages[JWKS_URI] = page
            elif event == "fail":
                desk.issuer.pages[JWKS_URI] = BROKEN[what]
            elif event == "jump":
                time.offset += what
            elif event == "reload":
                await store.replace([source(what)])
            else:
                before = len(desk.issuer.asked)
                found = await store.find("corp", what, wait=0.2)
                asked_for += len(desk.issuer.asked) - before
                held = kids(store) or []
                assert (found is None) == (what in held)
                if found is Reason.UNKNOWN_KEY:
                    assert held
            last = told.good[-1] if told.good else None
            if last is None or time.now - last[0] >= MAX_STALE:
                assert kids(store) is None
            else:
                assert kids(store) == [last[1]]
            assert status(store).usable == (kids(store) is not None)
            assert asked_for <= 1 + (time.now - begun) / COOLDOWN
    finally:
        await store.aclose()


@settings(max_examples=60)
@given(st.lists(EVENTS, max_size=25))
def test_the_last_good_keys_are_held_and_nobody_can_make_us_ask_too_often(
    events: list[tuple[str, Any]],
) -> None:
    """Held keys are those of the last good answer, until they are ``max_stale`` old."""
    asyncio.run(live_through(events))


async def test_a_hundred_rotations_without_overlap_refuse_no_first_token(desk: Desk) -> None:
    """R7: each new key works with the first token it signed."""
    store = await desk.open()
    for number in range(100):
        desk.issuer.publish(f"k{number}")
        assert await store.find("corp", f"k{number}", wait=0.2) is None
        assert kids(store) == [f"k{number}"]
        await desk.time.advance(COOLDOWN)

"""Good keys are kept fresh in the background and never lost to a failure."""

from __future__ import annotations

import itertools
import logging

import pytest

from extauthz.keys.fetch import Fetched
from extauthz.keys.store import KeyStore

from .desk import Desk, kids, status
from .fake_issuer import JWKS_URI, METADATA_URL, document, metadata
from .fake_time import settle
from .issuer_keys import GOOD, jwk, rsa_key


async def test_keys_are_fetched_at_start_and_again_on_schedule(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    assert kids(store) == ["a"]
    desk.issuer.publish("a", "b")
    await desk.time.advance(599)
    assert kids(store) == ["a"]
    await desk.time.advance(1)
    assert kids(store) == ["a", "b"]
    assert desk.issuer.times_asked() == [5000, 5600]


async def test_a_withdrawn_key_is_gone_after_the_next_refresh(desk: Desk) -> None:
    desk.issuer.publish("a", "b")
    store = await desk.open()
    desk.issuer.publish("b")
    await desk.time.advance(600)
    assert kids(store) == ["b"]


async def test_a_key_is_as_old_as_the_first_time_it_was_seen(desk: Desk) -> None:
    def seen(store: KeyStore) -> dict[str | None, float]:
        return {key.kid: desk.time.wall() - key.since_at for key in status(store).keys}

    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.publish("a", "b")
    await desk.time.advance(600)
    assert seen(store) == {"a": 600, "b": 0}
    await store.replace([desk.source(refresh=300.0)])
    await settle()
    assert seen(store) == {"a": 600, "b": 0}


@pytest.mark.parametrize(("max_age", "asked"), [(0.0, 30), (45.0, 45), (1e20, 600)])
async def test_cache_control_shortens_the_schedule_within_bounds(
    desk: Desk, max_age: float, asked: float
) -> None:
    desk.issuer.publish("a", max_age=max_age)
    await desk.open()
    await desk.time.advance(asked - 0.5)
    assert len(desk.issuer.asked) == 1
    await desk.time.advance(0.5)
    assert len(desk.issuer.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"<html>",
        b'{"keys": []}',
        b'{"keys": [{"kty": "RSA", "use": "enc"}]}',
        b'{"error": "x"}',
        b'{"keys": [], "keys": []}',
        ValueError("a bug"),
        MemoryError(),
    ],
    ids=repr,
)
async def test_no_answer_without_a_usable_key_takes_good_keys_away(
    desk: Desk, answer: bytes | Exception
) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.pages[JWKS_URI] = answer
    await desk.time.advance(3600)
    assert kids(store) == ["a"]
    assert status(store).last_error
    assert {result for _, result, _ in desk.observed.results[1:]} == {"failed"}
    desk.issuer.publish("b")
    await desk.time.advance(60)
    assert kids(store) == ["b"]
    assert status(store).last_error is None


async def test_last_good_keys_serve_until_max_stale_and_not_a_second_longer(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    desk.issuer.fail()
    await desk.time.advance(86399)
    assert kids(store) == ["a"]
    assert status(store).usable
    await desk.time.advance(1)
    assert kids(store) is None
    assert not status(store).usable
    assert status(store).keys == ()
    desk.issuer.publish("a")
    await desk.time.advance(60)
    assert kids(store) == ["a"]


async def test_an_unchanged_answer_counts_as_fresh(desk: Desk) -> None:
    """304 to our entity tag, and also once the keys had grown too old."""

    def answer(etag: str | None) -> Fetched:
        if etag == '"1"':
            return Fetched(etag=etag, not_modified=True)
        return Fetched(body=document("a"), etag='"1"')

    desk.issuer.pages[JWKS_URI] = answer
    store = await desk.open(desk.source(max_stale=700.0))
    before = store.snapshot()["corp"]
    await desk.time.advance(600)
    assert [asked.etag for asked in desk.issuer.asked] == [None, '"1"']
    assert store.snapshot()["corp"] is before
    await desk.time.advance(500)
    assert kids(store) == ["a"]
    assert status(store).age_seconds == 500
    desk.issuer.fail()
    await desk.time.advance(200)
    assert kids(store) is None
    desk.issuer.pages[JWKS_URI] = answer
    await desk.time.advance(60)
    assert store.snapshot()["corp"] is before


async def test_the_same_document_again_is_the_same_key_set(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    before = store.snapshot()["corp"]
    await desk.time.advance(600)
    assert len(desk.issuer.asked) == 2
    assert store.snapshot()["corp"] is before


async def test_an_issuer_that_is_down_at_start_is_tried_until_it_answers(desk: Desk) -> None:
    desk.issuer.fail()
    store = await desk.open()
    assert kids(store) is None
    assert status(store).first_attempt_done
    await desk.time.advance(3600)
    gaps = [
        b - a
        for a, b in zip(desk.issuer.times_asked(), desk.issuer.times_asked()[1:], strict=False)
    ]
    assert gaps[:4] == pytest.approx([0.9, 1.8, 3.6, 7.2])
    assert gaps[5:] == pytest.approx([9.0] * len(gaps[5:]))
    desk.issuer.publish("a")
    await desk.time.advance(10)
    assert kids(store) == ["a"]


async def test_failures_after_success_back_off_to_a_minute(desk: Desk) -> None:
    desk.issuer.publish("a")
    await desk.open()
    desk.issuer.fail()
    await desk.time.advance(3600)
    times = desk.issuer.times_asked()[1:]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert gaps[:3] == pytest.approx([0.9, 1.8, 3.6])
    assert gaps[-1] == pytest.approx(54.0)


async def test_retry_after_is_honoured(desk: Desk) -> None:
    desk.issuer.publish("a")
    await desk.open()
    desk.issuer.fail(answered=True, retry_after=120.0)
    await desk.time.advance(600 + 119)
    assert len(desk.issuer.asked) == 2
    await desk.time.advance(1)
    assert len(desk.issuer.asked) == 3


async def test_an_issuer_that_hangs_or_fails_never_delays_another(desk: Desk) -> None:
    slow, good = desk.source("slow", jwks_uri="https://slow.example/keys"), desk.source()
    desk.issuer.publish("a")

    async def never(url: str, limits: object, *, etag: str | None = None) -> Fetched:
        if "slow" in url:
            await desk.time.sleep(1e9)
        return await FETCH(url, limits, etag=etag)  # type: ignore[arg-type]

    FETCH = desk.issuer.fetch  # noqa: N806
    desk.issuer.fetch = never  # type: ignore[method-assign]
    store = await desk.open(slow, good)
    assert kids(store) == ["a"]
    assert not status(store, "slow").first_attempt_done
    await desk.time.advance(1800)
    assert desk.issuer.times_asked() == [5000, 5600, 6200, 6800]


async def test_wall_clock_jumps_neither_stop_nor_storm(desk: Desk) -> None:
    desk.issuer.publish("a")
    store = await desk.open()
    for jump in (3600.0, -7200.0, 86400.0 * 365, -86400.0 * 365):
        desk.time.offset += jump
        asked = len(desk.issuer.asked)
        await desk.time.advance(1200)
        assert kids(store) == ["a"]
        assert len(desk.issuer.asked) == asked + 2
        assert status(store).age_seconds == pytest.approx(0.0)


async def test_metadata_is_read_anew_with_each_scheduled_refresh(desk: Desk) -> None:
    desk.issuer.pages[METADATA_URL] = metadata()
    desk.issuer.publish("a")
    store = await desk.open(desk.source(jwks_uri=None))
    assert status(store).jwks_uri == JWKS_URI
    desk.issuer.pages[METADATA_URL] = metadata(jwks_uri="https://idp.example.com/new")
    desk.issuer.publish("b", url="https://idp.example.com/new")
    await desk.time.advance(600)
    assert kids(store) == ["b"]
    assert status(store).jwks_uri == "https://idp.example.com/new"


async def test_an_observer_that_breaks_stops_nothing(desk: Desk) -> None:
    desk.issuer.publish("a")
    desk.observed.results = None  # type: ignore[assignment]
    store = await desk.open(desk.source(refresh=40.0))
    assert kids(store) == ["a"]
    desk.issuer.publish("b")
    await store.refresh_now()
    assert kids(store) == ["b"]


async def test_what_happens_is_told_once_and_without_key_material(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    private = jwk(rsa_key(), d="c2VjcmV0LWV4cG9uZW50")
    desk.issuer.pages[JWKS_URI] = (
        '{"keys": [' + ", ".join(map(str, (GOOD, private))).replace("'", '"') + "]}"
    ).encode()
    caplog.set_level(logging.INFO, "extauthz.keys")
    await desk.open()
    (alarm,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "a private key is published" in alarm.getMessage()
    desk.issuer.fail(message="status 500")
    await desk.time.advance(7200)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "status 500" in warnings[0]
    assert "c2VjcmV0" not in caplog.text
    assert private["n"] not in caplog.text


@pytest.mark.parametrize(
    ("published", "told"), [(("a",), "1 usable key"), (("a", "b"), "2 usable keys")]
)
async def test_how_many_keys_there_are_is_told(
    desk: Desk, caplog: pytest.LogCaptureFixture, published: tuple[str, ...], told: str
) -> None:
    desk.issuer.publish(*published)
    caplog.set_level(logging.INFO, "extauthz.keys")
    await desk.open()
    assert any(record.getMessage().endswith(f" has {told}") for record in caplog.records)


async def test_closing_ends_every_task_and_answers_who_waits(desk: Desk) -> None:
    desk.issuer.gate.clear()
    store = await desk.open()
    await store.aclose()
    await settle()
    assert store.status() == ()
    await store.aclose()

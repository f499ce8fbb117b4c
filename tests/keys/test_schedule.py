"""The next fetch is never too soon, never too late, and not everyone's at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from extauthz.keys.schedule import after_failure, after_success
from extauthz.keys.source import IssuerSource

SOURCE = IssuerSource(name="corp", issuer="https://idp.example.com")
SHORT = IssuerSource(name="corp", issuer="https://idp.example.com", refresh=5.0)
FILE = IssuerSource(name="corp", issuer="https://idp.example.com", jwks_file="keys.json")


@pytest.mark.parametrize(
    ("max_age", "pause"),
    [
        (None, 600),
        (1e20, 600),
        (601, 600),
        (600, 600),
        (300, 300),
        (31, 31),
        (30, 30),
        (29, 30),
        (0, 30),
    ],
)
def test_max_age_shortens_the_refresh_within_bounds(max_age: float | None, pause: float) -> None:
    assert after_success(SOURCE, max_age, 0.0) == pause


def test_jitter_takes_off_up_to_a_tenth_and_adds_nothing() -> None:
    """A withdrawn key is gone after ``refresh`` at the latest."""
    assert after_success(SOURCE, None, 0.0) == 600
    assert after_success(SOURCE, None, 0.5) == pytest.approx(570)
    assert after_success(SOURCE, None, 1.0) == pytest.approx(540)
    assert after_success(SOURCE, 30, 1.0) == 30


def test_a_refresh_shorter_than_the_floor_stays_as_configured() -> None:
    assert after_success(SHORT, None, 0.0) == 5
    assert after_success(SHORT, 0, 0.0) == 4.5


@pytest.mark.parametrize(
    ("max_stale", "took", "pause"),
    [
        (606.0, 0.0, 600.0),
        (605.0, 0.0, 600.0),
        (604.0, 0.0, 599.0),
        (604.0, 3.0, 596.0),
        (20.0, 0.0, 15.0),
        (20.0, 4.0, 11.0),
        (6.5, 0.0, 1.5),
        (6.0, 0.0, 1.0),
        (4.0, 0.0, 1.0),
        (1.1, 0.0, 1.0),
    ],
)
def test_an_attempt_can_end_before_keys_are_too_old(
    max_stale: float, took: float, pause: float
) -> None:
    """And still nobody is asked in a tight loop."""
    source = replace(SOURCE, max_stale=max_stale)
    assert after_success(source, None, 0.0, took=took) == pytest.approx(pause)


def test_attempts_that_must_come_early_are_not_everyones_at_once() -> None:
    source = replace(SOURCE, max_stale=105.0)
    assert after_success(source, None, 0.0) == 100
    assert after_success(source, None, 1.0) == pytest.approx(90)
    assert after_success(replace(SOURCE, max_stale=6.0), None, 1.0) == 1


@pytest.mark.parametrize("max_stale", [0.0, 0.5, 1.0])
def test_keys_that_may_hardly_serve_in_an_outage_are_refreshed_as_others_are(
    max_stale: float,
) -> None:
    assert after_success(replace(SOURCE, max_stale=max_stale), None, 0.0) == 600


@pytest.mark.parametrize("refresh", [0.0, 0.001, 1.0])
def test_no_setting_makes_a_tight_loop(refresh: float) -> None:
    source = IssuerSource(name="corp", issuer="https://idp.example.com", refresh=refresh)
    for random in (0.0, 0.5, 1.0):
        assert after_success(source, 0, random) == 1.0
        assert after_failure(source, 1, 0.0, random, holds_keys=True) >= 0.9


def test_a_changed_file_counts_within_ten_seconds_on_a_slow_machine_too() -> None:
    """It is read as often as the configuration file is."""
    assert after_success(FILE, None, 0.0) == 5
    assert after_success(FILE, None, 1.0) == 4.5


def test_failures_back_off_to_a_minute() -> None:
    pauses = [after_failure(SOURCE, n, None, 0.5, holds_keys=True) for n in range(1, 12)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]


def test_without_keys_it_is_tried_more_often() -> None:
    """Every token of the issuer waits for it."""
    pauses = [after_failure(SOURCE, n, None, 0.5, holds_keys=False) for n in range(1, 7)]
    assert pauses == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize("holds_keys", [True, False])
def test_a_file_that_is_mended_counts_as_soon_as_one_that_changed(holds_keys: bool) -> None:
    pauses = [after_failure(FILE, n, None, 0.5, holds_keys=holds_keys) for n in range(1, 7)]
    assert pauses == [1, 2, 4, 5, 5, 5]


def test_back_off_is_never_longer_than_the_refresh_but_for_jitter() -> None:
    assert after_failure(SHORT, 50, None, 0.5, holds_keys=True) == 5
    assert after_failure(SHORT, 10**6, None, 1.0, holds_keys=True) == pytest.approx(5.5)
    assert after_failure(SHORT, 50, None, 0.0, holds_keys=True) == pytest.approx(4.5)


@pytest.mark.parametrize(
    ("retry_after", "holds_keys", "pause"),
    [
        (0.0, True, 1.0),
        (120.0, True, 120.0),
        (1e15, True, 600.0),
        (45.0, False, 45.0),
        (120.0, False, 60.0),
    ],
)
def test_retry_after_counts_within_bounds(
    retry_after: float, holds_keys: bool, pause: float
) -> None:
    assert after_failure(SOURCE, 1, retry_after, 0.5, holds_keys=holds_keys) == pause

"""The counts of the last minutes, against a clock that is moved by hand."""

from __future__ import annotations

from extauthz.telemetry.counts import DecisionCounts, DecisionKey
from extauthz.telemetry.recent import MINUTES, RecentDecisions

ALLOW = DecisionKey("notes", "allow", "", "grpc")


class Story:
    """Counts at given times, rolling over as the observer does."""

    def __init__(self, start: float) -> None:
        self.counts = DecisionCounts()
        self.recent = RecentDecisions(self.counts, start)

    def at(self, now: float, times: int = 1) -> None:
        if now >= self.recent.next_minute:
            self.recent.roll(now)
        for _ in range(times):
            self.counts.observe(*ALLOW, 0.001)


def test_a_decision_counts_until_its_minute_has_left_the_window() -> None:
    story = Story(0)
    story.at(59.9)
    assert story.recent.last(5, 299.9)[ALLOW] == 1
    assert story.recent.last(5, 300.0)[ALLOW] == 0


def test_minutes_are_told_apart_also_where_nobody_looked_meanwhile() -> None:
    story = Story(0)
    story.at(10, times=2)
    story.at(130, times=3)
    minutes = [counter[ALLOW] for counter in story.recent.per_minute(260)]
    assert minutes[-5:] == [2, 0, 3, 0, 0]


def test_the_current_minute_is_the_last() -> None:
    story = Story(600)
    story.at(660)
    minutes = [counter[ALLOW] for counter in story.recent.per_minute(661)]
    assert len(minutes) == MINUTES
    assert minutes[-1] == 1
    assert sum(minutes) == 1


def test_what_was_counted_before_the_window_is_forgotten_but_in_the_total() -> None:
    story = Story(0)
    for minute in range(60):
        story.at(minute * 60.0, times=minute)
    now = 59 * 60.0 + 30
    assert story.recent.last(MINUTES, now)[ALLOW] == sum(range(60 - MINUTES, 60))
    assert story.counts.by_key[ALLOW] == sum(range(60))


def test_a_day_without_requests_leaves_nothing_recent() -> None:
    story = Story(0)
    story.at(10, times=9)
    assert not story.recent.last(MINUTES, 86_400)
    assert not any(story.recent.per_minute(86_400))


def test_requests_after_a_long_silence_are_not_mixed_with_those_before() -> None:
    story = Story(0)
    story.at(10, times=9)
    story.at(86_400, times=2)
    assert story.recent.last(MINUTES, 86_401)[ALLOW] == 2


def test_a_copy_stays_as_it_was() -> None:
    """Another thread reads it while the next are counted."""
    story = Story(0)
    story.at(10, times=2)
    story.at(130)
    copy = story.recent.copied(story.counts.copied())
    story.at(140, times=3)
    story.at(200)
    assert copy.last(5, 150)[ALLOW] == 3
    assert [counter[ALLOW] for counter in copy.per_minute(150)][-3:] == [2, 0, 1]
    assert story.recent.last(5, 200)[ALLOW] == 7

"""Which worker hangs: not one that is slow, that has ended, or whose watcher was stopped itself."""

from __future__ import annotations

import logging

import pytest

from extauthz.service.signs_of_life import LOOK_SECONDS, Hanging, SignsOfLife


class Watch:
    """Looks at a worker, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.signs = SignsOfLife(3, clock=lambda: self.now)
        self.signs.heard()

    def looks(self, times: int) -> list[Hanging | None]:
        """Look so often; what came of each."""
        found = []
        for _ in range(times):
            self.now += LOOK_SECONDS
            found.append(self.signs.look())
        return found


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    caplog.set_level(logging.INFO)
    return Watch()


def test_it_is_alive_for_three_seconds_after_it_said_something(watch: Watch):
    watch.now = 2.9
    assert watch.signs.lately()
    watch.now = 3.0
    assert not watch.signs.lately()


def test_one_that_hangs_is_told_of_once_and_given_up_ten_seconds_later(watch: Watch, caplog):
    assert not any(watch.looks(3))
    assert not caplog.messages
    assert watch.looks(1) == [Hanging.TOLD_OF]
    assert ["worker 3 has given no sign of life" in said for said in caplog.messages] == [True]
    assert watch.looks(10) == [None] * 9 + [Hanging.GIVEN_UP]
    assert len(caplog.messages) == 1


def test_one_that_speaks_again_is_not_given_up(watch: Watch, caplog):
    for _ in range(5):
        assert watch.looks(13) == [None] * 3 + [Hanging.TOLD_OF] + [None] * 9
        watch.signs.heard()
    assert not any(watch.looks(1))
    assert caplog.messages[-1] == "worker 3 gives signs of life again"


def test_one_that_does_not_open_its_doors_has_a_minute_and_is_then_given_up(watch: Watch, caplog):
    watch.signs.ended()
    watch.signs.started()
    assert not watch.signs.lately()
    assert not any(watch.looks(60))
    assert watch.looks(1) == [Hanging.TOLD_OF]
    assert "worker 3 has not opened its doors since it was started" in caplog.messages[0]
    assert watch.looks(10) == [None] * 9 + [Hanging.GIVEN_UP]


def test_one_that_opens_its_doors_late_is_not_given_up(watch: Watch, caplog):
    watch.signs.ended()
    watch.signs.started()
    assert not any(watch.looks(60))
    watch.signs.heard()
    assert watch.signs.lately()
    assert not any(watch.looks(1))
    assert not caplog.messages


def test_a_pause_of_this_process_is_no_silence_of_the_worker(watch: Watch, caplog):
    watch.now += 3600
    assert not any(watch.looks(1))
    watch.signs.heard()
    assert not any(watch.looks(2))
    assert not caplog.messages


def test_one_that_has_ended_is_not_silent_nor_does_the_next_one_speak_again(watch: Watch, caplog):
    watch.looks(14)
    caplog.clear()
    watch.signs.ended()
    assert not watch.signs.lately()
    assert not any(watch.looks(30))
    watch.signs.heard()
    assert watch.signs.lately()
    assert not any(watch.looks(1))
    assert not caplog.messages

"""Calls that are given up are told to the server later, and everything else at once."""

from __future__ import annotations

from extauthz.adapters.late_resets import LateResets


def test_what_is_kept_comes_when_its_time_has_come():
    resets = LateResets(0.1)
    assert not resets
    assert resets.keep(b"..one...two.", [(2, 5), (8, 11)], 5.0) == b"......"
    assert resets.keep(b"three", [(0, 5)], 5.05) == b""
    assert resets
    assert resets.due(5.09) == b""
    assert resets.due(5.1) == b"onetwo"
    assert resets.due(5.14) == b""
    assert resets
    assert resets.due(6.0) == b"three"
    assert not resets


def test_what_holds_none_is_left_as_it_is():
    resets = LateResets(0.1)
    assert resets.keep(b"data", [], 0.0) == b"data"
    assert not resets


def test_none_stays_behind_however_many_there_are():
    resets = LateResets(0.1)
    resets.keep(b"x" * 10_000, [(at, at + 1) for at in range(10_000)], 0.0)
    assert len(resets.due(0.1)) == 10_000
    assert not resets

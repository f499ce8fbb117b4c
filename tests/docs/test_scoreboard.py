"""The scoreboard says what was recorded; what failed never looks as if it had held."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from tests import scoreboard, tallies
from tests.fuzz import run

FLOOD = {
    "name": "rapid reset", "transport": "native", "door": "grpc", "sent": {"frames": 5000},
    "calm_p50": 0.001, "calm_p99": 0.002, "p50": 0.001, "p99": 0.003, "failed": 0,
    "answered": 100, "grown": 1 << 20, "long": True, "promised": True,
}  # fmt: skip


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATTACK_RESULTS", str(tmp_path))
    tallies.record("attacks", row=1, way="engine", allowed=False, cases=5, faults=0)
    tallies.record("attacks", row=2, way="engine", allowed=True, cases=3, faults=0)
    tallies.record("floods", held=True, **FLOOD)
    with tallies.survived("issuer", "hangs", seen="nothing"):
        pass
    return tmp_path


def test_what_held_is_counted(results: Path) -> None:
    page = scoreboard.scoreboard(results)
    assert "| engine | 2 | 5 of 5 | 3 of 3 |" in page
    assert "Faults: 1 of 1 survived" in page
    assert "Floods: 1 of 1 held" in page
    assert "2.0 ms | 3.0 ms" in page
    assert scoreboard.failures(results) == []
    assert scoreboard.main([str(results)]) == 0


def test_what_did_not_hold_is_told_and_fails(results: Path) -> None:
    tallies.record("attacks", row=3, way="grpc", allowed=False, cases=5, faults=2)
    tallies.record("floods", held=False, **FLOOD)
    with pytest.raises(AssertionError), tallies.survived("issuer", "trickles", seen="nothing"):
        raise AssertionError
    page = scoreboard.scoreboard(results)
    assert "| grpc | 1 | 3 of 5 | 0 of 0 |" in page
    assert "Faults: 1 of 2 survived" in page
    assert "Floods: 1 of 2 held" in page
    assert scoreboard.failures(results) == ["grpc, row 3", "trickles", "rapid reset"]
    assert scoreboard.main([str(results)]) == 1


def test_a_run_without_the_table_is_no_run(tmp_path: Path) -> None:
    assert scoreboard.main([str(tmp_path)]) == 1


def test_mutants_are_told_where_they_were_counted(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = results / "mutants.json"
    monkeypatch.setattr(scoreboard, "MUTANTS", file)
    assert "Mutants" not in scoreboard.scoreboard(results)
    module = {"mutants": 10, "killed": 9, "equivalent": 1}
    file.write_text(json.dumps({"modules": {"core/engine.py": module}, "survivors": 0}))
    page = scoreboard.scoreboard(results)
    assert "Mutants: 9 of 10 killed, 1 change no decision, 0 survive" in page
    assert "| core/engine.py | 10 | 9 | 1 |" in page


def test_executions_of_fuzzing_are_put_on_record_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "executions.json"
    monkeypatch.setattr(run, "RECORD", file)
    file.write_text('{"executions": {"jwks": 1000}, "until": "2026-01-01"}')
    (tmp_path / "jwks.executed").write_text("500")
    for _ in range(2):
        run.record(dt.date(2026, 1, 2), tmp_path)
        assert run.on_record() == ({"jwks": 1500}, "2026-01-02")
    assert not run.unrecorded(tmp_path)


def test_the_record_knows_every_target() -> None:
    assert set(run.on_record()[0]) <= set(run.NAMES)


def test_what_is_committed_names_every_way_in() -> None:
    page = (scoreboard.ROOT / "docs/scoreboard.md").read_text()
    for way in ("engine", "grpc", "nginx", "real envoy-bare", "real envoy", "real nginx"):
        assert f"\n| {way} | " in page, way
    assert "**not" not in page

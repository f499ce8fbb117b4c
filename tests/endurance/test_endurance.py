"""The short form of `make endure`: nothing that operators do makes one answer wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from .disturbances import Numbers
from .run import Pace, endure

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]


@pytest.mark.timeout(180)
def test_reloads_rotations_and_a_restart_make_no_answer_wrong(tmp_path: Path) -> None:
    numbers = Numbers(reloads=5, rotations=2, restarts=1, pause=0.0)
    outcome = endure(tmp_path, numbers, Pace(rate=20, slice=2, pause=0.02, patient=True))
    assert outcome.complaints == []
    assert list(outcome.done.values()) == [5, 2, 1]
    assert all(tally.requests > 10 for tally in outcome.tallies)
    statuses: Counter[int] = sum((tally.statuses for tally in outcome.tallies), Counter())
    assert {200, 401, 403} <= {status for status, count in statuses.items() if count}
    assert max(replica.most_open_files for replica in outcome.replicas) < 100

"""Faults are counted for the scoreboard."""

from __future__ import annotations

import pytest

from tests import tallies


@pytest.fixture(scope="session")
def survived() -> tallies.Survived:
    """A block in which a fault has to be survived: kind, name, what clients see."""
    return tallies.survived

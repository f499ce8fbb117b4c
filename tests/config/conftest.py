"""A desk to load configurations at."""

from __future__ import annotations

import pytest

from tests.config.desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()

"""One estate for all tests of doctor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.doctor.clinic import Clinic, clinic


@pytest.fixture(scope="session")
def open_clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with clinic(tmp_path_factory.mktemp("doctor")) as opened:
        yield opened

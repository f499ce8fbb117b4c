"""What the tests of keys share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .desk import Desk, Observed
from .fake_issuer import FakeIssuer
from .fake_time import FakeTime
from .rough_server import RoughServer, rough_server


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    time = FakeTime()
    made = Desk(time, FakeIssuer(time), Observed())
    yield made
    for store in made.stores:
        await store.aclose()


@pytest.fixture
async def server() -> AsyncIterator[RoughServer]:
    async with rough_server() as made:
        yield made

"""What a worker asks its supervisor for, and for how long it waits."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from extauthz.core.model import Reason
from extauthz.service.messages import Channel, Find, Found
from extauthz.service.worker import SuppliedKeys


class Supervisor:
    """Hears what is asked, and answers when told to."""

    def __init__(self) -> None:
        self.heard: list[Find] = []
        self.keys = SuppliedKeys(cast("Channel", self))

    def send(self, message: Find) -> None:
        self.heard.append(message)


@pytest.mark.parametrize("wait", [0.0, 0.01, 0.05])
async def test_a_supervisor_that_does_not_answer_takes_no_more_time_than_there_is(
    monkeypatch: pytest.MonkeyPatch, wait: float
) -> None:
    """A caller that waits for a quarter of a second, or by its deadline, waits no longer."""
    waited: list[float | None] = []
    timeout = asyncio.timeout

    def noted(seconds: float | None) -> Any:
        waited.append(seconds)
        return timeout(seconds)

    monkeypatch.setattr(asyncio, "timeout", noted)
    supervisor = Supervisor()
    found = await supervisor.keys.find("corp", "k", wait=wait)
    assert found is Reason.KEYS_UNAVAILABLE
    assert waited == [wait]
    assert [(one.issuer, one.kid, one.wait) for one in supervisor.heard] == [("corp", "k", wait)]


@pytest.mark.parametrize("missing", [None, Reason.UNKNOWN_KEY])
async def test_its_answer_ends_the_search_it_is_for(missing: Reason | None) -> None:
    supervisor = Supervisor()
    searches = [
        asyncio.create_task(supervisor.keys.find("corp", kid, wait=60.0)) for kid in ("a", "b")
    ]
    await asyncio.sleep(0)
    first, second = supervisor.heard
    supervisor.keys.found(Found(second.number, missing))
    assert await searches[1] is missing
    assert not searches[0].done()
    supervisor.keys.found(Found(first.number, Reason.KEYS_UNAVAILABLE))
    assert await searches[0] is Reason.KEYS_UNAVAILABLE
    # One that comes too late is nobody's.
    supervisor.keys.found(Found(second.number, None))

"""What a worker asks its supervisor for, and for how long it waits."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any, cast

import pytest

from extauthz.core.keyset import KeySet, parse_key_set
from extauthz.core.model import Reason
from extauthz.keys import load
from extauthz.service.messages import Channel, Find, Found
from extauthz.service.worker import SuppliedKeys
from tests.tokens import signer


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


def document_of(kid: str, length: int = 0) -> bytes:
    """A key set of one key, as long as that."""
    return json.dumps({"keys": [signer("ES256", kid).public_jwk()]}).encode().ljust(length)


@pytest.mark.parametrize(("length", "here"), [(64 * 1024, True), (64 * 1024 + 1, False)])
async def test_a_large_key_set_is_read_while_requests_are_answered(
    monkeypatch: pytest.MonkeyPatch, length: int, here: bool
) -> None:
    readers: list[int] = []

    def noted(document: bytes) -> KeySet:
        readers.append(threading.get_ident())
        return parse_key_set(document)

    monkeypatch.setattr(load, "parse_key_set", noted)
    keys = Supervisor().keys
    await keys.supplied({"corp": document_of("a", length)})
    assert keys.snapshot().keys() == {"corp"}
    assert [reader == threading.get_ident() for reader in readers] == [here]


async def test_what_is_supplied_later_holds_although_it_is_read_sooner() -> None:
    keys = Supervisor().keys
    large, small = document_of("old", 1 << 20), document_of("new")
    await asyncio.gather(
        keys.supplied({"corp": large, "gone": small}), keys.supplied({"corp": small})
    )
    assert keys.snapshot().keys() == {"corp"}
    assert [key.kid for key in keys.snapshot()["corp"].keys] == ["new"]


async def test_all_that_is_supplied_changes_in_one_step() -> None:
    """What is withdrawn with a changed file stays in use until all is there that replaces it."""
    keys = Supervisor().keys
    await keys.supplied({"before": document_of("a")})
    reading = asyncio.create_task(
        keys.supplied({"after": document_of("b"), "large": document_of("c", 1 << 20)})
    )
    seen = set()
    while not reading.done():
        seen.add(frozenset(keys.snapshot()))
        await asyncio.sleep(0)
    await reading
    seen.add(frozenset(keys.snapshot()))
    assert seen == {frozenset({"before"}), frozenset({"after", "large"})}

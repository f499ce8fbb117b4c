"""Names are looked up, and addresses tried, so that what hangs holds up nothing else."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpcore
import pytest

from extauthz.keys import connecting
from extauthz.keys import fetch as fetching_module
from extauthz.keys.connecting import _first, addresses_of
from extauthz.keys.fetch import FetchError, fetch, http_library
from extauthz.keys.load import load_keys
from extauthz.keys.source import IssuerSource

from .fake_time import settle
from .fetching import BODY, limits
from .issuer_keys import GOOD
from .rough_server import RoughServer, answer


class NameServer:
    """Stands in for ``getaddrinfo``: names with ``hangs`` in them wait until ``released``."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.begun = threading.Semaphore(0)
        self.released = threading.Event()
        self._real = socket.getaddrinfo

    def __call__(self, host: Any, *arguments: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        self.asked.append(name)
        if "hangs" not in name:
            return self._real(host, *arguments, **more)
        self.begun.release()
        self.released.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    made = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    yield made
    made.released.set()


async def given_up(names: NameServer, host: str) -> None:
    """An attempt at that host that is given up while its name is being looked up."""
    attempt = asyncio.create_task(fetch(f"https://{host}/keys", limits(timeout=60.0)))
    await apart_from_the_pool(names.begun.acquire)
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)


async def apart_from_the_pool(wait: Any) -> None:
    with ThreadPoolExecutor(1) as own:
        await asyncio.get_running_loop().run_in_executor(own, wait)


async def test_names_that_hang_hold_up_no_other_issuer_and_nothing_else(
    names: NameServer, server: RoughServer
) -> None:
    """Not even where there is a single thread for all that blocks."""
    await http_library()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    for number in range(40):
        await given_up(names, f"hangs-{number}.example")
    server.pages["/keys"] = answer(BODY)
    origin = server.origin.replace("127.0.0.1", "localhost")
    assert "localhost" in origin
    assert (await fetch(origin + "/keys", limits())).body == BODY
    assert await asyncio.to_thread(lambda: "at once") == "at once"
    assert "localhost" in names.asked


async def test_a_name_that_hangs_is_looked_up_once_however_often_it_is_tried(
    names: NameServer,
) -> None:
    for _ in range(20):
        attempt = asyncio.create_task(addresses_of("hangs.example", 443))
        await asyncio.sleep(0)
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
    waiting = asyncio.create_task(addresses_of("hangs.example", 443))
    await asyncio.sleep(0)
    names.released.set()
    with pytest.raises(socket.gaierror):
        await waiting
    assert names.asked == ["hangs.example"]


@pytest.mark.parametrize(
    ("found", "tried"),
    [
        (["::1", "::2", "::3", "127.0.0.1", "127.0.0.2"],
         ["::1", "127.0.0.1", "::2", "127.0.0.2", "::3"]),
        (["127.0.0.1", "127.0.0.1", "::1"], ["127.0.0.1", "::1"]),
        (["127.0.0.1"], ["127.0.0.1"]),
        ([], []),
    ],
)  # fmt: skip
async def test_addresses_of_both_kinds_are_tried_by_turns(
    monkeypatch: pytest.MonkeyPatch, found: list[str], tried: list[str]
) -> None:
    def look_up(*_: object, **__: object) -> list[Any]:
        kinds = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(kinds[":" in ip], socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert await addresses_of("idp.example", 443) == tried


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_is_not_looked_up(names: NameServer, host: str) -> None:
    assert await addresses_of(host, 443) == [host]
    assert names.asked == []


async def test_a_name_that_no_codec_takes_is_one_that_does_not_resolve() -> None:
    with pytest.raises(FetchError, match="does not resolve"):
        await fetch(f"https://{'x' * 70}.invalid/keys", limits())


class Stream(httpcore.AsyncNetworkStream):
    """A connection to an address."""

    def __init__(self, address: str) -> None:
        self.address = address


class Dialled:
    """Connects to addresses; those that begin with ``hangs`` or ``fails`` do so."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.given_up: list[str] = []

    async def __call__(self, address: str) -> httpcore.AsyncNetworkStream:
        self.tried.append(address)
        if address.startswith("fails"):
            raise httpcore.ConnectError(address)
        if address.startswith("hangs"):
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up.append(address)
        return Stream(address)


@pytest.mark.parametrize(
    ("addresses", "tried"),
    [
        (["good", "other"], ["good"]),
        (["fails", "good", "other"], ["fails", "good"]),
        (["hangs", "good", "other"], ["hangs", "good"]),
        (["hangs", "fails", "hangs too", "good"], ["hangs", "fails", "hangs too", "good"]),
    ],
)
async def test_the_first_address_that_answers_is_taken(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], tried: list[str]
) -> None:
    monkeypatch.setattr(connecting, "NEXT_ADDRESS", 0.01)
    dialled = Dialled()
    stream = await _first(dialled, addresses)
    assert isinstance(stream, Stream)
    assert stream.address == "good"
    assert dialled.tried == tried
    assert sorted(dialled.given_up) == [one for one in tried if one.startswith("hangs")]


async def test_where_none_answers_the_first_fault_is_told() -> None:
    with pytest.raises(httpcore.ConnectError, match="fails one"):
        await _first(Dialled(), ["fails one", "fails two"])
    with pytest.raises(httpcore.ConnectError, match="no address"):
        await _first(Dialled(), [])


async def test_who_gives_up_leaves_no_attempt_behind() -> None:
    dialled = Dialled()
    waiting = asyncio.create_task(_first(dialled, ["hangs"]))
    await settle()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert dialled.given_up == ["hangs"]


async def test_importing_the_library_takes_nothing_of_an_issuers_time(
    server: RoughServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timeout is over before the import is."""
    library = await http_library()
    loaded = threading.Event()

    def slowly(*_: object) -> Any:
        loaded.wait()
        return library

    monkeypatch.setattr(fetching_module, "_imported", [])
    monkeypatch.setattr(fetching_module, "import_module", slowly)
    server.pages["/keys"] = answer(json.dumps({"keys": [GOOD]}).encode())
    source = IssuerSource(
        name="corp", issuer=server.origin, jwks_uri=server.origin + "/keys", timeout=0.5
    )
    asyncio.get_running_loop().call_later(0.6, loaded.set)
    assert (await load_keys(source)).key_set.has("good")


async def test_whose_keys_are_in_a_file_needs_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching_module, "_imported", [])
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [GOOD]}))
    source = IssuerSource(name="c", issuer="c", jwks_file=str(tmp_path / "keys.json"))
    assert (await load_keys(source)).key_set.has("good")
    assert fetching_module._imported == []

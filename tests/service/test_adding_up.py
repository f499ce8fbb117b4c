"""What many workers report is added up now and then, and not once for each report."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any, cast

import pytest

from extauthz.service import workers as module
from extauthz.service.doors import DoorAddresses
from extauthz.service.messages import Channel, Counts, Listening
from extauthz.service.workers import Workers
from extauthz.telemetry.counts import DecisionCounts
from extauthz.telemetry.refusals import LastRefusals

KEY = ("notes", "allow", "", "http")
WORKERS = 8
REPORTS = 50


class Process:
    """Stands for the process of a worker; what it would say, a test does."""

    pid = 0

    def __init__(self, descriptor: int) -> None:
        self.socket = socket.socket(fileno=os.dup(descriptor))

    def poll(self) -> int | None:
        return None if self.socket.fileno() >= 0 else 0

    def kill(self) -> None:
        self.socket.close()


class NoKeys:
    def documents(self) -> dict[str, bytes]:
        return {}


async def test_reports_of_many_workers_are_added_up_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processes: list[Process] = []

    def started(descriptor: int, _stack: int) -> Process:
        processes.append(Process(descriptor))
        return processes[-1]

    monkeypatch.setattr(module, "_started", started)
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    decisions = DecisionCounts()
    added_up: list[int] = []
    supervisor = Workers(
        WORKERS,
        cast("Any", None),
        DoorAddresses(None, None),
        cast("Any", NoKeys()),
        decisions=decisions,
        refusals=LastRefusals(),
        heard=lambda: added_up.append(decisions.by_key.get(KEY, 0)),
    )
    starting = asyncio.create_task(supervisor.start())
    async with asyncio.timeout(20):
        while len(processes) < WORKERS:  # noqa: ASYNC110  there is no event for it
            await asyncio.sleep(0)
        channels = [await Channel.over(process.socket.dup()) for process in processes]
        for channel in channels:
            channel.send(Listening())
        await starting
        for number in range(1, REPORTS + 1):
            for channel in channels:
                channel.send(Counts({KEY: number}, {}, 0, 0, 0, 0))
            await asyncio.sleep(0)
        while not added_up or added_up[-1] != WORKERS * REPORTS:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.01)
    assert len(added_up) < REPORTS
    for channel in channels:
        channel.close()
    await supervisor.stop(0)

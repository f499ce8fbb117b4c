"""The attack table: every case, through the engine and through every door.

A refusal must come for the reason that the table names, tell the client nothing of the token,
and have the status of its reason. An allow must carry nothing of the client's own identity.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any

import pytest

from extauthz.core.identity import folded
from tests.attacks import doors
from tests.attacks.doors import UNREADABLE, Door, Outcome, can_carry
from tests.attacks.http_requests import SPOOF
from tests.attacks.rows import ROWS
from tests.attacks.table import ALLOW, ANSWER, Case, Row, Stage
from tests.attacks.world import World
from tests.refusals import STATUSES

STAGE = Stage()
WAYS = ("engine", "grpc", "grpc-joined", "nginx", "forward", "envoy-http")


@cache
def cases_of(row: Row) -> list[Case]:
    return row.cases(STAGE)


@asynccontextmanager
async def way_in(world: World, way: str) -> AsyncIterator[Door]:
    async with AsyncExitStack() as stack:
        if way == "engine":
            yield doors.EngineDoor(world)
        elif way.startswith("grpc"):
            yield await stack.enter_async_context(doors.grpc_door(world, raw=way == "grpc"))
        else:
            yield await stack.enter_async_context(doors.http_door(world, way))


@pytest.mark.requirement("M6", "R27", "R37", "R46", "R48", "R49", "R51", "R52", "R53", "R54", "R55")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
async def test_the_table(row: Row, way: str, tally: Any) -> None:
    door_name = way.removesuffix("-joined")
    world = World(STAGE.now)
    wrong = []
    cases = [case for case in cases_of(row) if can_carry(door_name, case)]
    async with way_in(world, way) as door:
        for case in cases:
            world.set(case)
            outcome = await door.send(case.sent)
            expected = case.at.get(door_name, case.expected)
            faults = [*differences(outcome, expected), *leaks(case, outcome, door_name)]
            if way == "engine" and await door.send(case.sent) != outcome:
                faults.append("another answer at the second time")
            wrong += [f"{case.label}: {fault}" for fault in faults]
            tally(row.number, way, ALLOW in expected, faults)
            issuers = {issuer for issuer, _ in world.keys.looked_for}
            assert issuers <= {"corp", "other", "entra"}, "keys of a stranger were looked for"
    assert not wrong, "\n".join(wrong[:20])


def differences(outcome: Outcome, expected: frozenset[str]) -> list[str]:
    if outcome.verdict == UNREADABLE:
        unreadable_is_fine = ALLOW not in expected and 400 <= outcome.status < 500
        return [] if unreadable_is_fine else [f"unreadable, status {outcome.status}"]
    if outcome.verdict not in expected:
        return [f"{outcome.verdict}, expected {' or '.join(sorted(expected))}"]
    if outcome.verdict in (ALLOW, ANSWER):
        return []
    wanted = STATUSES[outcome.verdict]
    return [] if outcome.status == wanted else [f"status {outcome.status}, expected {wanted}"]


def leaks(case: Case, outcome: Outcome, door: str) -> list[str]:
    """What an answer says that it must not."""
    token = case.sent.token or ""
    if outcome.verdict != ALLOW:
        parts = [part for part in re.split(r"[.,~ ]", token) if len(part) > 16]
        return ["the answer repeats the token"] if any(p in outcome.told for p in parts) else []
    arriving = outcome.arriving(case.sent.lines())
    faults = [f"{name} arrives" for name, value in arriving if SPOOF in value]
    names = [name for name, _ in outcome.sent]
    twice = len(names) != len(set(names)) or not outcome.removed.isdisjoint(names)
    if twice and door not in ("nginx", "forward"):
        faults.append("a header is named twice")
    for name, value in outcome.sent:
        if not value.isascii() or not value.isprintable() or value != value.strip():
            faults.append(f"{name} is no header value")
        if folded(name) != name:
            faults.append(f"{name} is no identity header")
    return faults

"""Whatever bytes come, Check answers with a CheckResponse, and nobody unknown is let in.

An allow is for a public path, an audited server, or a caller whose token is one of ours.
"""

from __future__ import annotations

import asyncio
import atexit
from typing import Any

from google.protobuf.message import DecodeError

from extauthz._pb.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.adapters.grpc_door import CheckServicer
from tests.attacks.doors import check_request
from tests.attacks.table import Sent
from tests.attacks.world import World
from tests.policies import key_sets
from tests.tokens import CALCULATOR, mint

WORLD = World()
WORLD.keys.sets = key_sets()
SERVICER = CheckServicer(WORLD.authorizer)

GOOD = mint()
CALCULATING = mint({"aud": CALCULATOR, "scope": "calculator"})
OURS = (GOOD, CALCULATING)

_CALL = b'{"id":1,"method":"tools/call","params":{"name":"safe"}}'
SEEDS = tuple(
    check_request(sent, raw=raw).SerializeToString()
    for sent in (
        Sent(token=GOOD),
        Sent(token=GOOD, headers=(("X_Auth_Subject", "root"), ("Origin", "null"))),
        Sent(token=CALCULATING, target="/calculator/mcp", body=_CALL),
        Sent(token=CALCULATING, target="/calculator/mcp", mcp={"is_mcp_request": True}),
        Sent(target="/notes/public/x", method="GET"),
        Sent(target="/notes//mcp", server="notes"),
        Sent(token=GOOD, target="/audited/mcp", host="MCP.example.com.:443"),
    )
    for raw in (True, False)
)


class _Context:
    def time_remaining(self) -> float | None:
        return None


CONTEXT: Any = _Context()


def run(coroutine: Any) -> Any:
    """Run a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")


# Tokens are verified in turns on a loop.
LOOP = asyncio.new_event_loop()
atexit.register(LOOP.close)


def one(data: bytes) -> None:
    """Raise where the invariant is broken."""
    WORLD.notebook.decisions.clear()
    WORLD.keys.looked_for.clear()
    reply = CheckResponse.FromString(LOOP.run_until_complete(SERVICER.check(data, CONTEXT)))
    assert len(WORLD.notebook.decisions) == 1
    if reply.status.code != 0:
        assert reply.HasField("denied_response")
        assert reply.denied_response.status.code >= 200
        return
    assert reply.HasField("ok_response")
    server = reply.dynamic_metadata.fields["server"].string_value
    if server == "audited":
        return
    try:
        http = CheckRequest.FromString(data).attributes.request.http
    except DecodeError:
        # In what nobody reads; the rest came before, with a token that is one of ours.
        assert any(f"Bearer {token}".encode() in data for token in OURS)
        return
    if (server == "notes" and "/public/" in http.path) or http.path.startswith("/notes/health"):
        return
    lines = [*(line.raw_value for line in http.header_map.headers)]
    values = [value.encode() for value in http.headers.values()]
    values += [line.value.encode() for line in http.header_map.headers]
    assert any(token.encode() in value for token in OURS for value in (*lines, *values))

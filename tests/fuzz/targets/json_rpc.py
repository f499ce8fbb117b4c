"""The call that we read in a body is the one that every reader of it reads, or we refuse.

Readers differ in which of two equal members they take, in case, and in what is JSON at all.
"""

from __future__ import annotations

import json

from extauthz.core.calls import NAMED_BY, find_call
from extauthz.core.model import Call, Refusal, Request
from tests.policies import policy_for_tests

SERVER = next(one for one in policy_for_tests().servers if one.name == "calculator")

SEEDS = (
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":1}}}',
    b'{"method":"tools/call","method":"tools/list","params":{"name":"a","name":"b"}}',
    b'{"method":"tools\\/call","params":{"n\\u0061me":"\\ud83d\\ude00"}}',
    b'{"Method":"tools/call","params":{"Name":"x","name":"y"}}',
    b'[{"method":"tools/list"}]',
    b'{"id":1,"result":{}}',
    b'\xef\xbb\xbf{"method":"ping"}',
    b'{"method":"resources/read","params":{"uri":"file:///x"},"id":1e400}',
)


def _first_wins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in pairs:
        members.setdefault(name, value)
    return members


def _folding(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return {name.replace("\0", "").casefold(): value for name, value in pairs}


def one(data: bytes) -> None:
    """Raise where the invariant is broken."""
    request = Request(method="POST", host="h", target="/", headers={}, body=data)
    found = find_call(request, SERVER)
    assert isinstance(found, Call | Refusal)
    if isinstance(found, Refusal):
        return
    for hook in (dict, _first_wins, _folding):
        message = json.loads(data.decode("utf-8"), object_pairs_hook=hook)
        assert message.get("method", "") == found.method
        member = NAMED_BY.get(found.method)
        if member is not None:
            assert message["params"][member] == found.name
        elif hook is dict and not found.method:
            assert ("result" in message) != ("error" in message)

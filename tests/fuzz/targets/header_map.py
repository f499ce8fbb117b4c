"""No header of the client that looks like an identity header survives an allow.

The bytes are header lines, ``name:value`` one a line, beside a good token.
"""

from __future__ import annotations

from extauthz._pb.external_auth_pb2 import CheckRequest
from extauthz.adapters.envoy import to_request
from extauthz.core.engine import Engine
from extauthz.core.identity import folded
from extauthz.core.model import Allow, Request
from extauthz.core.policy import IDENTITY_HEADERS
from tests.policies import key_sets, policy_for_tests
from tests.tokens import NOW, mint

ENGINE = Engine(policy_for_tests())
KEYS = key_sets()
TOKEN = f"Bearer {mint()}".encode()
NAMES = frozenset({*IDENTITY_HEADERS, "x-user-email", "x-groups"})

SEEDS = (
    b"x-auth-subject:root\nx_auth_subject:root",
    b"X-Auth_Subject:root\nx.user.email:a",
    b"x-auth-:a\nx-auth-x:b\nx+groups:c",
    b"origin:https://app.example.com\nconnection:x-auth-subject",
    b"authorization:Bearer a.b.c\nx-y:z",
    b":path:/notes/public\n:authority:x",
    b"\xff:\xfe\n\x00:\x00",
)


def one(data: bytes) -> None:
    """Raise where the invariant is broken."""
    message = CheckRequest()
    http = message.attributes.request.http
    http.method, http.path, http.host = "POST", "/notes/mcp", "mcp.example.com"
    http.header_map.headers.add(key="authorization", raw_value=TOKEN)
    for line in data.split(b"\n")[:64]:
        key, _, value = line.partition(b":")
        http.header_map.headers.add(key=key.decode("latin-1"), raw_value=value)
    request = to_request(message)
    if not isinstance(request, Request):
        return
    decision = ENGINE.decide(request, KEYS, now=NOW)
    if not isinstance(decision, Allow):
        return
    sent = {name for name, _ in decision.headers}
    removed = set(decision.remove)
    assert not sent & removed
    assert sent | removed >= NAMES
    for name in request.headers:
        fold = folded(name)
        if fold in NAMES or fold.startswith("x-auth-"):
            assert name in sent | removed, name
    assert dict(decision.headers)["x-auth-subject"] == "alice"

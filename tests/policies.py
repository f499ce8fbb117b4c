"""The inventory that tests of the whole decision share, compiled as ``serve`` compiles it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from extauthz.config.compile import compile_policy
from extauthz.config.load import load
from extauthz.core.engine import Engine
from extauthz.core.keyset import KeySet, parse_key_set
from extauthz.core.model import Request
from extauthz.core.policy import Policy
from extauthz.demo.minting import SigningKey
from tests.tokens import ISSUER, jwks, renamed, signer

OTHER_ISSUER: Final = "https://login.other.example"
ENTRA_ISSUER: Final = "https://login.example.net/{tenantid}/v2.0"
TENANT: Final = "1a2b3c4d-2222-4333-8444-55555555abcd"
ORIGIN: Final = "https://app.example.com"
MODERN: Final = "2026-07-28"

ISSUERS: Final[list[dict[str, Any]]] = [
    {"name": "corp", "issuer": ISSUER},
    {"name": "other", "issuer": OTHER_ISSUER},
    {
        "name": "entra",
        "issuer": "https://login.example.net/common/v2.0",
        "accepted_issuers": [ENTRA_ISSUER],
        "required_claims": {"tid": [TENANT]},
    },
]

FORWARDED: Final = {
    "headers": {"x-user-email": "email", "x-groups": {"claim": "groups", "encode": "json"}}
}

SERVERS: Final[list[dict[str, Any]]] = [
    {
        "name": "notes",
        "resource": "https://mcp.example.com/notes/mcp",
        "match": {"hosts": ["mcp.example.com"], "paths": ["/notes"]},
        "issuers": ["corp", "other", "entra"],
        "scopes": ["notes"],
        "public_paths": ["/notes/public/*", "/notes/health"],
        "origins": [ORIGIN],
        "forward": FORWARDED,
    },
    {
        "name": "calculator",
        "resource": "https://mcp.example.com/calculator/mcp",
        "match": {"hosts": ["mcp.example.com"], "paths": ["/calculator"]},
        "issuers": ["corp"],
        "scopes": ["calculator"],
        "tools": {"add": ["calculator.add"], "danger_*": "deny", "a/b": "deny", "*": "allow"},
        "methods": {"admin/*": "deny"},
    },
    {
        "name": "audited",
        "resource": "https://mcp.example.com/audited/mcp",
        "match": {"hosts": ["mcp.example.com"], "paths": ["/audited"]},
        "issuers": ["corp"],
        "scopes": ["audited"],
        "forward": FORWARDED,
        "mode": "audit",
    },
]


def document(**changes: Any) -> dict[str, Any]:
    """The configuration file as a mapping, with top-level changes."""
    return {"version": 1, "issuers": ISSUERS, "servers": SERVERS, **changes}


def compiled(config: Mapping[str, Any]) -> Policy:
    """The policy of a configuration file that holds ``config``."""
    text = json.dumps(config).encode()
    return compile_policy(load("extauthz.yaml", environ={}, read=lambda _: text))


def policy_for_tests(**changes: Any) -> Policy:
    """The policy of ``document``."""
    return compiled(document(**changes))


def policy_with(server: str, **changes: Any) -> Policy:
    """The policy of ``document`` with changes to one server."""
    servers = [one | changes if one["name"] == server else one for one in SERVERS]
    return policy_for_tests(servers=servers)


def engine_for_tests(**changes: Any) -> Engine:
    """An engine of its own for that policy."""
    return Engine(policy_for_tests(**changes))


def key_sets() -> dict[str, KeySet]:
    """The keys of every issuer: corp signs with ``signer()`` and its like.

    The other issuer has a key of its own under the id of corp's.
    """
    corp = [signer(algorithm) for algorithm in ("ES256", "ES384", "ES512", "RS256", "EdDSA")]
    return {
        "corp": parse_key_set(jwks(*corp)),
        "other": parse_key_set(jwks(signer("ES256", "es256-other"), other_signer())),
        "entra": parse_key_set(jwks(signer("ES256", "entra"))),
    }


def other_signer() -> SigningKey:
    """The other issuer's key that bears the id of corp's."""
    return renamed(signer("ES256", "other"), "es256")


def asking(
    token: str | None = None,
    *,
    method: str = "POST",
    target: str = "/notes/mcp",
    host: str = "mcp.example.com",
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Request:
    """A request to the notes server, unless told otherwise."""
    lines = dict(headers or {})
    if token is not None:
        lines["authorization"] = f"Bearer {token}"
    return Request(method=method, host=host, target=target, headers=lines, **more)

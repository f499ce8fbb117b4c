"""Real MCP clients log in through real proxies at an authorization server written by others.

They know nothing but the URL of the MCP server. Each of them finds the authorization server,
registers, lets its user log in, calls a tool, meets a 403, asks the user again and succeeds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.clients import python_client
from tests.clients.gateways import Guarded, gateway, resource, serving
from tests.clients.journey import Journey
from tests.clients.node import HERE, node, run_node
from tests.e2e.processes import answers, free_port, program

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

RULES: dict[str, Any] = {
    "scopes": ["calculator.use"],
    "tools": {"add": ["calculator.add"], "*": "allow"},
}
# nginx shows headers alone; this server, of the mcp package, compares them with the message.
EDGES: dict[str, dict[str, Any]] = {
    "envoy-mcp": {},
    "envoy-body": {},
    "nginx": {"header_versions": ["2026-07-28"]},
    "nginx, without rules": {"tools": {}},
    "envoy-mcp, bound clients": {},
    "envoy-mcp, bound clients, scopes at the tools": {
        "scopes": [],
        "tools": {"add": ["calculator.use", "calculator.add"], "*": ["calculator.use"]},
    },
}
# Client, and how it finds the revision of the protocol: legacy is 2025-11-25, auto 2026-07-28.
CODE, REFRESH = "authorization_code", "refresh_token"
CLIENTS = {
    "Python": ("python", "auto"),
    "Python, 2025-11-25": ("python", "legacy"),
    "TypeScript 2": ("v2", "auto", CODE, REFRESH),
    "TypeScript 2, 2025-11-25": ("v2", "legacy", CODE, REFRESH),
    "TypeScript 1, 2025-11-25": ("v1", "legacy", CODE),
}
# It refreshes its token where it should ask the user for more.
REFRESHING = "TypeScript 1 with a refresh token"
ALL_CLIENTS = {**CLIENTS, REFRESHING: ("v1", "legacy", CODE, REFRESH)}
OLD = [name for name in CLIENTS if name.endswith("2025-11-25")]


@dataclass(frozen=True)
class Door:
    """What a client is told, and who grants tokens for it."""

    url: str
    issuer: str


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Door]]:
    """One gateway for each edge, with one MCP server and two authorization servers for all."""
    folder = tmp_path_factory.mktemp("login")
    ports = {edge: free_port() for edge in EDGES}
    resources = ",".join(map(resource, ports.values()))
    server = ["-m", "extauthz.demo.mcp_servers", "calculator", "--port"]
    with ExitStack() as stack:
        issuers = {}
        for clients in ("free", "bound"):
            port = free_port()
            issuer = issuers[clients] = f"http://127.0.0.1:{port}"
            command: list[str | Path] = [node(), HERE / "authorization_server.js", clients]
            command += [str(port), resources, "calculator.use", "calculator.add"]
            log = folder / f"authorization_server_{clients}.log"
            stack.enter_context(program(command, log, partial(answers, f"{issuer}/jwks")))
        backend = stack.enter_context(serving(server, folder / "server.log"))
        doors = {}
        for edge, settings in EDGES.items():
            issuer = issuers["bound" if "bound" in edge else "free"]
            running = gateway(
                edge.partition(",")[0],
                Guarded(backend, {**RULES, **settings}),
                issuer={"issuer": issuer},
                folder=folder / edge,
                port=ports[edge],
            )
            stack.enter_context(running)
            doors[edge] = Door(resource(ports[edge]), issuer)
        yield doors


async def travel(client: str, url: str) -> Journey:
    sdk, mode, *grants = ALL_CLIENTS[client]
    if sdk == "python":
        return await python_client.travel(url, mode)
    return Journey.from_json(json.loads(run_node([HERE / "client.js", sdk, mode, url, *grants])))


WORKING = [
    pytest.param(client, edge, id=f"{client} through {edge}")
    for edge in ("envoy-mcp", "envoy-body", "nginx")
    for client in CLIENTS
    if edge != "nginx" or client not in OLD
]


@pytest.mark.requirement("M1", "M3", "M13", "M14", "R8", "R9")
@pytest.mark.parametrize(("client", "edge"), WORKING)
async def test_a_client_logs_in_and_steps_up(
    doors: dict[str, Door], client: str, edge: str
) -> None:
    door = doors[edge]
    journey = await travel(client, door.url)
    assert journey.error is None, journey

    # The user was asked once for the first tool and once more for the second, and both ran.
    assert journey.tools == ["add", "subtract", "get_me"]
    assert (journey.logins, journey.authorizations) == (1, 2), journey
    assert journey.sum == {"result": 5}
    spoken = {each.version for each in journey.traffic if each.url == door.url and each.version}
    assert spoken == {"2025-11-25" if client in OLD else "2026-07-28"}

    # Two refusals in all; each said everything that the client needed to go on.
    metadata = door.url.replace("/calculator/mcp", "/.well-known/oauth-protected-resource{}")
    metadata = metadata.format("/calculator/mcp")
    first, second = journey.refusals()
    assert (first.status, second.status) == (401, 403)
    assert first.challenge == f'Bearer scope="calculator.use", resource_metadata="{metadata}"'
    assert (second.challenge or "").startswith(
        'Bearer error="insufficient_scope", scope="calculator.use calculator.add", '
        f'resource_metadata="{metadata}", error_description="'
    )

    # The server learnt who called, and never saw the token.
    identity = journey.me["identity"]
    assert journey.me["authorization_arrived"] is False
    assert (identity["x-auth-subject"], identity["x-auth-issuer"]) == ("alice", door.issuer)
    assert identity["x-auth-scopes"] == "calculator.use"

    # The token is one of RFC 9068, for this server and no other (RFC 8707).
    assert journey.token is not None
    assert jwt.get_unverified_header(journey.token)["typ"] == "at+jwt"
    claims = jwt.decode(journey.token, options={"verify_signature": False})
    assert claims["aud"] == door.url
    assert set(claims["scope"].split()) == {"calculator.use", "calculator.add"}


@pytest.mark.requirement("M1")
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_asks_nobody_but_those_it_was_sent_to(
    doors: dict[str, Door], client: str
) -> None:
    """No guessing at ``/register``, ``/authorize`` or ``/token`` of the MCP server's own origin."""
    door = doors["envoy-mcp"]
    journey = await travel(client, door.url)
    origin = door.url.removesuffix("/calculator/mcp")
    asked = {each.url for each in journey.traffic if each.url.startswith(origin)}
    assert asked == {door.url, f"{origin}/.well-known/oauth-protected-resource/calculator/mcp"}
    assert {each.status for each in journey.traffic} <= {200, 201, 202, 401, 403}, journey


@pytest.mark.requirement("M22")
@pytest.mark.parametrize("client", OLD)
async def test_nginx_refuses_clients_whose_headers_nobody_checks(
    doors: dict[str, Door], client: str
) -> None:
    """Where rules exist and nginx cannot show the message, an older client is told so."""
    journey = await travel(client, doors["nginx"].url)
    assert "could not be verified" in (journey.error or ""), journey
    assert [each.status for each in journey.refusals()] == [401, 403]
    assert journey.refusals()[1].challenge is None
    assert journey.sum is None


@pytest.mark.parametrize("client", CLIENTS)
async def test_without_rules_every_client_passes_nginx(doors: dict[str, Door], client: str) -> None:
    """The scopes of the server are asked for once, at the start, and suffice for every tool."""
    journey = await travel(client, doors["nginx, without rules"].url)
    assert journey.error is None, journey
    assert journey.sum == {"result": 5}
    assert journey.authorizations == 1
    assert [each.status for each in journey.refusals()] == [401]


async def test_a_client_that_refreshes_instead_of_asking_gets_no_further(
    doors: dict[str, Door],
) -> None:
    """A refresh brings the scopes that the token had (RFC 6749 section 6)."""
    journey = await travel(REFRESHING, doors["envoy-mcp"].url)
    assert "403 after trying upscoping" in (journey.error or ""), journey
    assert [each.status for each in journey.refusals()] == [401, 403, 403]
    assert (journey.authorizations, journey.sum) == (1, None)


async def test_a_client_bound_to_the_scopes_it_registered_with_gets_no_further(
    doors: dict[str, Door],
) -> None:
    """It registered with those of its first challenge, and may not ask for more."""
    journey = await travel("TypeScript 2", doors["envoy-mcp, bound clients"].url)
    assert "scope" in (journey.error or ""), journey
    assert [each.status for each in journey.refusals()] == [401, 403]
    assert (journey.authorizations, journey.sum) == (2, None)


@pytest.mark.parametrize("client", ALL_CLIENTS)
async def test_scopes_at_the_tools_alone_are_all_asked_for_at_the_first_login(
    doors: dict[str, Door], client: str
) -> None:
    """A challenge without scopes sends clients to those of the metadata: nobody has to step up."""
    journey = await travel(client, doors["envoy-mcp, bound clients, scopes at the tools"].url)
    assert journey.error is None, journey
    assert journey.sum == {"result": 5}
    assert journey.authorizations == 1
    assert [each.status for each in journey.refusals()] == [401]

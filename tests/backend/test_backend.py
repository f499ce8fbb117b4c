"""Servers behind the gateway know who is calling, and refuse those who came around it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from extauthz.backend import (
    AroundTheGateway,
    IdentityMiddleware,
    identity_headers,
    read_identity,
    user_of,
)
from extauthz.backend.starlette import authenticated_user, requiring
from extauthz.core.identity import identity_headers as sent_by_the_gateway
from extauthz.core.policy import IDENTITY_HEADERS, Encoding, ForwardedClaim, Issuer, Server
from extauthz.core.verified import TokenFacts

NAME = "Zoë, 100% ok"
CLAIMS = {
    "sub": NAME,
    "groups": ["a,b", "c d", "é"],
    "address": {"city": "Köln"},
    "org": [1, {"x": None}],
}


def _sent() -> dict[str, str]:
    issuer = Issuer(
        name="i", issuer="https://i", accepted=frozenset({"https://i"}), advertised="https://i"
    )
    server = Server(
        name="notes",
        resource=None,
        hosts=(),
        paths=(),
        issuers=(issuer,),
        audiences=None,
        forwarded=(
            ForwardedClaim("x-user-groups", ("groups",)),
            ForwardedClaim("x-user-address", ("address",), Encoding.JSON),
            ForwardedClaim("x-user-org", ("org",), Encoding.BASE64JSON),
            ForwardedClaim("x-user-name", ("sub",)),
        ),
    )
    facts = TokenFacts(
        issuer, "https://i", 2000.0, None, 1000.0, ("other",), ("https://n", "b c"), ("r", "w w"),
        NAME, "cli", "j1", None, CLAIMS,
    )  # fmt: skip
    headers = sent_by_the_gateway(facts, server)
    assert isinstance(headers, tuple)
    return dict(headers)


def test_what_the_gateway_sends_is_read_back_exactly() -> None:
    names = ("X-User-Groups", "x-user-address", "x-user-org", "x-user-name")
    user = read_identity(_sent().items(), server="notes", claims=names)
    assert user is not None
    assert user.subject == NAME == user.claim("X-User-Name")
    assert user.audience == ("https://n", "b c")
    assert user.scopes == {"r", "w w"}
    assert user.has_scopes("r")
    assert not user.has_scopes("r", "x")
    assert user.issued_at == datetime(1970, 1, 1, 0, 16, 40, tzinfo=UTC)
    assert user.expires_at == datetime(1970, 1, 1, 0, 33, 20, tzinfo=UTC)
    assert (user.issuer, user.client_id, user.token_id, user.server) == (
        "https://i", "cli", "j1", "notes",
    )  # fmt: skip
    assert list(user.claim_list("x-user-groups")) == CLAIMS["groups"]
    assert user.claim_json("x-user-address") == CLAIMS["address"]
    assert user.claim_json("x-user-org") == CLAIMS["org"]
    assert user.claim("x-other") is None
    assert user.claim_list("x-other") == ()
    assert user.claim_json("x-other") is None


def test_the_names_are_those_of_the_contract() -> None:
    from extauthz.backend.identity import NAMES  # noqa: PLC0415

    assert NAMES == IDENTITY_HEADERS


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ([], "x-auth-server is missing"),
        ([("x-auth-subject", "admin")], "x-auth-server is missing"),
        ([("x-auth-server", "")], "x-auth-server is missing"),
        ([("x-auth-server", "other")], "another server"),
        ([("x-auth-server", "notes"), ("X-Auth-Server", "notes")], "occurs twice"),
        ([*_sent().items(), ("x-auth-subject", "admin")], "occurs twice"),
        (
            [("x-auth-server", "notes"), ("x-auth-subject", ""), ("x-auth-subject", "admin")],
            "occurs twice",
        ),
        ([*_sent().items(), ("Trailer", "digest, X-Auth-Scopes")], "announced as a trailer"),
        (
            [("x-auth-server", "notes"), ("x-auth-issuer", "i"), ("x-auth-expires-at", "soon")],
            "not a time",
        ),
    ],
)
def test_identity_that_is_not_the_gateways_is_refused(headers: Any, why: str) -> None:
    with pytest.raises(AroundTheGateway, match=why):
        read_identity(headers, server="notes")


def test_an_empty_header_is_none() -> None:
    """Proxies that pass trailers on leave no name free: what nobody has is sent empty."""
    empty = {**dict.fromkeys(IDENTITY_HEADERS, ""), "x-user-name": ""}
    user = read_identity(
        {**empty, "x-auth-server": "notes", "x-auth-issuer": "https://i"}.items(),
        server="notes",
        claims=["x-user-name"],
    )
    assert user is not None
    assert (user.subject, user.client_id, user.token_id) == (None, None, None)
    assert (user.issued_at, user.expires_at, user.claim("x-user-name")) == (None, None, None)
    assert (user.scopes, user.audience) == (frozenset(), ())
    assert read_identity({**empty, "x-auth-server": "notes"}.items(), server="notes") is None


def test_another_trailer_may_be_announced() -> None:
    lines = [*_sent().items(), ("Trailer", "digest, x-auth")]
    assert read_identity(lines, server="notes") is not None


async def _whoami(request: Request) -> JSONResponse:
    user = user_of(request.scope)
    return JSONResponse(None if user is None else user.subject)


async def _writer(request: Request) -> JSONResponse:
    return JSONResponse(requiring("notes.write")(request).subject)


APP = Starlette(
    routes=[Route("/who", _whoami), Route("/healthz", _whoami), Route("/write", _writer)]
)


async def _get(
    path: str, headers: dict[str, str], *, peer: Any = ("127.0.0.1", 1), **options: Any
) -> tuple[int, Any]:
    app = IdentityMiddleware(APP, server="notes", open_paths=["/healthz"], **options)
    transport = httpx.ASGITransport(app=app, client=peer)
    async with httpx.AsyncClient(transport=transport, base_url="http://notes") as client:
        answer = await client.get(path, headers=headers)
        return answer.status_code, answer.json()


GOOD = identity_headers(server="notes", subject="Zoë", scopes=["notes.write"])


async def test_a_request_of_the_gateway_passes_with_its_caller() -> None:
    assert await _get("/who", GOOD) == (200, "Zoë")
    assert await _get("/who", GOOD, peer=("::ffff:127.0.0.1", 1)) == (200, "Zoë")
    assert await _get("/who", GOOD, peer=("10.1.2.3", 1), trusted_proxies=["10.0.0.0/8"]) == (
        200,
        "Zoë",
    )


@pytest.mark.parametrize("peer", [("10.1.2.3", 1), ("fe80::1", 1), ("testclient", 1)])
async def test_a_peer_that_is_no_trusted_proxy_is_refused(peer: Any) -> None:
    status, body = await _get("/who", GOOD, peer=peer)
    assert status == 403
    assert body["why"] == f"the peer {peer[0]} is not a trusted proxy"


@pytest.mark.parametrize(
    ("peer", "headers", "passes"),
    [
        (("127.0.0.1", 0), {}, False),
        (("127.0.0.1", 1), {}, True),
        (("127.0.0.1", None), {}, False),
        (("127.0.0.1", 7), {"X-Forwarded-For": "10.0.0.9, 127.0.0.1:7"}, False),
        (("127.0.0.1", 7), {"X-Forwarded-For": "[127.0.0.1]: +0_7 ,10.0.0.9"}, False),
        (("::1", 7), {"X-Forwarded-For": "[::1]:7"}, False),
        (("127.0.0.1", 7), {"X-Forwarded-For": "127.0.0.1:8"}, True),
        (("127.0.0.1", 7), {"X-Forwarded-For": "10.0.0.9:7"}, True),
        (("127.0.0.1", 7), {"X-Forwarded-For": "127.0.0.1, 127.0.0.1:"}, True),
        (("127.0.0.1", 7), {"X-Forwarded-Port": "7"}, False),
        (("127.0.0.1", 7), {"X-Forwarded-Port": "443"}, True),
        (None, {"X-Forwarded-For": "10.0.0.9"}, True),
    ],
)
async def test_a_peer_that_a_header_may_have_named_is_refused(
    peer: Any, headers: dict[str, str], passes: bool
) -> None:
    status, body = await _get("/who", {**GOOD, **headers}, peer=peer)
    assert status == (200 if passes else 403)
    if not passes:
        assert "--no-proxy-headers" in body["why"]


async def test_missing_identity_is_refused_but_where_it_is_not_expected() -> None:
    public = identity_headers(server="notes", issuer=None)
    assert (await _get("/who", {}))[0] == 403
    assert (await _get("/who", public))[0] == 403
    assert await _get("/who", public, public=True) == (200, None)
    assert await _get("/healthz", {}, peer=("10.1.2.3", 1)) == (200, None)


async def test_scopes_can_be_asked_for_at_an_endpoint() -> None:
    assert await _get("/write", GOOD) == (200, "Zoë")
    app = IdentityMiddleware(APP, server="notes")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://notes"
    ) as client:
        answer = await client.get("/write", headers=identity_headers(server="notes"))
    assert answer.status_code == 403


def test_without_the_middleware_nobody_is_a_user() -> None:
    with pytest.raises(AroundTheGateway, match="not installed"):
        user_of({"type": "http"})


def test_it_fits_the_annotations_of_fastapi() -> None:
    """FastAPI reads the annotation of the parameter to know what to hand over."""
    import inspect  # noqa: PLC0415

    signature = inspect.signature(authenticated_user, eval_str=True)
    (parameter,) = signature.parameters.values()
    assert parameter.annotation.__name__ == "HTTPConnection"


def test_it_imports_nothing_of_the_service() -> None:
    code = (
        "import sys, extauthz.backend\n"
        "heavy = {'grpc', 'httpx', 'pydantic', 'yaml', 'jwt', 'cryptography', 'starlette',"
        " 'google.protobuf', 'extauthz.core', 'extauthz.service'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_where_the_mcp_sdk_is_not_in_use_it_is_not_imported_and_the_scope_has_no_more_users() -> (
    None
):
    code = (
        "import asyncio, sys\n"
        "from extauthz.backend import IdentityMiddleware, identity_headers\n"
        "async def app(scope, receive, send):\n"
        "    print('user' in scope, scope['extauthz.user'].subject, 'mcp' in sys.modules)\n"
        "headers = [(k.encode(), v.encode()) for k, v in identity_headers(server='s').items()]\n"
        "scope = {'type': 'http', 'path': '/', 'client': None, 'headers': headers}\n"
        "asyncio.run(IdentityMiddleware(app)(scope, None, None))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "test-user", "False"]

"""The scripted client: what it tries at the edge, what should come of it, what does."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from .issuer import Issuer
from .layout import CLIENT_ID, DemoError, Ports
from .minting import SigningKey
from .visitor import LEGACY, Failure, Refusal, calling, tool_names, visit

_CALCULATOR_TOOLS = ["add", "subtract", "get_me"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    tried: str
    expected: str
    got: str

    @property
    def ok(self) -> bool:
        """Whether it went as expected."""
        return self.got == self.expected


class Journey:
    """A client's way through everything that the demo shows.

    Arguments:
        ports: where the edge listens.
        issuer: the running issuer.
        client_secret: the secret of `CLIENT_ID` there.
    """

    def __init__(self, ports: Ports, issuer: Issuer, client_secret: str) -> None:
        self._issuer, self._secret = issuer, client_secret
        self._calculator = ports.resource("calculator")
        self._notes = ports.resource("notes")

    async def rows(self) -> AsyncIterator[Row]:
        """Walk the way and report each step when it is done."""
        steps: list[Callable[[], Awaitable[Row]]] = [
            self._no_token,
            self._resource_metadata,
            self._lists_tools,
            self._adds,
            self._is_known,
            self._older_client,
            self._elliptic_curve,
            self._spoofs_identity,
            self._token_for_the_other_server,
            self._expired,
            self._forged,
            self._missing_scope,
            self._allowed_tool,
            self._denied_tool,
            self._rotated,
        ]
        for step in steps:
            yield await step()

    # ---- getting in -------------------------------------------------------------------

    async def _no_token(self) -> Row:
        outcome = await visit(self._calculator, tool_names)
        return Row(
            "tools/list without a token",
            "401 missing_token, challenge with scope and resource_metadata",
            f"{_refusal(outcome)}, challenge with {' and '.join(_parameters(outcome))}",
        )

    async def _resource_metadata(self) -> Row:
        tried = "the metadata that the challenge names"
        path = urlsplit(self._calculator).path
        expected = f"resource {path}, issuer {self._issuer.url}"
        outcome = await visit(self._calculator, tool_names)
        url = _parameters(outcome).get("resource_metadata")
        if url is None:
            return Row(tried, expected, "the challenge names none")
        async with _http() as client:
            answer = await client.get(url)
        if answer.status_code != 200:
            return Row(tried, expected, f"status {answer.status_code}")
        document = answer.json()
        resource = document["resource"].removeprefix(self._calculator.removesuffix(path))
        issuers = " and ".join(document["authorization_servers"])
        return Row(tried, expected, f"resource {resource}, issuer {issuers}")

    async def _lists_tools(self) -> Row:
        outcome = await visit(self._calculator, tool_names, token=await self._token())
        return Row("tools/list with a token", _text(_CALCULATOR_TOOLS), _text(outcome))

    async def _adds(self) -> Row:
        token = await self._token()
        outcome = await visit(self._calculator, calling("add", a=2, b=3), token=token)
        return Row("add 2 and 3", "5", _text(outcome))

    async def _is_known(self) -> Row:
        outcome = await visit(self._calculator, calling("get_me"), token=await self._token())
        return Row(
            "get_me: who does the server see?",
            f"{CLIENT_ID}, scopes calculator.use, no token",
            _seen(outcome),
        )

    async def _older_client(self) -> Row:
        token = await self._token()
        outcome = await visit(self._calculator, tool_names, token=token, mode=LEGACY)
        return Row(
            "the same from a client of MCP 2025-11-25", _text(_CALCULATOR_TOOLS), _text(outcome)
        )

    async def _elliptic_curve(self) -> Row:
        token = self._minted(alg="ES256")
        outcome = await visit(self._calculator, calling("add", a=2, b=3), token=token)
        return Row("add with a token signed with ES256", "5", _text(outcome))

    # ---- staying out ------------------------------------------------------------------

    async def _spoofs_identity(self) -> Row:
        spoof = {"x-auth-subject": "admin", "X-Auth_Subject": "admin", "x-auth-roles": "admin"}
        token = await self._token()
        outcome = await visit(self._calculator, calling("get_me"), token=token, headers=spoof)
        return Row(
            "get_me with x-auth-subject: admin sent along",
            f"{CLIENT_ID}, scopes calculator.use, no token",
            _seen(outcome),
        )

    async def _token_for_the_other_server(self) -> Row:
        token = await self._token(self._notes, "notes.read")
        outcome = await visit(self._calculator, tool_names, token=token)
        return Row("a token for the other server", "401 wrong_audience", _refusal(outcome))

    async def _expired(self) -> Row:
        outcome = await visit(self._calculator, tool_names, token=self._minted(ttl=-60))
        return Row("an expired token", "401 token_expired", _refusal(outcome))

    async def _forged(self) -> Row:
        kid = self._issuer.key("ES256").kid
        token = self._minted(key=SigningKey.generate("ES256", kid=kid))
        outcome = await visit(self._calculator, tool_names, token=token)
        return Row("a token signed by somebody else", "401 bad_signature", _refusal(outcome))

    # ---- rules for single tools -------------------------------------------------------

    async def _missing_scope(self) -> Row:
        token = await self._token(self._notes, "notes.read")
        outcome = await visit(self._notes, calling("add_note", text="milk"), token=token)
        return Row(
            "add_note with the scope notes.read alone",
            "403 insufficient_scope, wanted: notes.read notes.write",
            f"{_refusal(outcome)}, wanted: {_parameters(outcome).get('scope')}",
        )

    async def _allowed_tool(self) -> Row:
        token = await self._token(self._notes, "notes.read notes.write")
        outcome = await visit(self._notes, calling("add_note", text="milk"), token=token)
        return Row("add_note with both scopes", "1", _text(outcome))

    async def _denied_tool(self) -> Row:
        token = await self._token(self._notes, "notes.read notes.write")
        outcome = await visit(self._notes, calling("danger_delete_everything"), token=token)
        return Row("a tool that the rules deny", "403 denied_by_rule", _refusal(outcome))

    # ---- new keys ---------------------------------------------------------------------

    async def _rotated(self) -> Row:
        fetched = self._issuer.counts["keys"]
        self._issuer.rotate()
        token = await self._token()
        outcome = await visit(self._calculator, calling("add", a=2, b=3), token=token)
        fetches = self._issuer.counts["keys"] - fetched
        return Row(
            "the issuer has new keys: the next token",
            "5, after 1 fetch of the key set",
            f"{_text(outcome)}, after {fetches} fetch of the key set",
        )

    # ---- tokens -----------------------------------------------------------------------

    async def _token(self, resource: str | None = None, scope: str = "calculator.use") -> str:
        """A token that the issuer grants (RFC 6749 section 4.4, RFC 8707)."""
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            "resource": resource or self._calculator,
        }
        async with _http() as client:
            auth = (CLIENT_ID, self._secret)
            answer = await client.post(self._issuer.token_endpoint, data=form, auth=auth)
        if answer.status_code != 200:
            raise DemoError(f"the issuer granted no token: {answer.json()['error']}")
        return str(answer.json()["access_token"])

    def _minted(self, **changes: Any) -> str:
        """A token as the issuer grants it, but for ``changes``."""
        granted = {
            "sub": CLIENT_ID,
            "client_id": CLIENT_ID,
            "aud": self._calculator,
            "scope": "calculator.use",
        }
        return self._issuer.mint(**{**granted, **changes})


def _http() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, timeout=10)


def _text(outcome: Any) -> str:
    if isinstance(outcome, Refusal):
        return _refusal(outcome)
    if isinstance(outcome, Failure):
        return outcome.text
    if isinstance(outcome, list):
        return ", ".join(outcome)
    return f"{outcome:g}" if isinstance(outcome, float) else str(outcome)


def _refusal(outcome: Any) -> str:
    if isinstance(outcome, Refusal):
        return f"{outcome.status} {outcome.reason}"
    return _text(outcome) if isinstance(outcome, Failure) else f"allowed: {_text(outcome)}"


def _parameters(outcome: Any) -> dict[str, str]:
    """The parameters of the challenge (RFC 9110 section 11.2); none without a challenge."""
    challenge = outcome.challenge if isinstance(outcome, Refusal) else ""
    return dict(re.findall(r'([a-z_]+)="([^"]*)"', challenge))


def _seen(outcome: Any) -> str:
    """What get_me says about the identity that arrived."""
    if not isinstance(outcome, dict):
        return _text(outcome)
    identity = outcome["identity"]
    subject, scopes = identity.get("x-auth-subject"), identity.get("x-auth-scopes")
    token = "a token" if outcome["authorization_arrived"] else "no token"
    spoofed = [name for name, value in identity.items() if value == "admin"]
    return ", ".join([f"{subject}", f"scopes {scopes}", token, *spoofed])

"""Requests of every kind, and the one right answer to each under either configuration."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from extauthz.demo.minting import SigningKey, signed

from .inventory import CALCULATOR, HOST, NOTES, REVISION, SCOPES, TEAM, Version, issuer

Key = Literal["known", "unknown", "late"]
_NUMBERS = itertools.count()
_META = {
    "io.modelcontextprotocol/protocolVersion": REVISION,
    "io.modelcontextprotocol/clientInfo": {"name": "endurance", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(frozen=True)
class Answer:
    """What a client gets: the reason and scopes of a refusal, or what the server received."""

    status: int
    reason: str = ""
    scopes: str = ""
    identity: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        told = " ".join(filter(None, (str(self.status), self.reason, f"[{self.scopes}]")))
        seen = {name: self.identity[name] for name in _TELLING if name in self.identity}
        return f"{told} {seen}" if seen else told


_TELLING = ("x-auth-subject", "x-auth-scopes", "x-auth-server", "x-team", "authorization")
UNKNOWN_KEY = "unknown_key"


@dataclass(frozen=True)
class Question:
    """A request, and its right answers while its key is known."""

    kind: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    answers: Mapping[Version, Answer]
    kid: str | None = None

    def right(self, version: Version, key: Key) -> Answer:
        """The one right answer."""
        answer = self.answers[version]
        if self.kid is None or key == "known":
            return answer
        if key == "late":
            return Answer(503, "keys_unavailable")
        return Answer(401, UNKNOWN_KEY, self._scopes(version))

    def _scopes(self, version: Version) -> str:
        return "calculator" if "calculator" in self.path else " ".join(SCOPES[version])


@dataclass(frozen=True)
class Asker:
    """Makes requests with tokens of ``key``; ``forger`` is nobody's key."""

    standins: int
    key: SigningKey
    forger: SigningKey

    def all(self) -> Iterator[Question]:
        """One of each kind, with tokens that nobody has seen yet."""
        wide = self._claims(NOTES, "notes notes.more")
        yield self._notes("good", wide)
        yield self._notes("spoofed", wide, **{"X-Auth-Subject": "root", "X-Team": "admins"})
        yield self._narrow()
        yield self._refused("poor", 403, "insufficient_scope", self._claims(NOTES, "other"))
        yield self._refused("of another server", 401, "wrong_audience", self._claims(CALCULATOR))
        yield self._refused("expired", 401, "token_expired", self._claims(NOTES, life=-60))
        yield self._forged()
        yield self._without("no token")
        yield self._without("no token, spoofed", **{"X-Auth-Subject": "root"})
        yield self._tool("tool", "add")
        yield self._tool("ruled tool", "wipe")

    def one(self) -> Question:
        """A good one."""
        return self._notes("of an earlier key", self._claims(NOTES, "notes notes.more"))

    def _claims(self, audience: str, scope: str = "", life: int = 600) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": issuer(self.standins, "main"),
            "sub": f"subject-{next(_NUMBERS)}",
            "aud": audience,
            "client_id": "inspector",
            "scope": scope,
            "jti": f"token-{next(_NUMBERS)}",
            "iat": now - 600,
            "exp": now + life,
            "team": "red",
            "department": "research",
        }

    def _token(self, claims: Mapping[str, Any], key: SigningKey | None = None) -> dict[str, str]:
        token = signed(key or self.key, claims, {"typ": "at+jwt", "kid": self.key.kid})
        return {"Authorization": f"Bearer {token}"}

    def _notes(self, kind: str, claims: dict[str, Any], **headers: str) -> Question:
        answers: dict[Version, Answer] = {
            version: self._allowed(claims, "notes", **{"x-team": claims[TEAM[version]]})
            for version in ("A", "B")
        }
        return _asked(kind, "notes", {**self._token(claims), **headers}, answers, self.key.kid)

    def _narrow(self) -> Question:
        claims = self._claims(NOTES, "notes")
        answers: dict[Version, Answer] = {
            "A": self._allowed(claims, "notes", **{"x-team": "red"}),
            "B": Answer(403, "insufficient_scope", "notes notes.more"),
        }
        return _asked("narrow", "notes", self._token(claims), answers, self.key.kid)

    def _refused(self, kind: str, status: int, reason: str, claims: dict[str, Any]) -> Question:
        # What needs no key is judged before the key is looked for.
        kid = self.key.kid if reason == "insufficient_scope" else None
        return _asked(kind, "notes", self._token(claims), _refusals(status, reason), kid)

    def _forged(self) -> Question:
        headers = self._token(self._claims(NOTES, "notes notes.more"), self.forger)
        return _asked("forged", "notes", headers, _refusals(401, "bad_signature"), self.key.kid)

    def _without(self, kind: str, **headers: str) -> Question:
        return _asked(kind, "notes", headers, _refusals(401, "missing_token"))

    def _tool(self, kind: str, tool: str) -> Question:
        claims = self._claims(CALCULATOR, "calculator")
        headers = {
            **self._token(claims),
            "MCP-Protocol-Version": REVISION,
            "Mcp-Method": "tools/call",
            "Mcp-Name": tool,
        }
        answers: dict[Version, Answer] = {
            "A": Answer(403, "denied_by_rule"),
            "B": Answer(403, "insufficient_scope", "calculator calculator.wipe"),
        }
        if tool == "add":
            allowed = self._allowed(claims, "calculator")
            answers = {"A": allowed, "B": allowed}
        return _asked(kind, "calculator", headers, answers, self.key.kid, tool=tool)

    def _allowed(self, claims: Mapping[str, Any], server: str, **extra: str) -> Answer:
        identity = {
            "x-auth-subject": claims["sub"],
            "x-auth-issuer": claims["iss"],
            "x-auth-client-id": claims["client_id"],
            "x-auth-scopes": claims["scope"],
            "x-auth-audience": claims["aud"],
            "x-auth-token-id": claims["jti"],
            "x-auth-issued-at": str(claims["iat"]),
            "x-auth-expires-at": str(claims["exp"]),
            "x-auth-server": server,
            **extra,
        }
        return Answer(200, identity=identity)


def _refusals(status: int, reason: str) -> dict[Version, Answer]:
    return {version: Answer(status, reason, " ".join(SCOPES[version])) for version in ("A", "B")}


def _asked(
    kind: str,
    server: str,
    headers: Mapping[str, str],
    answers: Mapping[Version, Answer],
    kid: str | None = None,
    *,
    tool: str = "",
) -> Question:
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    if tool:
        params = {"name": tool, "arguments": {}, "_meta": _META}
        message |= {"method": "tools/call", "params": params}
    usual = {
        "Host": HOST,
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
    }
    body = json.dumps(message).encode()
    return Question(kind, f"/{server}/mcp", {**usual, **headers}, body, answers, kid)

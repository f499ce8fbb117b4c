"""The words of the attack table: a row, its cases, and what must come of them.

Rows are numbered as in docs/threat-model.md. A case is a request as a client sends it; the
same cases run through the engine and through every door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from extauthz.core.model import Reason
from extauthz.demo.minting import SigningKey
from tests import tokens
from tests.policies import document
from tests.tokens import jwks, signer

ALLOW: Final = "allow"
ANSWER: Final = "answer"

ENGINE: Final = "engine"
GRPC: Final = "grpc"
NGINX: Final = "nginx"
FORWARD: Final = "forward"
ENVOY_HTTP: Final = "envoy-http"
DOORS: Final = (ENGINE, GRPC, NGINX, FORWARD, ENVOY_HTTP)
SUBREQUESTS: Final = (NGINX, FORWARD, ENVOY_HTTP)

Lines = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A request as it leaves the client. Values are text, sent as UTF-8, or bytes.

    ``token`` becomes the first ``Authorization`` line. ``mcp`` is what Envoy's MCP filter
    would say of it; ``server`` is the name that the route gives.
    """

    token: str | None = None
    method: str = "POST"
    target: str = "/notes/mcp"
    host: str = "mcp.example.com"
    headers: Lines = ()
    body: bytes | None = None
    truncated: bool = False
    mcp: Mapping[str, Any] | None = None
    server: str | None = None

    def lines(self) -> list[tuple[str, bytes]]:
        """Every header line but Host, in order."""
        given = [(name, _bytes(value)) for name, value in self.headers]
        if self.token is not None:
            given.insert(0, ("Authorization", b"Bearer " + self.token.encode()))
        return given


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One attempt: the request, what must come of it, and the world it is made in.

    ``expected`` holds reasons, or ALLOW or ANSWER. ``keys`` replaces the key documents of
    issuers, by name; ``config`` replaces the configuration. ``doors`` names those that can
    carry the request, by default all; ``at`` holds what one door expects instead.
    """

    label: str
    sent: Sent
    expected: frozenset[str]
    keys: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None
    doors: tuple[str, ...] = DOORS
    at: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """What rows build tokens from: the time, and the keys of the issuers."""

    now: float = tokens.NOW

    def mint(self, claims: Any = None, **more: Any) -> str:
        """A token of this stage's time; see ``tests.tokens.mint``."""
        return tokens.mint(claims, now=self.now, **more)

    def claims(self, **changes: object) -> dict[str, object]:
        """Good claims of this stage's time, with changes."""
        return tokens.good_claims(self.now, **changes)

    def raw(self, payload: bytes, **more: Any) -> str:
        """A genuine signature over these bytes."""
        return tokens.mint(payload, **more)


Build = Callable[[Stage], Iterator[Case]]


@dataclass(frozen=True)
class Row:
    """An entry of the attack catalogue. ``policy`` marks an answer that is a decision of ours."""

    number: int
    name: str
    build: Build
    policy: bool = False

    def cases(self, stage: Stage) -> list[Case]:
        """The row's cases, each made once."""
        return list(self.build(stage))


ROWS: Final[dict[str, Row]] = {}


def row(number: int, name: str, *, policy: bool = False) -> Callable[[Build], Build]:
    """Enter a generator of cases into the table."""

    def enter(build: Build) -> Build:
        key = f"{number:03} {name}"
        assert key not in ROWS, key
        ROWS[key] = Row(number, name, build, policy)
        return build

    return enter


def refused(label: object, token: str | None, *reasons: Reason, **more: Any) -> Case:
    """A case that must be refused for one of ``reasons``."""
    return Case(
        label=str(label),
        sent=replace(more.pop("sent", Sent()), token=token),
        expected=frozenset(reasons),
        **more,
    )


def asked(label: object, sent: Sent, *expected: str, **more: Any) -> Case:
    """A case with a whole request of its own."""
    return Case(label=str(label), sent=sent, expected=frozenset(expected), **more)


def answered_no(doors: Iterable[str], reason: Reason) -> dict[str, frozenset[str]]:
    """What these doors expect instead of what the case does."""
    return {door: frozenset({reason}) for door in doors}


def allowed(label: object, token: str, **more: Any) -> Case:
    """A case that must go through: what is right beside what is wrong, or a decision of ours."""
    return Case(label=str(label), sent=Sent(token=token), expected=frozenset({ALLOW}), **more)


def corp(*members: SigningKey | Mapping[str, Any]) -> dict[str, Any]:
    """Key documents in which the corp issuer publishes these beside its usual ES256 key."""
    return {"corp": jwks(signer(), *members)}


def only(*members: SigningKey | Mapping[str, Any]) -> dict[str, Any]:
    """Key documents in which the corp issuer publishes these and nothing else."""
    return {"corp": jwks(*members)}


def configured(**issuer: Any) -> dict[str, Any]:
    """The configuration with changes to the corp issuer."""
    issuers = [one | issuer if one["name"] == "corp" else one for one in document()["issuers"]]
    return document(issuers=issuers)

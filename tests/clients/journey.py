"""What an MCP client did on its way through an edge: log in, call a tool, step up, call another.

Every client of these tests gives the same account of it, whoever wrote the client.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Exchange:
    """One HTTP request of the client, with its ``MCP-Protocol-Version``, and its answer.

    The requests of the user's browser are not among them.
    """

    method: str
    url: str
    status: int
    challenge: str | None
    version: str | None


@dataclass
class Journey:
    """``logins`` counts how often the user was asked before the second tool call,
    ``authorizations`` how often in all; ``token`` is the last access token."""

    tools: list[str] = field(default_factory=list)
    me: dict[str, Any] = field(default_factory=dict)
    logins: int = 0
    sum: Any = None
    authorizations: int = 0
    token: str | None = field(default=None, repr=False)
    traffic: list[Exchange] = field(default_factory=list)
    error: str | None = None

    @classmethod
    def from_json(cls, account: dict[str, Any]) -> Self:
        traffic = [Exchange(**each) for each in account.pop("traffic")]
        return cls(**account, traffic=traffic)

    def refusals(self) -> list[Exchange]:
        """Every 401 and 403, in order."""
        return [each for each in self.traffic if each.status in (401, 403)]

"""What the attacked service lives in: its policy, its keys, its clock, its records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from extauthz.authorizer import Authorizer
from extauthz.core.engine import Engine
from extauthz.core.keyset import KeySet, KeySetError, parse_key_set
from extauthz.core.model import AskedFor, Decision, Reason
from extauthz.core.policy import Policy
from tests import policies
from tests.attacks.table import Case
from tests.tokens import NOW


@cache
def _policy(config: str) -> Policy:
    return policies.compiled(json.loads(config))


def policy_of(case: Case) -> Policy:
    """The policy that a case is judged by; equal configurations share one."""
    return _policy(json.dumps(policies.document() if case.config is None else case.config))


@cache
def _usual_keys() -> Mapping[str, KeySet]:
    return policies.key_sets()


def key_sets_of(case: Case) -> dict[str, KeySet]:
    """The keys that the issuers publish in a case. A document without a usable key is no set."""
    sets = dict(_usual_keys())
    for issuer, document in case.keys.items():
        try:
            sets[issuer] = parse_key_set(json.dumps(document).encode())
        except KeySetError:
            del sets[issuer]
    return sets


@dataclass
class FetchedKeys:
    """Keys whose last refresh succeeded: what is not there is unknown.

    ``looked_for`` records every key that was asked for.
    """

    sets: Mapping[str, KeySet] = field(default_factory=dict)
    looked_for: list[tuple[str, str | None]] = field(default_factory=list)

    def snapshot(self) -> Mapping[str, KeySet]:
        return self.sets

    async def find(self, issuer: str, kid: str | None, *, wait: float) -> Reason | None:
        assert 0 <= wait <= 0.25
        self.looked_for.append((issuer, kid))
        return Reason.UNKNOWN_KEY if issuer in self.sets else Reason.KEYS_UNAVAILABLE


@dataclass
class Notebook:
    """Remembers every decision it is told of."""

    decisions: list[tuple[Decision, str]] = field(default_factory=list)

    def decided(
        self, request: AskedFor, decision: Decision, transport: str, seconds: float
    ) -> None:
        assert seconds >= 0
        self.decisions.append((decision, transport))


class World:
    """An authorizer whose policy and keys are changed from case to case."""

    def __init__(self, now: float = NOW) -> None:
        self.keys = FetchedKeys()
        self.notebook = Notebook()
        self._engines: dict[int, Engine] = {}
        self.authorizer = Authorizer(
            Engine(_policy(json.dumps(policies.document()))),
            self.keys,
            self.notebook,
            wall=lambda: now,
            monotonic=lambda: 0.0,
        )

    def set(self, case: Case) -> None:
        """Make the world what the case says it is."""
        policy = policy_of(case)
        self.authorizer.engine = self._engines.setdefault(id(policy), Engine(policy))
        self.authorizer.engine.cache.clear()
        self.keys.sets = key_sets_of(case)


def shown(outcome: Any) -> str:
    """An outcome in a failure message: short, and without a token."""
    return str(outcome)[:200]

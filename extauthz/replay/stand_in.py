"""Tokens that say what a line says of a caller, so that the engine itself can judge him.

There is one way into the engine: a token that a key verifies. A replay has no tokens, so it
mints some, with keys that are made for the purpose and that only its own engine is handed.
Nothing in the core knows of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from extauthz.core.claims import ClaimPath
from extauthz.core.keyset import KeySet, parse_key_set
from extauthz.core.policy import SUPPORTED_ALGORITHMS, Issuer
from extauthz.demo.minting import SigningKey, signed

NOW: Final = 1_000_000_000.0
"""When everything is replayed, in seconds since the epoch: times are not judged again."""

_EXPIRES: Final = 2_000_000_000
# Quick to make first: an RSA key takes a tenth of a second.
_PREFERRED: Final = ("ES256", *sorted(SUPPORTED_ALGORITHMS, key=lambda name: name[0] in "RP"))


class Entangled(Exception):
    """Two claims that are to be said contradict each other."""


class Claims:
    """The claims of a token in the making."""

    def __init__(self, issuer: str) -> None:
        self.members: dict[str, object] = {"iss": issuer, "exp": _EXPIRES}

    def say(self, path: ClaimPath, value: object) -> None:
        """Put a value where ``path`` leads. Raises Entangled where there is another already."""
        at = self.members
        for segment in path[:-1]:
            inner = at.setdefault(segment, {})
            if not isinstance(inner, dict):
                raise Entangled
            at = inner
        if at.setdefault(path[-1], value) != value:
            raise Entangled


class StandIn:
    """Speaks for every issuer of a policy, with keys of its own."""

    def __init__(self, issuers: tuple[Issuer, ...]) -> None:
        made: dict[str, SigningKey] = {}
        self._signing: dict[str, SigningKey] = {}
        self.keys: Mapping[str, KeySet] = {}
        for issuer in issuers:
            algorithm = next(name for name in _PREFERRED if name in issuer.algorithms)
            if algorithm not in made:
                made[algorithm] = SigningKey.generate(algorithm)
            self._signing[issuer.name] = made[algorithm]
        self.keys = {
            name: parse_key_set({"keys": [key.public_jwk()]}) for name, key in self._signing.items()
        }
        self._nobody = SigningKey.generate("ES256")

    def token(self, issuer: Issuer | None, claims: Claims) -> str:
        """A token of that issuer; of None, one that is of no issuer of the policy."""
        if issuer is None:
            return signed(self._nobody, claims.members, {})
        typ = min(issuer.token_types)
        return signed(self._signing[issuer.name], claims.members, {"typ": typ})

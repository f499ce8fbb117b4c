"""Keys made once a run, and tokens signed with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from extauthz.core.keyset import KeySet, parse_key_set

ISSUER = "https://idp.example.com/realms/acme"
NOW = 1_790_000_000.0
"""The time of tests: far from the clock on the wall, which nothing may look at."""


@dataclass(frozen=True)
class SigningKey:
    """A private key, the algorithm it signs with, and the id it is published under."""

    algorithm: str
    kid: str
    private: Any

    def public_jwk(self, **changes: Any) -> dict[str, Any]:
        """The key as an issuer publishes it (RFC 7517)."""
        algorithm = get_default_algorithms()[self.algorithm]
        text = type(algorithm).to_jwk(self.private.public_key())
        members = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        return {**json.loads(text), **members, **changes}

    def sign(self, claims: Mapping[str, Any], **header: Any) -> str:
        """A JWT of these claims; ``header`` adds to its header or replaces."""
        headers = {"kid": self.kid, "typ": "at+jwt", **header}
        return jwt.encode(dict(claims), self.private, algorithm=self.algorithm, headers=headers)


@cache
def signing_key(algorithm: str = "ES256", kid: str = "") -> SigningKey:
    """The key of that algorithm and id, the same for the whole run."""
    private: Any
    if algorithm.startswith(("RS", "PS")):
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    elif algorithm == "EdDSA":
        private = ed25519.Ed25519PrivateKey.generate()
    else:
        curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
        private = ec.generate_private_key(curves[algorithm])
    return SigningKey(algorithm, kid or algorithm.lower(), private)


def key_set(*keys: SigningKey) -> KeySet:
    """The keys as a key set, as if they had been fetched."""
    return parse_key_set({"keys": [key.public_jwk() for key in keys]})


def claims(**changes: Any) -> dict[str, Any]:
    """Claims of a good token at NOW; ``changes`` replace some, None takes one away."""
    usual = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": "https://mcp.example.com/calculator/mcp",
        "client_id": "inspector",
        "scope": "mcp calculator.add",
        "jti": "token-1",
        "iat": int(NOW) - 60,
        "exp": int(NOW) + 240,
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def token(key: SigningKey | None = None, **changes: Any) -> str:
    """A good token at NOW, but for ``changes`` (see ``claims``)."""
    return (key or signing_key()).sign(claims(**changes))

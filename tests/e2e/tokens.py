"""Signs tokens of the issuers that the tests configure, with keys made for this run."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ISSUER = "https://idp.example.com/realms/acme"
NOTES = "https://mcp.example.com/notes/mcp"
CALCULATOR = "https://mcp.example.com/calculator/mcp"


@dataclass(frozen=True)
class Signer:
    """An ES256 key and the tokens it signs."""

    kid: str = "e2e"
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def write_key_set(self, file: Path) -> None:
        public = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
        public |= {"kid": self.kid, "use": "sig", "alg": "ES256"}
        file.write_text(json.dumps({"keys": [public]}))

    def token(self, *, lifetime: float = 300, **changes: Any) -> str:
        """A token for the notes server; ``changes`` replace claims, None takes one away."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": "alice",
            "aud": NOTES,
            "client_id": "inspector",
            "scope": "notes calculator",
            "jti": "token-1",
            "iat": now,
            "exp": now + int(lifetime),
        }
        claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        headers = {"kid": self.kid, "typ": "at+jwt"}
        return jwt.encode(claims, self.key, algorithm="ES256", headers=headers)


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))

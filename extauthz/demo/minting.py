"""Signing keys and tokens, good ones and bad ones. No clock, no server, no state.

The demo's issuer mints with this, and so do the tests, which need tokens that no
well-behaved issuer would sign. It must never be reached from ``extauthz serve``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_CURVES: dict[str, ec.EllipticCurve] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ED25519 = ("EdDSA", "Ed25519")

ALGORITHMS = (*_RSA, *_CURVES, *_ED25519)
"""Every algorithm that `SigningKey.generate` knows (RFC 7518, RFC 8037, RFC 9864)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key, the one algorithm it signs with, and its key id."""

    kid: str
    alg: str
    private: PrivateKey

    @classmethod
    def generate(cls, alg: str, *, kid: str | None = None, bits: int = 2048) -> SigningKey:
        """A new key for ``alg``, one of `ALGORITHMS`.

        Without ``kid`` the key id is the RFC 7638 thumbprint. ``bits`` is the length of
        an RSA key. Raises ValueError for an algorithm that is not in the list.
        """
        private: PrivateKey
        if alg in _RSA:
            private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        elif alg in _CURVES:
            private = ec.generate_private_key(_CURVES[alg])
        elif alg in _ED25519:
            private = ed25519.Ed25519PrivateKey.generate()
        else:
            raise ValueError(f"no key can be made for {alg!r}; known are {', '.join(ALGORITHMS)}")
        return cls(kid=kid or thumbprint(_public(private)), alg=alg, private=private)

    def public_jwk(self) -> dict[str, Any]:
        """The public half as an RFC 7517 JWK with ``kid``, ``use`` and ``alg``."""
        return {"kid": self.kid, "use": "sig", "alg": self.alg, **_public(self.private)}

    def sign(self, message: bytes) -> bytes:
        """The JWS signature of ``message`` (RFC 7515 section 5.1, step 5)."""
        name = "EdDSA" if self.alg in _ED25519 else self.alg
        return jwt.get_algorithm_by_name(name).sign(message, self.private)


def signed(
    key: SigningKey, claims: Mapping[str, object] | bytes, headers: Mapping[str, object]
) -> str:
    """A JWT signed by ``key``. Its header is ``alg``, ``kid`` and then ``headers``.

    A header of None is left out; ``headers`` may lie about ``alg`` and ``kid``. ``claims``
    given as bytes are the payload as they stand.
    """
    header = {"alg": key.alg, "kid": key.kid, **headers}
    return compact(without_none(header), claims, key.sign)


def compact(
    header: Mapping[str, object] | bytes,
    claims: Mapping[str, object] | bytes,
    sign: Callable[[bytes], bytes],
) -> str:
    """A JWS in compact form (RFC 7515 section 7.1) whose signature ``sign`` makes.

    ``compact({"alg": "none"}, claims, lambda _: b"")`` is an unsecured JWT.
    """
    signing_input = f"{_part(header)}.{_part(claims)}"
    return f"{signing_input}.{_base64url(sign(signing_input.encode('ascii')))}"


def without_none(members: Mapping[str, object]) -> dict[str, object]:
    """``members`` but for those that are None: how a default is taken away."""
    return {name: value for name, value in members.items() if value is not None}


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The RFC 7638 SHA-256 thumbprint of a public key, base64url without padding."""
    required = {"RSA": ("e", "n"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
    members = {name: jwk[name] for name in ("kty", *required[jwk["kty"]])}
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(text.encode()).digest())


def _public(private: PrivateKey) -> dict[str, Any]:
    match private:
        case rsa.RSAPrivateKey():
            jwk = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
        case ec.EllipticCurvePrivateKey():
            jwk = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
        case _:
            jwk = OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return {name: value for name, value in jwk.items() if name != "key_ops"}


def _part(content: Mapping[str, object] | bytes) -> str:
    if not isinstance(content, bytes):
        content = json.dumps(content, separators=(",", ":")).encode()
    return _base64url(content)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")

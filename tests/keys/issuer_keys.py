"""Keys of a made-up issuer, as JWKs, and signatures by them."""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm

from extauthz.core.keyset import Key, parse_key_set

HASHES: dict[str, Any] = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
CURVES: dict[str, type[ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}
CURVE_OF = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}

Jwk = dict[str, Any]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64_uint(number: int) -> str:
    return b64(number.to_bytes((number.bit_length() + 7) // 8 or 1))


@cache
def rsa_key(name: str = "a", bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(curve: str = "P-256", name: str = "a") -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(CURVES[curve]())


@cache
def ed_key(name: str = "a") -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def jwk(private: object, **members: object) -> Jwk:
    """The public JWK of a private key, with further members (kid, use, alg, …)."""
    if isinstance(private, rsa.RSAPrivateKey):
        numbers = private.public_key().public_numbers()
        material = {"kty": "RSA", "n": b64_uint(numbers.n), "e": b64_uint(numbers.e)}
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        point = private.public_key().public_numbers()
        length = (private.curve.key_size + 7) // 8
        crv = next(name for name, curve in CURVES.items() if isinstance(private.curve, curve))
        material = {
            "kty": "EC",
            "crv": crv,
            "x": b64(point.x.to_bytes(length)),
            "y": b64(point.y.to_bytes(length)),
        }
    else:
        assert isinstance(private, ed25519.Ed25519PrivateKey)
        raw = private.public_key().public_bytes_raw()
        material = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    return {**material, **members}


def sign(algorithm: str, private: Any, message: bytes) -> bytes:
    """A JWS signature by PyJWT, which thereby is the oracle."""
    if algorithm in {"EdDSA", "Ed25519"}:
        return OKPAlgorithm().sign(message, private)
    digest = HASHES[algorithm[2:]]
    if algorithm.startswith("RS"):
        return RSAAlgorithm(digest).sign(message, private)
    if algorithm.startswith("PS"):
        return RSAPSSAlgorithm(digest).sign(message, private)
    return ECAlgorithm(digest).sign(message, private)


def private_for(algorithm: str) -> Any:
    """A private key that may sign with ``algorithm``."""
    if algorithm in {"EdDSA", "Ed25519"}:
        return ed_key()
    return ec_key(CURVE_OF[algorithm]) if algorithm in CURVE_OF else rsa_key()


GOOD = jwk(ec_key(), kid="good")


def only_key(member: object) -> Key:
    (key,) = parse_key_set({"keys": [member]}).keys
    return key


def reason_skipped(member: object) -> str:
    """Why a member beside a good one was skipped; the good one must have survived."""
    key_set = parse_key_set({"keys": [member, GOOD]})
    assert [key.kid for key in key_set.keys] == ["good"]
    (reason,) = key_set.skipped
    assert reason.startswith("member 1: ")
    return reason.removeprefix("member 1: ")

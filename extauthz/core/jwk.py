"""One public key as an issuer publishes it (RFC 7517, RFC 7518 section 6, RFC 8037).

Whatever is odd about a key costs that key alone. Certificates in a JWK (``x5c``, ``x5u``)
are never a source of keys. Ed448 is left out: no issuer of the field signs with it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

MAX_KID = 1024
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192

PRIVATE_KEY_PUBLISHED = "a private key is published: the issuer must revoke it"

Verifier = Callable[[Any, bytes, bytes], bool]
"""Takes a public key, what was signed and the signature; False or an exception is a refusal."""


def _rsa_verifier(padded: padding.AsymmetricPadding, digest: hashes.HashAlgorithm) -> Verifier:
    def verify(public: rsa.RSAPublicKey, signed: bytes, signature: bytes) -> bool:
        public.verify(signature, signed, padded, digest)
        return True

    return verify


def _pss(digest: hashes.HashAlgorithm) -> padding.PSS:
    """RFC 7518 section 3.5: the salt is as long as the digest, in MGF1 the digest is the same."""
    return padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)


def _ec_verifier(digest: hashes.HashAlgorithm, curve: ec.EllipticCurve) -> Verifier:
    scheme, length = ec.ECDSA(digest), (curve.key_size + 7) // 8

    def verify(public: ec.EllipticCurvePublicKey, signed: bytes, signature: bytes) -> bool:
        # RFC 7518 section 3.4: both numbers in the full length of the curve's field.
        if len(signature) != 2 * length:
            return False
        r, s = int.from_bytes(signature[:length]), int.from_bytes(signature[length:])
        public.verify(encode_dss_signature(r, s), signed, scheme)
        return True

    return verify


def _ed25519_verifier(public: ed25519.Ed25519PublicKey, signed: bytes, signature: bytes) -> bool:
    public.verify(signature, signed)
    return True


_DIGESTS: Mapping[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_RSA: Mapping[str, Verifier] = {
    **{f"RS{bits}": _rsa_verifier(padding.PKCS1v15(), d) for bits, d in _DIGESTS.items()},
    **{f"PS{bits}": _rsa_verifier(_pss(d), d) for bits, d in _DIGESTS.items()},
}
# RFC 9864 gives the old name EdDSA, over this curve, the name Ed25519: one and the same key.
_OKP: Mapping[str, Verifier] = {"EdDSA": _ed25519_verifier, "Ed25519": _ed25519_verifier}
_CURVES: tuple[tuple[str, ec.EllipticCurve, str, hashes.HashAlgorithm], ...] = (
    ("P-256", ec.SECP256R1(), "ES256", _DIGESTS["256"]),
    ("P-384", ec.SECP384R1(), "ES384", _DIGESTS["384"]),
    ("P-521", ec.SECP521R1(), "ES512", _DIGESTS["512"]),
)
_EC: Mapping[str, tuple[ec.EllipticCurve, Mapping[str, Verifier]]] = {
    name: (curve, {algorithm: _ec_verifier(digest, curve)})
    for name, curve, algorithm, digest in _CURVES
}

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_BASE64URL = re.compile(r"[A-Za-z0-9_-]{1,2048}")
_PLAIN_WORD = re.compile(r"[A-Za-z0-9+._-]{1,32}")

_ED25519_P = 2**255 - 19
_ED25519_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
# The y of every point of small order (RFC 7748 section 6.1 speaks of the same danger): with
# such a key one signature is good for every message.
_SMALL_ORDER = frozenset({0, 1, _ED25519_P - 1, _ED25519_ORDER_8, _ED25519_P - _ED25519_ORDER_8})

_ROCA_PRIMES = tuple(
    prime for prime in range(3, 168) if all(prime % smaller for smaller in range(2, prime))
)
_ROCA_RESIDUES = tuple(
    (prime, frozenset(pow(65537, power, prime) for power in range(prime))) for prime in _ROCA_PRIMES
)

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class UnusableKey(ValueError):
    """Why a member of a key set is skipped; the message holds no key material."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One verification key of an issuer.

    ``algorithms`` are the JOSE names it may verify: those of its type and curve, narrowed
    by the JWK's ``alg``. ``issuer`` is the JWK's own ``issuer`` member (Entra ID), or None.
    ``thumbprint`` is the key's identity (RFC 7638, SHA-256, base64url). ``size`` is in bits.
    """

    kid: str | None
    kty: str
    algorithms: frozenset[str]
    issuer: str | None
    thumbprint: str
    size: int
    _public: PublicKey = field(repr=False, compare=False)
    _verifiers: Mapping[str, Verifier] = field(repr=False, compare=False)

    def verify(self, algorithm: str, signing_input: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is this key's over ``signing_input`` (RFC 7515 section 5.2).

        Never raises: an algorithm that is not this key's, or any fault, is False.
        """
        verifier = self._verifiers.get(algorithm)
        if verifier is None:
            return False
        try:
            return verifier(self._public, signing_input, signature) is True
        except Exception:  # noqa: BLE001  whatever a library makes of odd bytes is no proof
            return False


def parse_jwk(member: object) -> Key:
    """Build the key that a member of a key set describes. What is null counts as absent.

    Raises UnusableKey when it is not a public key fit for verifying signatures.
    """
    if not isinstance(member, dict):
        raise UnusableKey("it is not an object")
    # Of no RFC, but of some issuers: they write one where they have no value.
    member = {name: value for name, value in member.items() if value is not None}
    kty = member.get("kty")
    if kty == "oct":
        raise UnusableKey("kty is oct: a shared secret is never used")
    if not _PRIVATE_MEMBERS.isdisjoint(member):
        raise UnusableKey(PRIVATE_KEY_PUBLISHED)
    _check_use(member)
    kid, issuer = member.get("kid"), member.get("issuer")
    if "kid" in member and not (isinstance(kid, str) and len(kid) <= MAX_KID):
        raise UnusableKey(f"kid is not a string of at most {MAX_KID} characters")
    if "issuer" in member and not isinstance(issuer, str):
        raise UnusableKey("issuer is not a string")
    try:
        public, verifiers, canonical, size = _material(member, kty)
    except UnusableKey:
        raise
    except Exception as fault:  # noqa: BLE001  its message could hold what is in the key
        raise UnusableKey(f"its material is not usable ({type(fault).__name__})") from None
    if "alg" in member:
        algorithm = member["alg"]
        if not isinstance(algorithm, str) or algorithm not in verifiers:
            raise UnusableKey(f"alg {_shown(algorithm)} is not one to verify with this key type")
        if verifiers is not _OKP:
            verifiers = {algorithm: verifiers[algorithm]}
    return Key(
        kid=kid if isinstance(kid, str) else None,
        kty=str(kty),
        algorithms=frozenset(verifiers),
        issuer=issuer if isinstance(issuer, str) else None,
        thumbprint=_thumbprint(canonical),
        size=size,
        _public=public,
        _verifiers=verifiers,
    )


def _check_use(member: Mapping[str, object]) -> None:
    if "use" in member and member["use"] != "sig":
        raise UnusableKey(f"use is {_shown(member['use'])}, not sig")
    if "key_ops" in member:
        operations = member["key_ops"]
        if not isinstance(operations, list) or not all(isinstance(o, str) for o in operations):
            raise UnusableKey("key_ops is not a list of strings")
        if "verify" not in operations:
            raise UnusableKey("key_ops does not include verify")


_Material = tuple[PublicKey, Mapping[str, Verifier], dict[str, str], int]


def _material(member: Mapping[str, object], kty: object) -> _Material:
    if kty == "RSA":
        return _rsa(member)
    if kty == "EC":
        return _ec(member)
    if kty == "OKP":
        return _okp(member)
    raise UnusableKey(f"kty {_shown(kty)} is not RSA, EC or OKP")


def _rsa(member: Mapping[str, object]) -> _Material:
    """RFC 7518 section 6.3.1. A leading zero byte, which some issuers write, is harmless."""
    n = int.from_bytes(_octets(member, "n"))
    e = int.from_bytes(_octets(member, "e"))
    bits = n.bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise UnusableKey(
            f"RSA of {bits} bits; between {MIN_RSA_BITS} and {MAX_RSA_BITS} are accepted"
        )
    if not n & 1:
        raise UnusableKey("the RSA modulus is even")
    if not (e & 1 and 3 <= e < 2**32):
        raise UnusableKey("the RSA exponent is not an odd number from 3 to 2^32")
    if has_roca_fingerprint(n):
        raise UnusableKey("the RSA modulus can be factored (ROCA, CVE-2017-15361)")
    canonical = {"e": _base64url_uint(e), "kty": "RSA", "n": _base64url_uint(n)}
    return rsa.RSAPublicNumbers(e, n).public_key(), _RSA, canonical, bits


def has_roca_fingerprint(modulus: int) -> bool:
    """Whether an RSA modulus looks made by the faulty Infineon library (CVE-2017-15361).

    Its primes are powers of 65537 modulo small primes, so the modulus is as well; another
    modulus looks so about once in 10^8.
    """
    return all(modulus % prime in residues for prime, residues in _ROCA_RESIDUES)


def _ec(member: Mapping[str, object]) -> _Material:
    """RFC 7518 section 6.2.1: coordinates have the full length of the curve's field."""
    name = member.get("crv")
    if not isinstance(name, str) or name not in _EC:
        raise UnusableKey(f"crv {_shown(name)} is not P-256, P-384 or P-521")
    curve, verifiers = _EC[name]
    x, y = _octets(member, "x"), _octets(member, "y")
    length = (curve.key_size + 7) // 8
    if len(x) != length or len(y) != length:
        raise UnusableKey(f"the coordinates of {name} must be {length} bytes long")
    try:
        public = ec.EllipticCurvePublicNumbers(
            int.from_bytes(x), int.from_bytes(y), curve
        ).public_key()
    except ValueError:
        raise UnusableKey(f"the point is not on {name}") from None
    canonical = {"crv": name, "kty": "EC", "x": _base64url(x), "y": _base64url(y)}
    return public, verifiers, canonical, curve.key_size


def _okp(member: Mapping[str, object]) -> _Material:
    """RFC 8037 section 2; Ed25519 only."""
    if member.get("crv") != "Ed25519":
        raise UnusableKey(f"crv {_shown(member.get('crv'))} is not Ed25519")
    x = _octets(member, "x")
    if len(x) != 32:
        raise UnusableKey("an Ed25519 key must be 32 bytes long")
    y = int.from_bytes(x, "little") & (2**255 - 1)
    if y >= _ED25519_P:
        raise UnusableKey("the Ed25519 point is not in its canonical form")
    if y in _SMALL_ORDER:
        raise UnusableKey("the Ed25519 point has a small order")
    public = ed25519.Ed25519PublicKey.from_public_bytes(x)
    canonical = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(x)}
    return public, _OKP, canonical, 256


def _octets(member: Mapping[str, object], name: str) -> bytes:
    """RFC 7515 section 2: base64url without padding, spare bits zero."""
    text = member.get(name)
    if not isinstance(text, str) or _BASE64URL.fullmatch(text) is None:
        raise UnusableKey(f"{name} is not base64url of at most 2048 characters")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise UnusableKey(f"{name} is not base64url") from None
    if _base64url(data) != text:
        raise UnusableKey(f"{name} is not base64url")
    return data


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _base64url_uint(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8))


def _thumbprint(canonical: dict[str, str]) -> str:
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(text.encode("ascii")).digest())


def _shown(value: object) -> str:
    """A short plain word as it is; anything else only by its kind."""
    if isinstance(value, str):
        return value if _PLAIN_WORD.fullmatch(value) else "(an odd string)"
    return "(absent)" if value is None else f"({type(value).__name__})"

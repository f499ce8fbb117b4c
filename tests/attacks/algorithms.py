"""Rows 1-12: algorithm and key confusion (RFC 8725 sections 3.1, 3.2)."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from extauthz.core.model import Reason
from extauthz.demo.minting import SigningKey
from tests.attacks.table import Case, Stage, allowed, corp, only, refused, row
from tests.tokens import ABSENT, jwks, renamed, signer, unb64

UNSUPPORTED = Reason.UNSUPPORTED_ALGORITHM
MALFORMED = Reason.MALFORMED_TOKEN
UNKNOWN_KEY = Reason.UNKNOWN_KEY
BAD = Reason.BAD_SIGNATURE


def unsigned(_: bytes) -> bytes:
    return b""


def keyed(secret: bytes, digest: str = "sha256") -> Callable[[bytes], bytes]:
    return lambda message: hmac.new(secret, message, digest).digest()


@row(1, "alg none in every spelling, no signature")
def none(stage: Stage) -> Iterator[Case]:
    for alg in ("none", "None", "NONE", "nOnE", "", " none", "none\0"):
        yield refused(repr(alg), stage.mint(header={"alg": alg}, sign=unsigned), UNSUPPORTED)


@row(2, "alg none with a genuine signature, or without the last dot")
def none_signed(stage: Stage) -> Iterator[Case]:
    yield refused("signature kept", stage.mint(header={"alg": "none"}), UNSUPPORTED)
    token = stage.mint(header={"alg": "none"}, sign=unsigned)
    yield refused("no last dot", token.removesuffix("."), MALFORMED)


@row(3, "alg that is no algorithm")
def no_algorithm(stage: Stage) -> Iterator[Case]:
    for alg in (None, 1, ["RS256"], {"a": 1}, True, ABSENT):
        yield refused(repr(alg), stage.mint(header={"alg": alg}), MALFORMED)
    for alg in ("rs256", "es256", "RS256 ", "RS257", "HS256,RS256", "ES256\0", "ＥＳ256"):
        yield refused(repr(alg), stage.mint(header={"alg": alg}), UNSUPPORTED)


@row(4, "alg that nobody allowed")
def outside(stage: Stage) -> Iterator[Case]:
    for alg in ("RS1", "ES256K", "HS256", "Ed448", "PBES2-HS256+A128KW", "dir"):
        yield refused(alg, stage.mint(header={"alg": alg}), UNSUPPORTED)


@row(5, "a genuine signature of another algorithm than the key's alg")
def key_alg(stage: Stage) -> Iterator[Case]:
    rs256 = signer("RS256", "rsa")
    ps256 = SigningKey(kid="rsa", alg="PS256", private=rs256.private)
    for alg in ("RS384", "RS512", "PS256", "PS384"):
        key = SigningKey(kid="rsa", alg=alg, private=rs256.private)
        yield refused(f"{alg} by RS256", stage.mint(key=key), UNKNOWN_KEY, keys=corp(rs256))
    yield refused("RS256 by PS256", stage.mint(key=rs256), UNKNOWN_KEY, keys=corp(ps256))
    yield allowed("its own alg", stage.mint(key=rs256), keys=corp(rs256))


def _secrets() -> Iterator[tuple[str, bytes]]:
    rsa, ec, ed = signer("RS256"), signer("ES256"), signer("EdDSA")
    for name, key in (("RSA", rsa), ("EC", ec)):
        public = key.private.public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        yield f"{name} SPKI PEM", pem
        yield f"{name} SPKI PEM, CRLF", pem.replace(b"\n", b"\r\n")
        yield f"{name} SPKI PEM, no final newline", pem.rstrip()
        yield f"{name} DER", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pkcs1 = rsa.private.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    yield "RSA PKCS#1 PEM", pkcs1
    yield "JWK", json.dumps(rsa.public_jwk()).encode()
    yield "JWK set", json.dumps(jwks(rsa)).encode()
    yield "n as text", rsa.public_jwk()["n"].encode()
    yield "n as bytes", unb64(rsa.public_jwk()["n"])
    yield "EC x", unb64(ec.public_jwk()["x"])
    yield "Ed25519 key", unb64(ed.public_jwk()["x"])


@row(6, "HMAC keyed with a public key")
def public_key_as_secret(stage: Stage) -> Iterator[Case]:
    for name, secret in _secrets():
        for size, kid in (("256", "rs256"), ("384", "es256"), ("512", "eddsa")):
            sign = keyed(secret, f"sha{size}")
            token = stage.mint(header={"alg": f"HS{size}", "kid": kid}, sign=sign)
            yield refused(f"HS{size}, {name}", token, UNSUPPORTED)


@row(7, "HMAC with a guessable secret")
def guessable(stage: Stage) -> Iterator[Case]:
    issuer = str(stage.claims()["iss"]).encode()
    for secret in (b"", b"secret", bytes(32), b"es256", issuer):
        sign = keyed(secret)
        yield refused(secret, stage.mint(header={"alg": "HS256"}, sign=sign), UNSUPPORTED)


@row(8, "a key of another type or curve than alg says")
def wrong_type(stage: Stage) -> Iterator[Case]:
    pairs = [
        ("ES256", "RS256"), ("RS256", "ES256"), ("EdDSA", "ES256"), ("Ed25519", "RS256"),
        ("ES512", "ES256"), ("ES384", "ES256"), ("ES256", "ES512"),
    ]  # fmt: skip
    for alg, real in pairs:
        token = stage.mint(key=signer(real), header={"alg": alg})
        yield refused(f"{alg} with the {real} key", token, UNKNOWN_KEY)
    for alg, real in (("ES256", "ES512"), ("ES256", "RS256"), ("RS256", "PS256")):
        forged = signer(real, "somebody").sign
        token = stage.mint(key=signer(alg), sign=forged)
        yield refused(f"{alg}, signed with {real}", token, BAD)


@row(9, "a genuine signature by a key for encryption")
def for_encryption(stage: Stage) -> Iterator[Case]:
    for algorithm in ("RS256", "ES256"):
        key = signer(algorithm, "enc")
        member = key.public_jwk() | {"use": "enc"}
        yield refused(algorithm, stage.mint(key=key), UNKNOWN_KEY, keys=corp(member))


@row(10, "a genuine signature by a key that is for something else, or says so oddly")
def for_something_else(stage: Stage) -> Iterator[Case]:
    key = signer("ES256", "ops")
    odd: list[dict[str, Any]] = [
        {"key_ops": ["encrypt", "wrapKey"]}, {"key_ops": "verify"}, {"key_ops": []},
        {"key_ops": ["sign"]}, {"key_ops": {"verify": 1}}, {"key_ops": [1]},
        {"use": 1}, {"use": "wat"}, {"use": ["sig"]}, {"use": "SIG"},
        {"use": "enc", "key_ops": ["verify"]},
    ]  # fmt: skip
    for members in odd:
        keys = corp(key.public_jwk() | members)
        yield refused(members, stage.mint(key=key), UNKNOWN_KEY, keys=keys)
    fine = key.public_jwk() | {"key_ops": ["verify"]}
    yield allowed("key_ops verify", stage.mint(key=key), keys=corp(fine))
    nothing = key.public_jwk() | {"key_ops": None, "use": None, "d": None}
    yield allowed("null, which is nothing", stage.mint(key=key), keys=corp(nothing))


@row(11, "no kid, genuine signature: at most four keys are tried", policy=True)
def no_kid(stage: Stage) -> Iterator[Case]:
    several = [signer("ES256", f"k{number}") for number in range(5)]
    token = stage.mint(key=several[3], header={"kid": ABSENT})
    yield allowed("one of four", token, keys=only(*several[:4]))
    yield allowed("one of the first four", token, keys=only(*several))
    fifth = stage.mint(key=several[4], header={"kid": ABSENT})
    yield refused("the fifth", fifth, BAD, keys=only(*several))
    forged = stage.mint(key=signer("ES256", "forger"), header={"kid": ABSENT})
    yield refused("none of four", forged, BAD, keys=only(*several[:4]))
    yield refused("no key of the type", token, UNKNOWN_KEY, keys=only(signer("RS256")))


@row(12, "the kid of another key of the same issuer")
def other_kid(stage: Stage) -> Iterator[Case]:
    one, other = signer("ES256", "one"), signer("ES256", "two")
    token = stage.mint(key=renamed(one, "two"))
    yield refused("same type", token, BAD, keys=only(one, other))
    token = stage.mint(key=renamed(one, "rs256"))
    yield refused("another type", token, UNKNOWN_KEY, keys=only(one, signer("RS256")))

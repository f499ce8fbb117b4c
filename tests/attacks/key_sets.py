"""Rows 63-74: key sets that hold what must not verify anything (RFC 7517, RFC 7518, RFC 8037)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from extauthz.core.model import Reason
from extauthz.demo.minting import SigningKey
from tests.attacks.table import Case, Stage, allowed, corp, only, refused, row
from tests.attacks.weak_keys import b64_uint, roca, textbook
from tests.tokens import ABSENT, b64, renamed, signer, unb64

UNKNOWN_KEY = Reason.UNKNOWN_KEY

ED25519_P = 2**255 - 19
# https://www.rfc-editor.org/rfc/rfc7748#section-6.1 and the curve's points of order 8.
SMALL_ORDER_Y = (
    0,
    1,
    ED25519_P - 1,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
    ED25519_P - 55188659117513257062467267217118295137698188065244968500265048394206261417927,
)


@row(63, "RSA keys under 2048 bits, and keys that can be factored (ROCA)")
def short_rsa(stage: Stage) -> Iterator[Case]:
    for bits in (512, 768, 1024, 2046):
        key = textbook(bits)
        token = stage.mint(key=signer("RS256", "short"), sign=key.sign)
        keys = corp(key.public_jwk("short"))
        yield refused(f"{key.n.bit_length()} bits", token, UNKNOWN_KEY, keys=keys)
    token = stage.mint(key=signer("RS256", "roca"), sign=roca().sign)
    yield refused("ROCA", token, UNKNOWN_KEY, keys=corp(roca().public_jwk("roca")))


@row(64, "RSA exponents and moduli of no use")
def odd_rsa(stage: Stage) -> Iterator[Case]:
    key = textbook(2048)
    n = key.n
    padded_hash = replace(key, d=1).sign
    token = stage.mint(key=signer("RS256", "odd"), sign=padded_hash)
    members: dict[str, dict[str, Any]] = {
        "e=1, the signature is the padded hash": {"e": b64_uint(1)},
        "e=0": {"e": b64_uint(0)},
        "e=2": {"e": b64_uint(2)},
        "even e": {"e": b64_uint(65536)},
        "e of 2,041 bits": {"e": b64_uint((1 << 2040) | 1)},
        "e = n": {"e": b64_uint(n)},
        "even n": {"n": b64_uint(n - 1)},
        "n = 0": {"n": b64_uint(0)},
        "n = 1": {"n": b64_uint(1)},
        "n of 16,384 bits": {"n": b64_uint((1 << 16383) | 1)},
        "n absent": {"n": ABSENT},
        "n a number": {"n": 12345},
        "n padded": {"n": b64_uint(n) + "=="},
    }
    for name, changes in members.items():
        jwk = {**key.public_jwk("odd"), **changes}
        jwk = {member: value for member, value in jwk.items() if value is not ABSENT}
        yield refused(name, token, UNKNOWN_KEY, keys=corp(jwk))


@row(65, "RSA with e=3, and n with a leading zero byte", policy=True)
def unusual_rsa(stage: Stage) -> Iterator[Case]:
    private = rsa.generate_private_key(public_exponent=3, key_size=2048)
    key = SigningKey(kid="three", alg="RS256", private=private)
    yield replace(allowed("e=3", stage.mint(key=key)), keys=corp(key))
    usual = signer("RS256", "zero")
    jwk = usual.public_jwk()
    jwk["n"] = b64(b"\0" + unb64(jwk["n"]))
    yield replace(allowed("leading zero", stage.mint(key=usual)), keys=corp(jwk))


@row(66, "a private key in the set is dropped")
def private_key(stage: Stage) -> Iterator[Case]:
    for algorithm, members in (
        ("RS256", ("d", "p", "q", "dp", "dq", "qi")), ("ES256", ("d",)), ("EdDSA", ("d",)),
    ):  # fmt: skip
        key = signer(algorithm, "private")
        jwk = key.public_jwk() | {member: b64(b"secret" * 6) for member in members}
        yield refused(algorithm, stage.mint(key=key), UNKNOWN_KEY, keys=corp(jwk))


@row(67, "a shared secret in the set, and a token by it")
def shared_secret(stage: Stage) -> Iterator[Case]:
    secret = {"kty": "oct", "kid": "es256", "k": b64(b"secret" * 6)}
    for alg in ("HS256", "HS512"):
        token = stage.mint(header={"alg": alg})
        yield refused(alg, token, Reason.UNSUPPORTED_ALGORITHM, keys=corp(secret | {"alg": alg}))
    yield replace(allowed("beside a good key", stage.mint()), keys=corp(secret))


@row(68, "points that are not on the curve, coordinates of another length, other curves")
def odd_points(stage: Stage) -> Iterator[Case]:
    key = signer("ES256", "odd")
    good = key.public_jwk()
    x = unb64(good["x"])
    over_p = (2**256 - 1).to_bytes(32)
    changes: dict[str, dict[str, Any]] = {
        "off the curve": {"x": b64(bytes([x[0] ^ 1]) + x[1:])},
        "origin": {"x": b64(bytes(32)), "y": b64(bytes(32))},
        "x > p": {"x": b64(over_p)},
        "short x": {"x": b64(x[:-1])},
        "long x": {"x": b64(b"\0" + x)},
        "no crv": {"crv": None},
        "crv P-384": {"crv": "P-384", "alg": "ES384"},
        "crv secp256k1": {"crv": "secp256k1", "alg": "ES256K"},
        "crv p-256": {"crv": "p-256"},
        "alg of another curve": {"alg": "ES384"},
        "alg of another type": {"alg": "RS256"},
        "y absent": {"y": None},
        "crv a list": {"crv": ["P-256"]},
    }
    for name, change in changes.items():
        yield refused(name, stage.mint(key=key), UNKNOWN_KEY, keys=corp(good | change))


@row(69, "Ed25519 keys of small order, with which one signature fits all")
def small_order(stage: Stage) -> Iterator[Case]:
    everything = (1).to_bytes(32, "little") + bytes(32)
    key = renamed(signer("EdDSA"), "small")
    for y in SMALL_ORDER_Y:
        for sign in (0, 1 << 255):
            for form in {y, y + ED25519_P if y < 19 else y}:
                text = b64((form | sign).to_bytes(32, "little"))
                jwk = {"kty": "OKP", "crv": "Ed25519", "kid": "small", "x": text}
                token = stage.mint(key=key, sign=lambda _: everything)
                yield refused(hex(form | sign)[:12], token, UNKNOWN_KEY, keys=corp(jwk))


@row(70, "X25519 keys, and keys of another length")
def other_okp(stage: Stage) -> Iterator[Case]:
    key = signer("EdDSA", "okp")
    good = key.public_jwk()
    raw = unb64(good["x"])
    for change in (
        {"crv": "X25519"}, {"crv": "Ed448"}, {"crv": "ed25519"}, {"x": b64(raw[:-1])},
        {"x": b64(raw + b"\0")}, {"x": b64(b"")}, {"x": good["x"] + "="}, {"alg": "ES256"},
    ):  # fmt: skip
        yield refused(change, stage.mint(key=key), UNKNOWN_KEY, keys=corp(good | change))


@row(71, "several keys under one kid: all are tried, in any order", policy=True)
def duplicate_kids(stage: Stage) -> Iterator[Case]:
    one, two = signer("ES256", "twin"), renamed(signer("ES256", "twin-2"), "twin")
    other_type = renamed(signer("RS256", "twin-3"), "twin")
    for keys in ((one, two), (two, one), (one, one), (one, other_type), (other_type, one)):
        label = "-".join(key.alg + str(key is one) for key in keys)
        yield replace(allowed(label, stage.mint(key=one)), keys=only(*keys))
    forged = stage.mint(key=renamed(signer("ES256", "forger"), "twin"))
    yield refused("neither", forged, Reason.BAD_SIGNATURE, keys=only(one, two))


@row(72, "JWK alg none or for encryption")
def jwk_alg(stage: Stage) -> Iterator[Case]:
    for algorithm in ("RS256", "ES256"):
        key = signer(algorithm, "alg")
        for alg in ("none", "RSA-OAEP", "HS256", "", "rs256", 7, ["RS256"], "ES521"):
            jwk = key.public_jwk() | {"alg": alg}
            yield refused(f"{algorithm} {alg}", stage.mint(key=key), UNKNOWN_KEY, keys=corp(jwk))
        absent = corp(key.public_jwk() | {"alg": None})
        yield allowed(f"{algorithm} null, which is nothing", stage.mint(key=key), keys=absent)


@row(73, "odd members cost nobody else anything")
def odd_members(stage: Stage) -> Iterator[Case]:
    odd: list[Any] = [
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}, {"kty": "wat"}, {}, {"kty": None},
        {"kty": "RSA"}, {"kty": "EC", "crv": "P-256"}, {"kty": "RSA", "n": "!", "e": "AQAB"},
        {"kty": ["RSA"]}, {"kty": "RSA", "n": "", "e": ""}, {"kty": "OKP", "crv": "Ed25519"},
        {"kty": "EC", "kid": 7}, {"kty": "RSA", "x5c": ["!!"]},
    ]  # fmt: skip
    for number, member in enumerate(odd):
        yield replace(allowed(number, stage.mint()), keys=corp(member))
    plain: list[Any] = [None, 7, "x", [], True]
    keys = {"corp": {"keys": [*plain, *odd, signer().public_jwk()], "more": [1]}}
    yield replace(allowed("all at once", stage.mint()), keys=keys)


@row(74, "x5c is never a source of keys", policy=True)
def x5c(stage: Stage) -> Iterator[Case]:
    key = signer("RS256", "x5c")
    certificate = ["MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"]
    both = key.public_jwk() | {"x5c": certificate, "x5t": "AAAA"}
    yield replace(allowed("beside n, of another key", stage.mint(key=key)), keys=corp(both))
    alone = {"kty": "RSA", "kid": "x5c", "use": "sig", "x5c": certificate}
    yield refused("alone", stage.mint(key=key), UNKNOWN_KEY, keys=corp(alone))

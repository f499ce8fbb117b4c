"""Rows 58-62: signatures at the edges of their arithmetic (RFC 7518 section 3, RFC 8032)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from extauthz.core.model import Reason
from tests.attacks.table import Case, Stage, allowed, refused, row
from tests.tokens import b64, signer, unb64

BAD = Reason.BAD_SIGNATURE

N256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
L25519 = 2**252 + 27742317777372353535851937790883648493


def resigned(token: str, signature: bytes) -> str:
    return f"{token.rpartition('.')[0]}.{b64(signature)}"


def changed(token: str, change: Callable[[bytes], bytes]) -> str:
    return resigned(token, change(unb64(token.rpartition(".")[2])))


@row(58, "ECDSA signatures of zero, one, and the order (CVE-2022-21449)")
def psychic(stage: Stage) -> Iterator[Case]:
    token = stage.mint()
    r = int.from_bytes(unb64(token.rpartition(".")[2])[:32])
    pairs = {
        "r=s=0": (0, 0), "r=0": (0, 1), "s=0": (r, 0), "r=n": (N256, 1), "s=n": (r, N256),
        "r=s=n": (N256, N256), "1/1": (1, 1), "largest": (2**256 - 1, 2**256 - 1),
        "n-1": (N256 - 1, N256 - 1), "p": (P256, P256), "r=r+n": ((r + N256) % 2**256, 1),
    }  # fmt: skip
    for name, (left, right) in pairs.items():
        yield refused(name, resigned(token, left.to_bytes(32) + right.to_bytes(32)), BAD)


@row(59, "the high-s twin of a signature is as good as the first", policy=True)
def high_s(stage: Stage) -> Iterator[Case]:
    token = stage.mint()
    signature = unb64(token.rpartition(".")[2])
    twin = N256 - int.from_bytes(signature[32:])
    yield allowed("twin", resigned(token, signature[:32] + twin.to_bytes(32)))


@row(60, "ECDSA signatures in other forms and lengths")
def forms(stage: Stage) -> Iterator[Case]:
    token = stage.mint()
    signature = unb64(token.rpartition(".")[2])
    r, s = signature[:32], signature[32:]
    der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
    others = {
        "DER": der, "truncated": signature[:-1], "long": signature + b"\0", "half": r,
        "33-byte halves": b"\0" + r + b"\0" + s, "twice": signature * 2, "one byte": b"\0",
        "turned": s + r, "48-byte halves": bytes(16) + r + bytes(16) + s,
    }  # fmt: skip
    for name, other in others.items():
        yield refused(name, resigned(token, other), BAD)


@row(61, "Ed25519 signatures that are not unique or not made")
def ed25519(stage: Stage) -> Iterator[Case]:
    token = stage.mint(key=signer("EdDSA"))
    signature = unb64(token.rpartition(".")[2])
    s = int.from_bytes(signature[32:], "little")
    identity = (1).to_bytes(32, "little")
    others = {
        "S+L": signature[:32] + (s + L25519).to_bytes(32, "little"),
        "S+2L": signature[:32] + (s + 2 * L25519).to_bytes(32, "little"),
        "R=identity, S=0": identity + bytes(32),
        "all zero": bytes(64),
        "all ones": b"\xff" * 64,
        "truncated": signature[:-1],
        "long": signature + b"\0",
        "S=L": signature[:32] + L25519.to_bytes(32, "little"),
    }
    for name, other in others.items():
        yield refused(name, resigned(token, other), BAD)


@row(62, "RSA signatures changed, and contents changed under a signature")
def rsa(stage: Stage) -> Iterator[Case]:
    key = signer("RS256")
    assert isinstance(key.private, RSAPrivateKey)
    n = key.private.public_key().public_numbers().n
    token = stage.mint(key=key)
    header, payload, text = token.split(".")
    signature = unb64(text)
    number = int.from_bytes(signature)
    others = {
        "s+n": (number + n).to_bytes(257), "leading zero": b"\0" + signature,
        "truncated": signature[:-1], "extra byte": signature + b"\0", "zero": bytes(256),
        "one": (1).to_bytes(256), "n-1": (n - 1).to_bytes(256), "n": n.to_bytes(256),
        "bit flip": bytes([signature[0], signature[1] ^ 1]) + signature[2:],
        "shorter": number.to_bytes(256)[1:], "one byte": b"\1",
    }  # fmt: skip
    for name, other in others.items():
        yield refused(name, resigned(token, other), BAD)
    edited = stage.mint({"sub": "root"}).split(".")[1]
    yield refused("payload edited", f"{header}.{edited}.{text}", BAD)
    foreign = stage.mint({"jti": "other"}, key=key).split(".")[2]
    yield refused("signature of another token", f"{header}.{payload}.{foreign}", BAD)
    stranger = signer("RS256", "stranger")
    yield refused("a stranger's", stage.mint(key=key, sign=stranger.sign), BAD)
    empty = stage.mint(key=key, sign=lambda _: b"")
    yield refused("none", empty, Reason.MALFORMED_TOKEN)
    for algorithm in ("ES256", "ES384", "ES512", "EdDSA"):
        good = stage.mint(key=signer(algorithm))
        flipped = changed(good, lambda data: bytes([data[0] ^ 1]) + data[1:])
        yield refused(f"{algorithm} bit flip", flipped, BAD)
        yield allowed(algorithm, good)

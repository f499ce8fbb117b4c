"""RSA keys that no library would make for us: short ones, odd exponents, ROCA."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import gcd, prod
from random import Random
from typing import Any

from tests.tokens import b64

_SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
_SMALL = [p for p in range(2, 720) if all(p % q for q in range(2, int(p**0.5) + 1))]


@dataclass(frozen=True)
class TextbookKey:
    """An RSA key pair as plain numbers, signing RS256 by hand (RFC 8017 section 8.2.1)."""

    n: int
    e: int
    d: int

    def public_jwk(self, kid: str, **members: Any) -> dict[str, Any]:
        material = {"kty": "RSA", "kid": kid, "n": b64_uint(self.n), "e": b64_uint(self.e)}
        return {**material, **members}

    def sign(self, message: bytes) -> bytes:
        size = (self.n.bit_length() + 7) // 8
        digest = _SHA256_PREFIX + hashlib.sha256(message).digest()
        padded = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
        return pow(int.from_bytes(padded), self.d, self.n).to_bytes(size)


def b64_uint(number: int) -> str:
    return b64(number.to_bytes(max(1, (number.bit_length() + 7) // 8)))


@cache
def textbook(bits: int, e: int = 65537) -> TextbookKey:
    """A key of that many bits."""
    random = Random(bits * 1000 + e)  # noqa: S311  the same keys on every run

    def candidate() -> int:
        top = 3 << (bits // 2 - 2)
        return random.getrandbits(bits // 2) | top | 1

    return _pair(candidate, e)


@cache
def roca() -> TextbookKey:
    """A 2048-bit key as the faulty Infineon library made them (CVE-2017-15361)."""
    modulus = prod(_SMALL[:126])
    random = Random(15361)  # noqa: S311  as above

    def candidate() -> int:
        below = pow(65537, random.getrandbits(64), modulus)
        return random.getrandbits(1024 - modulus.bit_length()) * modulus + below

    while (key := _pair(candidate, 65537)).n.bit_length() < 2048:
        pass
    return key


def _pair(candidate: Callable[[], int], e: int) -> TextbookKey:
    p, q = _prime(candidate, e), _prime(candidate, e)
    return TextbookKey(p * q, e, pow(e, -1, (p - 1) * (q - 1)))


def _prime(candidate: Callable[[], int], e: int) -> int:
    while True:
        number = candidate()
        coprime = all(number % small for small in _SMALL) and gcd(number - 1, e) == 1
        if coprime and _is_probable_prime(number):
            return number


def _is_probable_prime(number: int) -> bool:
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13):
        power = pow(base, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True

"""The bounded memory of verified tokens.

A hit only spares the signature: times, the key's place in the issuer's current key set,
issuer and audience are judged anew on every request. Only tokens that verified are kept,
so that nobody fills it without a key of an issuer.
"""

from __future__ import annotations

from hashlib import sha256

from .verified import VerifiedToken


def token_digest(text: str) -> bytes:
    """The name a token's exact text is remembered by."""
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


class TokenCache:
    """Verified tokens by SHA-256 of their text, at most ``entries`` of them (0 = off).

    Two generations stand in for a strict order of use: what is used moves to the young
    one, and when that is full the old one is dropped.
    """

    def __init__(self, entries: int) -> None:
        self._half = (entries + 1) // 2
        self._young: dict[bytes, VerifiedToken] = {}
        self._old: dict[bytes, VerifiedToken] = {}
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, digest: bytes) -> VerifiedToken | None:
        """The verified token of that digest, if it is remembered."""
        token = self._young.get(digest)
        if token is None:
            token = self._old.pop(digest, None)
            if token is None:
                self.misses += 1
                return None
            self.put(digest, token)
        self.hits += 1
        return token

    def put(self, digest: bytes, token: VerifiedToken) -> None:
        """Remember a token that has verified."""
        if len(self._young) >= self._half:
            self._old = self._young
            self._young = {}
        if self._half:
            self._young[digest] = token

    def clear(self) -> None:
        """Forget everything."""
        self._young.clear()
        self._old.clear()

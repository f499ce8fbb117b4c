"""The bounded memory of verified tokens.

A hit only spares the signature: times, the key's place in the issuer's current key set,
issuer and audience are judged anew on every request. Only tokens that verified are kept,
so that nobody fills it without a key of an issuer.
"""

from __future__ import annotations

from hashlib import sha256

from .verified import VerifiedToken


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

    def get(self, text: str) -> VerifiedToken | None:
        """The verified token of exactly this text, if it is remembered."""
        if not self._half:
            return None
        digest = sha256(text.encode("ascii")).digest()
        token = self._young.get(digest)
        if token is None:
            token = self._old.pop(digest, None)
            if token is None:
                self.misses += 1
                return None
            self._keep(digest, token)
        self.hits += 1
        return token

    def put(self, text: str, token: VerifiedToken) -> None:
        """Remember a token that has just verified."""
        if self._half:
            self._keep(sha256(text.encode("ascii")).digest(), token)

    def clear(self) -> None:
        """Forget everything."""
        self._young.clear()
        self._old.clear()

    def _keep(self, digest: bytes, token: VerifiedToken) -> None:
        if len(self._young) >= self._half:
            self._old = self._young
            self._young = {}
        self._young[digest] = token

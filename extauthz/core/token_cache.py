"""The bounded memory of verified tokens.

A hit only spares the signature: times, the key's place in the issuer's current key set,
issuer and audience are judged anew on every request. Only tokens that verified are kept,
so that nobody fills it without a key of an issuer.
"""

from __future__ import annotations

import marshal
from collections import OrderedDict
from collections.abc import Iterator
from hashlib import sha256
from typing import Generic, TypeVar

from .keyset import Key
from .policy import Issuer, Policy, Server
from .verified import Caller, TokenFacts, VerifiedToken

_T = TypeVar("_T")

_WARM_ENTRIES = 2048
_MAX_SIGNERS = 4096


def token_digest(text: str) -> bytes:
    """The name a token's exact text is remembered by."""
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


class Recent(Generic[_T]):
    """A bounded map that forgets what was not used for longest."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._kept: OrderedDict[bytes, _T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: bytes) -> _T | None:
        """What is kept under ``name``, which now counts as used."""
        value = self._kept.get(name)
        if value is not None:
            self._kept.move_to_end(name)
        return value

    def put(self, name: bytes, value: _T) -> None:
        """Keep ``value``, forgetting another one where there are too many."""
        self._kept[name] = value
        self._kept.move_to_end(name)
        if len(self._kept) > self._entries:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()


class TokenCache:
    """Verified tokens by SHA-256 of their text, at most ``entries`` of them (0 = off).

    All are kept as a few hundred packed bytes each; those in steady use are kept whole
    as well. Of the claims, only ``claims`` (top-level names) are packed.
    """

    def __init__(self, entries: int, claims: frozenset[str] = frozenset()) -> None:
        self._warm: Recent[Caller] = Recent(min(entries, _WARM_ENTRIES))
        self._cold: Recent[bytes] = Recent(entries)
        self._claims = claims
        self._signers: list[tuple[Issuer, Key]] = []
        self._signer_numbers: dict[tuple[int, int], int] = {}
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._cold)

    def get(self, digest: bytes) -> Caller | None:
        """The caller whose token has that digest, if it is remembered: counted as hit or miss."""
        caller = self.known(digest)
        if caller is None:
            self.misses += 1
        else:
            self.hits += 1
        return caller

    def known(self, digest: bytes) -> Caller | None:
        """The same, and nothing is counted: for who may ask again for the same request."""
        caller = self._warm.get(digest)
        if caller is None:
            packed = self._cold.get(digest)
            if packed is None:
                return None
            token = self._unpack(packed)
            caller = Caller(token, None, token.facts.issuer.name)
            self._warm.put(digest, caller)
        return caller

    def put(self, digest: bytes, caller: Caller) -> None:
        """Remember a caller whose token has verified."""
        self._cold.put(digest, self._pack(caller.token))
        self._warm.put(digest, caller)

    def clear(self) -> None:
        """Forget everything."""
        self._warm.clear()
        self._cold.clear()
        self._signers.clear()
        self._signer_numbers.clear()

    def _pack(self, token: VerifiedToken) -> bytes:
        facts = token.facts
        identity = (id(facts.issuer), id(token.key))
        number = self._signer_numbers.get(identity)
        if number is None:
            if len(self._signers) >= _MAX_SIGNERS:
                self.clear()
            number = self._signer_numbers[identity] = len(self._signers)
            # Kept here, so that their ids stay theirs.
            self._signers.append((facts.issuer, token.key))
        return marshal.dumps(
            (
                number,
                facts.issuer_value,
                facts.expires,
                facts.not_before,
                facts.issued_at,
                facts.audiences,
                facts.aud,
                facts.scopes,
                facts.subject,
                facts.client_id,
                facts.token_id,
                facts.tenant,
                {name: value for name, value in facts.claims.items() if name in self._claims},
            )
        )

    def _unpack(self, packed: bytes) -> VerifiedToken:
        number, *facts = marshal.loads(packed)  # noqa: S302  packed by the function above
        issuer, key = self._signers[number]
        return VerifiedToken(TokenFacts(issuer, *facts), key)


def claims_in_use(policy: Policy) -> frozenset[str]:
    """Top-level names of the claims that some server's answer, or its line in the log, needs."""
    return frozenset(name for server in policy.servers for name in _used_by(server))


def _used_by(server: Server) -> Iterator[str]:
    yield from (extra.claim[0] for extra in server.forwarded)
    yield from (condition.path[0] for condition in server.conditions)

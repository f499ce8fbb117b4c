"""The keys of one issuer, frozen: a JWK set (RFC 7517 section 5) with every check made.

Keys are looked up by key id and algorithm; key ids are opaque strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from . import strict_json
from .jwk import PRIVATE_KEY_PUBLISHED, Key, UnusableKey, parse_jwk

__all__ = [
    "MAX_CANDIDATES",
    "MAX_KEYS",
    "PRIVATE_KEY_PUBLISHED",
    "Key",
    "KeySet",
    "KeySetError",
    "parse_key_set",
]

MAX_KEYS = 1000
"""A document with more members is refused whole."""

MAX_CANDIDATES = 4
"""At most so many keys are tried for one token: of those that fit, the first of the set."""

_SHOWN_REASONS = 3
_SHOWN_KEYS = 8
# A member of the list in the object may be nested as deeply as the document has levels left.
_LEVELS = strict_json.MAX_DEPTH - 2

_Identity = tuple[str, frozenset[str], str | None, str | None]


class KeySetError(ValueError):
    """The document is no usable key set. The message says why and holds no key material."""


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """The usable keys of one issuer, and why each other member was skipped.

    Sets are compared by identity; ``parse_key_set`` and ``KeySet(keys)`` make them.
    """

    keys: tuple[Key, ...]
    skipped: tuple[str, ...] = ()
    _candidates: Mapping[tuple[str | None, str], tuple[Key, ...]] = field(init=False, repr=False)
    _kids: frozenset[str] = field(init=False, repr=False)
    _identities: frozenset[_Identity] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_kid: dict[tuple[str | None, str], list[Key]] = {}
        for key in self.keys:
            for algorithm in key.algorithms:
                by_kid.setdefault((None, algorithm), []).append(key)
                if key.kid is not None:
                    by_kid.setdefault((key.kid, algorithm), []).append(key)
        # The class is frozen for everyone else.
        object.__setattr__(
            self,
            "_candidates",
            {at: tuple(keys[:MAX_CANDIDATES]) for at, keys in by_kid.items()},
        )
        object.__setattr__(self, "_kids", frozenset(k.kid for k in self.keys if k.kid is not None))
        object.__setattr__(self, "_identities", frozenset(map(_identity, self.keys)))

    def candidates(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """The keys that may have signed a token with this header; any of them will do.

        With a key id: all keys of exactly that id which fit the algorithm. Without one
        (None): all that fit. Where more than MAX_CANDIDATES do, the first of the set.
        """
        return self._candidates.get((kid, algorithm), ())

    def names(self) -> str:
        """The first keys by id and algorithms, for people."""
        shown = [
            f"{key.kid or '(no kid)'} for {', '.join(sorted(key.algorithms))}"
            for key in self.keys[:_SHOWN_KEYS]
        ]
        more = len(self.keys) - len(shown)
        return "; ".join([*shown, f"and {more} more"] if more else shown)

    def has(self, kid: str) -> bool:
        """Whether a key of this id is in the set, whatever its algorithm."""
        return kid in self._kids

    def holds(self, key: Key) -> bool:
        """Whether this very key is (still) in the set, with the same id and for the same use.

        What an earlier set's ``key`` has verified may then be believed as before.
        """
        return _identity(key) in self._identities


def parse_key_set(document: bytes | str | dict[str, object]) -> KeySet:
    """Read a JWK set; one odd member never spoils the others.

    A member that is JSON, but not such as all readers take alike, is odd too. Raises
    KeySetError for what is otherwise not one unambiguous JSON object with a list ``keys``,
    for more than MAX_KEYS members, and when no member is usable.
    """
    value = document if isinstance(document, dict) else _parsed(document)
    members = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(members, list):
        raise KeySetError('not a JWK set: an object with a list "keys" was expected')
    if len(members) > MAX_KEYS:
        raise KeySetError(f"{len(members)} keys; at most {MAX_KEYS} are accepted")
    keys: dict[_Identity, Key] = {}
    skipped: list[str] = []
    for number, member in enumerate(members, start=1):
        try:
            key = _key(member)
        except UnusableKey as fault:
            skipped.append(f"member {number}: {fault}")
        else:
            keys.setdefault(_identity(key), key)
    if not keys:
        raise KeySetError(_no_key(skipped))
    return KeySet(tuple(keys.values()), tuple(skipped))


def _key(member: object) -> Key:
    if isinstance(member, strict_json.Fault):
        raise UnusableKey(member.reason)
    return parse_jwk(member)


def _parsed(document: bytes | str) -> object:
    try:
        data = document.encode("utf-8") if isinstance(document, str) else document
    except UnicodeEncodeError:
        raise KeySetError("not JSON: not UTF-8") from None
    try:
        return strict_json.parse(data)
    except strict_json.NotStrictJson as fault:
        value = _with_odd_members(data)
        if value is None:
            raise KeySetError(f"not JSON: {fault}") from None
        return value


def _with_odd_members(data: bytes) -> object | None:
    """A document that is strict JSON but for members of ``keys``; a fault stands for each such."""
    try:
        value = strict_json.parse_forgivingly(data)
    except strict_json.NotStrictJson:
        return None
    members = value.pop("keys", None) if isinstance(value, dict) else None
    if not isinstance(members, list) or strict_json.fault_in(value):
        return None
    return {"keys": list(map(_or_fault, members))}


def _or_fault(member: object) -> object:
    why = strict_json.fault_in(member, _LEVELS)
    return member if why is None else strict_json.Fault(why)


def _no_key(skipped: list[str]) -> str:
    if not skipped:
        return "no keys in it"
    shown = "; ".join(skipped[:_SHOWN_REASONS])
    more = len(skipped) - _SHOWN_REASONS
    return f"no usable key in it ({shown}{f'; and {more} more' if more > 0 else ''})"


def _identity(key: Key) -> _Identity:
    return (key.thumbprint, key.algorithms, key.kid, key.issuer)

"""Reading claims: by name or JSON Pointer, as conditions, as scopes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

ClaimPath = tuple[str, ...]
Scalar = str | int | float | bool


class _Missing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "absent"


MISSING: Final = _Missing()
_BAD_ESCAPE = re.compile(r"~(?![01])")


def claim_path(name: str) -> ClaimPath:
    """Parse a claim's name: a JSON Pointer (RFC 6901) if it begins with ``/``.

    Raises ValueError for a bad escape in a pointer or an empty name.
    """
    if not name:
        raise ValueError("a claim name must not be empty")
    if not name.startswith("/"):
        return (name,)
    if _BAD_ESCAPE.search(name):
        raise ValueError("in a JSON Pointer '~' is written '~0' and '/' is written '~1'")
    return tuple(segment.replace("~1", "/").replace("~0", "~") for segment in name[1:].split("/"))


def claim_name(path: ClaimPath) -> str:
    """The name of a path: what ``claim_path`` reads back, a pointer only where it must be."""
    if len(path) == 1 and not path[0].startswith("/"):
        return path[0]
    return "".join("/" + segment.replace("~", "~0").replace("/", "~1") for segment in path)


def claim_at(claims: Mapping[str, object], path: ClaimPath) -> object:
    """The value at ``path``, or MISSING. A null counts as absent."""
    value: object = claims
    for segment in path:
        if isinstance(value, dict):
            value = value.get(segment)
        elif isinstance(value, list) and segment.isascii() and segment.isdigit():
            index = int(segment[:9])
            value = value[index] if index < len(value) and str(index) == segment else None
        else:
            return MISSING
        if value is None:
            return MISSING
    return value


def _same(found: object, wanted: Scalar) -> bool:
    # In Python True == 1; in JSON it is not.
    return isinstance(found, bool) == isinstance(wanted, bool) and found == wanted


@dataclass(frozen=True, slots=True)
class ClaimCondition:  # noqa: PLW1641  data classes that are frozen have a hash
    """Holds when the claim equals one of ``values`` or is an array that contains one."""

    name: str
    path: ClaimPath
    values: tuple[Scalar, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClaimCondition) and self._exact() == other._exact()

    def _exact(self) -> tuple[object, ...]:
        # As for ``_same``: what a token met before is good for this one only if they are the same.
        return self.name, self.path, self.values, [*map(type, self.values)]

    def holds(self, claims: Mapping[str, object]) -> bool:
        """Whether the condition holds; an absent claim never does."""
        found = claim_at(claims, self.path)
        if found is MISSING:
            return False
        elements = found if isinstance(found, list) else (found,)
        return any(_same(element, wanted) for element in elements for wanted in self.values)


def scope_elements(claims: Mapping[str, object], paths: Iterable[ClaimPath]) -> tuple[str, ...]:
    """Every scope of a token in order of appearance, each once, from all scope claims.

    A string is split at spaces (RFC 6749 section 3.3), an array is taken as it is; what
    is not a string in it is passed over, since it can grant nothing.
    """
    seen: dict[str, None] = {}
    for path in paths:
        value = claims.get(path[0]) if len(path) == 1 else claim_at(claims, path)
        if type(value) is str:
            for each in value.split(" "):
                seen[each] = None
        elif type(value) is list:
            for each in value:
                if type(each) is str:
                    seen[each] = None
    seen.pop("", None)
    return tuple(seen)


def granted_scopes(
    elements: Iterable[str], implies: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    """The scopes that count: elements without a space, and all that they imply.

    ``implies`` must already be transitive.
    """
    granted = frozenset(elements)
    if " " in "".join(granted):
        granted = frozenset([element for element in granted if " " not in element])
    if implies:
        return granted.union(*[implies.get(element, ()) for element in granted])
    return granted

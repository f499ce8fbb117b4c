"""Rules: what a call must bring, chosen by exact name or glob."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .claims import ClaimCondition


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What one call must bring: every part has to hold. ``key`` is its key in the file."""

    key: str
    deny: bool = False
    scopes: tuple[str, ...] = ()
    any_scopes: tuple[str, ...] = ()
    claims: tuple[ClaimCondition, ...] = ()


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern in which ``*`` matches any run of characters and nothing else is special."""

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, pattern: str) -> Glob:
        """Split a pattern at its stars."""
        return cls(tuple(pattern.split("*")))

    def folded(self) -> Glob:
        """The same pattern for names whose case was folded away."""
        return Glob(tuple(part.casefold() for part in self.parts))

    @property
    def literals(self) -> int:
        """How many characters are not stars: more beats fewer."""
        return sum(map(len, self.parts))

    def matches(self, name: str) -> bool:
        """Whether the whole of ``name`` matches, in time linear in its length."""
        if len(self.parts) == 1:
            return name == self.parts[0]
        first, *middle, last = self.parts
        if len(name) < len(first) + len(last):
            return False
        if not (name.startswith(first) and name.endswith(last)):
            return False
        at, end = len(first), len(name) - len(last)
        for part in middle:
            at = name.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True


def globs_overlap(one: str, other: str) -> bool:
    """Whether some name matches both patterns, so that a tie between them would matter."""
    # reached[j]: some text is matched by the part of `one` read so far and by other[:j].
    reached = [True] + [False] * len(other)
    for i in range(len(one) + 1):
        below = [False] * len(reached)
        char = one[i] if i < len(one) else ""
        for j in range(len(other) + 1):
            if not reached[j]:
                continue
            facing = other[j] if j < len(other) else ""
            if char == "*" or facing == "*":
                below[j] = True
                if facing:
                    reached[j + 1] = True
            elif char and char == facing:
                below[j + 1] = True
        if i == len(one):
            return reached[-1]
        reached = below
    return False


@dataclass(frozen=True, slots=True)
class RuleMap:
    """The rules of one kind of call. Globs are ordered by literals, most first.

    ``deny_others`` says what becomes of a name that matches no key: denied for tools,
    prompts and resources, free (server scopes only) for methods. An empty map rules nothing.
    """

    exact: Mapping[str, Rule] = field(default_factory=dict)
    globs: tuple[tuple[Glob, Rule], ...] = ()
    deny_others: bool = True

    def __bool__(self) -> bool:
        return bool(self.exact or self.globs)

    def find(self, name: str) -> Rule | None:
        """The rule for ``name``; None where nothing but the server's scopes is asked."""
        rule = self.exact.get(name)
        if rule is not None:
            return rule
        for glob, candidate in self.globs:
            if glob.matches(name):
                return candidate
        return _UNLISTED if self and self.deny_others else None

    def rules(self) -> tuple[Rule, ...]:
        """Every rule, exact ones first, in the order of the file."""
        return (*self.exact.values(), *(rule for _, rule in self.globs))


_UNLISTED = Rule(key="(no key matches)", deny=True)

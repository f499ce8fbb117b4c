"""What the settings of one server must not contradict among themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from extauthz.core.calls import KIND_OF, needs_no_rule
from extauthz.core.identity import folded
from extauthz.core.paths import is_inside
from extauthz.core.rules import Glob, globs_overlap

from .parse import Entry
from .problems import Fault, Loc, quoted
from .server import Rules, ServerSettings

KINDS = ("tools", "prompts", "resources", "methods")
RULED_ELSEWHERE = {method: f"{kind}s" for method, kind in KIND_OF.items()}


def check_server_settings(entry: Entry[ServerSettings], at: Loc) -> Iterator[Fault]:
    """Every contradiction in one server."""
    server = entry.settings
    for kind in KINDS:
        yield from _ties(getattr(server, kind), (*at, kind))
    yield from _rules_without_effect(server, at)
    yield from _public_paths(entry, at)
    yield from _forwarded(server, at)


def _ties(rules: Rules, at: Loc) -> Iterator[Fault]:
    """Two globs of equal weight that some name matches both of."""
    by_weight: dict[int, list[tuple[str, str, str]]] = defaultdict(list)
    for key in rules:
        if "*" not in key:
            continue
        glob = Glob.parse(key)
        head, tail = glob.parts[0], glob.parts[-1]
        equals = by_weight[glob.literals]
        for other, head2, tail2 in equals:
            # Most pairs differ before their first star or after their last.
            if not (head.startswith(head2) or head2.startswith(head)):
                continue
            if (tail.endswith(tail2) or tail2.endswith(tail)) and globs_overlap(key, other):
                what = f"ties with {quoted(other)}: a name can match both, and neither is longer"
                yield Fault((*at, key), f"{what}; expected one of them to be more exact", True)
                break
        equals.append((key, head, tail))


def _rules_without_effect(server: ServerSettings, at: Loc) -> Iterator[Fault]:
    for method in server.methods:
        loc = (*at, "methods", method)
        if method in RULED_ELSEWHERE:
            kind = RULED_ELSEWHERE[method]
            what = f"{method} is ruled by {kind}; expected rules for it there"
            yield Fault(loc, what, True)
        elif needs_no_rule(method):
            what = f"{method} needs the server's scopes only; expected no rule for it"
            yield Fault(loc, what, True)


def _public_paths(entry: Entry[ServerSettings], at: Loc) -> Iterator[Fault]:
    server = entry.settings
    if entry.lacks("match", "paths") or (entry.lacks("resource") and not server.match.paths):
        return  # it may lie inside what was meant
    prefixes = server.paths
    for position, public in enumerate(server.public_paths):
        path = public.removesuffix("/*") if public.endswith("/*") else public
        if not any(is_inside(path, prefix) for prefix in prefixes):
            inside = " or ".join(prefix or "/" for prefix in prefixes)
            what = f"{quoted(public)} lies outside match; expected a path inside {inside}"
            yield Fault((*at, "public_paths", position), what)


def _forwarded(server: ServerSettings, at: Loc) -> Iterator[Fault]:
    taken: dict[str, str] = {}
    for name in server.forward.headers:
        other = taken.setdefault(folded(name), name)
        if other != name:
            what = f"a backend may read it as {quoted(other)}; expected names that differ in words"
            yield Fault((*at, "forward", "headers", name), what, True)

"""What the configuration says should be so, where doctor is given one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from extauthz.core.hosts import split_host
from extauthz.core.matching import ServerIndex
from extauthz.core.policy import IDENTITY_HEADERS, Policy, Server
from extauthz.core.rules import RuleMap
from extauthz.keys.source import IssuerSource

from .mcp import NOBODYS


@dataclass(frozen=True, slots=True)
class Expectations:
    """What is known of the server behind a URL. Without a configuration, nothing.

    ``sources`` tell how issuers are reached, by the issuer that clients are shown.
    """

    server: Server | None = None
    neighbours: tuple[Server, ...] = ()
    sources: Mapping[str, IssuerSource] = field(default_factory=dict)

    @property
    def identity_names(self) -> tuple[str, ...]:
        """The names of every header that tells who is calling."""
        return (*IDENTITY_HEADERS, *self.extra_names)

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The names that the file adds."""
        return () if self.server is None else tuple(e.header for e in self.server.forwarded)

    @property
    def token_may_arrive(self) -> bool:
        """Whether the MCP server is meant to get the caller's token."""
        return self.server is not None and (self.server.keep_token or self.server.audit)

    @property
    def audit(self) -> bool:
        """Whether refusals are only written down."""
        return self.server is not None and self.server.audit

    @property
    def any_origin(self) -> bool:
        """Whether pages of any origin may call."""
        return self.server is not None and self.server.origins is None

    def denied_tool(self) -> str | None:
        """A name that the rules deny and that no server has; None if there is none."""
        return None if self.server is None else _name(self.server.tools, denied=True)

    def allowed_tool(self, echo_tool: str | None) -> str | None:
        """A name that the rules let pass and that is safe to call; None if none is known."""
        if self.server is None:
            return echo_tool
        if echo_tool is not None and _passes(self.server.tools, echo_tool):
            return echo_tool
        return _name(self.server.tools, denied=False)


def expectations(
    policy: Policy, authority: str, path: str, sources: Iterable[IssuerSource] = ()
) -> Expectations:
    """What a policy says of a URL, and of the other servers of its host."""
    where = split_host(authority)
    if where is None:
        return Expectations()
    index = ServerIndex(policy.servers)
    server = index.find(*where, path)
    others = (each for each in index.on_host(*where) if each is not server)
    named = {source.name: source for source in sources}
    shown = {each.advertised: named[each.name] for each in policy.issuers if each.name in named}
    return Expectations(server, tuple(others), shown)


def _name(rules: RuleMap, *, denied: bool) -> str | None:
    if not rules:
        return None
    return next((name for name in _safe(rules) if _is(rules, name, denied)), None)


def _safe(rules: RuleMap) -> Iterator[str]:
    """Names that nobody has: made of the globs, of what is ruled for us, and one unlisted."""
    for glob, _ in rules.globs:
        if glob.parts[-1] == "":
            yield "".join(glob.parts[:-1]) + NOBODYS
    yield from (name for name in rules.exact if name.endswith(NOBODYS))
    yield NOBODYS


def _is(rules: RuleMap, name: str, denied: bool) -> bool:
    rule = rules.find(name)
    return rule is not None and rule.deny if denied else _passes(rules, name)


def _passes(rules: RuleMap, name: str) -> bool:
    """Whether a name is let through whoever calls; scopes and claims may differ."""
    rule = rules.find(name)
    return rule is None or not (rule.deny or rule.scopes or rule.any_scopes or rule.claims)

"""Settings to the engine's policy: every default worked out, every text parsed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from extauthz.core.claims import ClaimCondition, Scalar, claim_path
from extauthz.core.policy import Encoding, ForwardedClaim, HostPattern, Issuer, Policy, Server
from extauthz.core.rules import Glob, Rule, RuleMap

from .environment import EnvironmentMode
from .issuer import IssuerSettings
from .load import Loaded
from .server import Rules, RuleSettings, ServerSettings
from .urls import exact_origin


def compile_policy(loaded: Loaded) -> Policy:
    """The policy of settings that were loaded; it can no longer fail."""
    settings = loaded.settings
    issuers = tuple(map(_issuer, settings.issuers))
    if loaded.environment is not None:
        servers: tuple[Server, ...] = (_catch_all(loaded.environment, issuers),)
    else:
        servers = tuple(_server(server, issuers) for server in settings.servers)
    return Policy(
        issuers=issuers,
        servers=servers,
        token_max_bytes=settings.tokens.max_bytes,
        cache_entries=settings.tokens.cache_entries,
        digest=loaded.digest,
    )


def _issuer(settings: IssuerSettings) -> Issuer:
    tenants = {
        str(tenant)
        for name, values in settings.required_claims.items()
        if claim_path(name) == ("tid",)
        for tenant in values
    }
    return Issuer(
        name=settings.name,
        issuer=settings.issuer,
        accepted=settings.accepted,
        templates=settings.templates,
        tenants=frozenset(tenants),
        advertised=settings.advertised,
        algorithms=frozenset(settings.algorithms),
        token_types=frozenset(value.lower() for value in settings.token_types),
        audience_claim=claim_path(settings.audience_claim),
        scope_claims=tuple(map(claim_path, settings.scope_claims)),
        required_claims=_conditions(settings.required_claims),
        leeway=settings.leeway,
    )


def _conditions(claims: Mapping[str, tuple[object, ...]]) -> tuple[ClaimCondition, ...]:
    return tuple(
        ClaimCondition(name, claim_path(name), tuple(map(_scalar, values)))
        for name, values in claims.items()
    )


def _scalar(value: object) -> Scalar:
    if isinstance(value, str | int | float):
        return value
    raise TypeError("a claim condition holds text, numbers and booleans only")


def _catch_all(mode: EnvironmentMode, issuers: tuple[Issuer, ...]) -> Server:
    clients = mode.allowed_clients
    return Server(
        name=mode.name,
        resource=mode.resource,
        hosts=(HostPattern("*"),),
        paths=("",),
        issuers=issuers,
        audiences=None if mode.audiences is None else frozenset(mode.audiences),
        origins=frozenset({exact_origin(mode.resource)} if mode.resource else ()),
        allowed_clients=None if clients is None else frozenset(clients),
    )


def _server(settings: ServerSettings, issuers: tuple[Issuer, ...]) -> Server:
    public = settings.public_paths
    origins = (exact_origin(settings.resource), *settings.origins)
    return Server(
        name=settings.name,
        resource=settings.resource,
        title=settings.title,
        hosts=settings.hosts,
        paths=settings.paths,
        issuers=_chosen(settings.issuers, issuers),
        audiences=frozenset(settings.accepted_audiences),
        scopes=tuple(dict.fromkeys(settings.scopes)),
        claims=_conditions(settings.claims),
        tools=_rules(settings.tools),
        prompts=_rules(settings.prompts),
        resources=_rules(settings.resources),
        methods=_rules(settings.methods, deny_others=False),
        implies=_transitive(settings.scope_implies),
        header_versions=frozenset(settings.header_versions),
        allow_unverified_calls=settings.unverified_calls == "allow_without_rules",
        public_exact=frozenset(path for path in public if not path.endswith("/*")),
        public_prefixes=tuple(path.removesuffix("*") for path in public if path.endswith("/*")),
        origins=None if "*" in settings.origins else frozenset(origins),
        forwarded=tuple(
            ForwardedClaim(header, claim_path(one.claim), Encoding(one.encode))
            for header, one in settings.forward.headers.items()
        ),
        keep_token=settings.forward.token == "keep",
        stream_lease=settings.forward.stream_lease == "token",
        audit=settings.mode == "audit",
    )


def _chosen(references: Iterable[str], issuers: tuple[Issuer, ...]) -> tuple[Issuer, ...]:
    """The issuers of a server. None named means the only one there is, which was checked."""
    chosen: dict[str, Issuer] = {}
    for reference in references or ("*",):
        named = [issuer for issuer in issuers if issuer.name == reference]
        for issuer in named or issuers:
            if named or reference in ("*", issuer.issuer):
                chosen[issuer.name] = issuer
    return tuple(chosen.values())


def _rules(rules: Rules, *, deny_others: bool = True) -> RuleMap:
    exact: dict[str, Rule] = {}
    globs: list[tuple[Glob, Rule]] = []
    for key, settings in rules.items():
        rule = _rule(key, settings)
        if "*" in key:
            globs.append((Glob.parse(key), rule))
        else:
            exact[key] = rule
    globs.sort(key=lambda pair: -pair[0].literals)
    return RuleMap(exact, tuple(globs), deny_others)


def _rule(key: str, settings: RuleSettings | str) -> Rule:
    if not isinstance(settings, RuleSettings):
        return Rule(key=key, deny=settings != "allow")
    return Rule(
        key=key,
        scopes=tuple(dict.fromkeys(settings.scopes)),
        any_scopes=tuple(dict.fromkeys(settings.any_scopes)),
        claims=_conditions(settings.claims),
    )


def _transitive(implies: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    """Every scope with all that it includes, over any number of steps; cycles are fine."""
    closed = {}
    for scope in implies:
        reached: set[str] = set()
        ahead = [scope]
        while ahead:
            for included in implies.get(ahead.pop(), ()):
                if included not in reached:
                    reached.add(included)
                    ahead.append(included)
        closed[scope] = frozenset(reached)
    return closed

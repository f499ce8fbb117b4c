"""One policy with a server of every kind, built from the core's own types."""

from __future__ import annotations

from dataclasses import replace

from extauthz.core.policy import ForwardedClaim, HostPattern, Issuer, Policy, Server
from extauthz.core.rules import Glob, Rule, RuleMap
from tests.tokens import ISSUER

HOST = "mcp.example.com"
PARTNER = "https://partner.example.com"
APP = "https://app.example.com"
MODERN = "2026-07-28"


def issuer(url: str = ISSUER, name: str = "corp") -> Issuer:
    return Issuer(name=name, issuer=url, accepted=frozenset({url}), advertised=url)


def server(name: str, host: str = HOST, **changes: object) -> Server:
    """A server at https://HOST/NAME/mcp that matches /NAME and trusts ISSUER."""
    resource = f"https://{host}/{name}/mcp"
    plain = Server(
        name=name,
        resource=resource,
        hosts=(HostPattern(host),),
        paths=(f"/{name}",),
        issuers=(issuer(),),
        audiences=frozenset({resource}),
        origins=frozenset({f"https://{host}"}),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def rules(*given: Rule, deny_others: bool = True) -> RuleMap:
    """Rules by their keys, exact or glob."""
    globs = [(Glob.parse(rule.key), rule) for rule in given if "*" in rule.key]
    return RuleMap(
        {rule.key: rule for rule in given if "*" not in rule.key},
        tuple(sorted(globs, key=lambda pair: -pair[0].literals)),
        deny_others,
    )


def policy_for_tests() -> Policy:
    """Servers by what is special about them; each accepts tokens for its own resource.

    ``calculator`` has scopes, rules, an extra header, an origin and a public path, ``plain``
    nothing; ``audited`` only reports; ``stream`` keeps the token and has a lease;
    ``partner`` trusts a second issuer, ``partner``, too; ``any`` is alone on its host.
    """
    calculator = server(
        "calculator",
        scopes=("mcp",),
        tools=rules(
            Rule(key="add", scopes=("calculator.add",)),
            Rule(key="subtract", scopes=("calculator.subtract",)),
            Rule(key="danger_*", deny=True),
            Rule(key="*"),
        ),
        header_versions=frozenset({MODERN}),
        public_exact=frozenset({"/calculator/health"}),
        public_prefixes=("/calculator/static/",),
        origins=frozenset({f"https://{HOST}", APP}),
        forwarded=(ForwardedClaim("x-user-email", ("email",)),),
    )
    partner = issuer(PARTNER, "partner")
    return Policy(
        issuers=(issuer(), partner),
        servers=(
            calculator,
            server("plain"),
            server("audited", scopes=("audited",), audit=True),
            server("stream", keep_token=True, stream_lease=True),
            server("partner", issuers=(issuer(), partner)),
            server("any", "any.example.com", paths=("",)),
        ),
    )

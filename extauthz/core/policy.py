"""What each MCP server demands and whom each issuer speaks for, compiled and frozen.

``extauthz.config.compile`` is the only maker; nothing here reads a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from .claims import ClaimCondition, ClaimPath
from .rules import RuleMap

IDENTITY_HEADERS = (
    "x-auth-subject",
    "x-auth-issuer",
    "x-auth-client-id",
    "x-auth-scopes",
    "x-auth-audience",
    "x-auth-token-id",
    "x-auth-issued-at",
    "x-auth-expires-at",
    "x-auth-server",
)

CLIENT_CLAIMS = ("client_id", "azp", "cid", "appid")

AUDIENCE_CLAIM: ClaimPath = ("aud",)
SCOPE_CLAIMS: tuple[ClaimPath, ...] = (("scope",), ("scp",))
"""Where audience and scopes are read unless the file says otherwise."""

SUPPORTED_ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)

NAME: Final = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9._~:/\[\]@%+-]{0,252}")
"""A name of an issuer or a server: safe in a header, a metric label and a proxy's configuration."""

TENANT: Final = "{tenantid}"
"""Stands in a template of ``accepted_issuers`` for one of the tenants, each of them a ``GUID``."""

GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

MCP_VERSION: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """How tokens of one issuer are judged.

    ``accepted`` holds every literal ``iss``; ``templates`` those with ``{tenantid}``, which
    stands for a GUID of ``tenants`` equal to the claim ``tid``. ``token_types`` are
    lower-case; ``leeway`` is in seconds.
    """

    name: str
    issuer: str
    accepted: frozenset[str]
    templates: tuple[str, ...] = ()
    tenants: frozenset[str] = frozenset()
    advertised: str
    algorithms: frozenset[str] = frozenset(SUPPORTED_ALGORITHMS)
    token_types: frozenset[str] = frozenset({"at+jwt", "application/at+jwt", "jwt"})
    audience_claim: ClaimPath = AUDIENCE_CLAIM
    scope_claims: tuple[ClaimPath, ...] = SCOPE_CLAIMS
    required_claims: tuple[ClaimCondition, ...] = ()
    leeway: float = 30.0


class Encoding(StrEnum):
    """How a forwarded claim becomes header text (contract, section 5)."""

    TEXT = "text"
    JSON = "json"
    BASE64JSON = "base64json"


@dataclass(frozen=True, slots=True)
class ForwardedClaim:
    """An extra identity header: its lower-case name, the claim it carries, and how."""

    header: str
    claim: ClaimPath
    encoding: Encoding = Encoding.TEXT


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A host to match: exact, ``*.suffix`` or ``*``; lower-case, without final dot.

    ``port`` is None where any port will do.
    """

    host: str
    port: int | None = None

    def __str__(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One protected MCP server.

    ``resource`` is None where there is none to show (environment mode without a URL); then
    there is no metadata. ``audiences`` is None where any audience was asked for out loud.
    ``implies`` is transitive. ``origins`` holds the origin of the
    resource too, and is None where any Origin is allowed.
    ``public_prefixes`` end in ``/``. ``paths`` are canonical and have no final slash
    (the empty string stands for every path).
    """

    name: str
    resource: str | None
    hosts: tuple[HostPattern, ...]
    paths: tuple[str, ...]
    issuers: tuple[Issuer, ...]
    audiences: frozenset[str] | None
    title: str | None = None
    scopes: tuple[str, ...] = ()
    claims: tuple[ClaimCondition, ...] = ()
    tools: RuleMap = field(default_factory=RuleMap)
    prompts: RuleMap = field(default_factory=RuleMap)
    resources: RuleMap = field(default_factory=RuleMap)
    methods: RuleMap = field(default_factory=lambda: RuleMap(deny_others=False))
    implies: Mapping[str, frozenset[str]] = field(default_factory=dict)
    header_versions: frozenset[str] = frozenset()
    allow_unverified_calls: bool = False
    public_exact: frozenset[str] = frozenset()
    public_prefixes: tuple[str, ...] = ()
    origins: frozenset[str] | None = frozenset()
    forwarded: tuple[ForwardedClaim, ...] = ()
    keep_token: bool = False
    stream_lease: bool = False
    audit: bool = False
    allowed_clients: frozenset[str] | None = None

    @property
    def conditions(self) -> tuple[ClaimCondition, ...]:
        """Every condition on a claim that a request to this server may be judged by."""
        required = [one for issuer in self.issuers for one in issuer.required_claims]
        kinds = (self.tools, self.prompts, self.resources, self.methods)
        ruled = (one for kind in kinds for rule in kind.rules() for one in rule.claims)
        return (*required, *self.claims, *ruled)

    @property
    def has_call_rules(self) -> bool:
        """Whether the call has to be known before it can be judged."""
        return bool(self.tools or self.prompts or self.resources or self.methods)

    @property
    def scopes_supported(self) -> tuple[str, ...]:
        """Every scope that this server may ask for, each once, without ``offline_access``."""
        names: dict[str, None] = dict.fromkeys(self.scopes)
        for rules in (self.tools, self.prompts, self.resources, self.methods):
            for rule in rules.rules():
                names.update(dict.fromkeys((*rule.scopes, *rule.any_scopes)))
        names.pop("offline_access", None)
        return tuple(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything a decision depends on besides the request, the keys and the time.

    ``token_max_bytes`` caps a token before anything else looks at it; ``cache_entries``
    bounds the memory of verified tokens (0 = off). ``digest`` names this policy in
    logs and on the status page.
    """

    issuers: tuple[Issuer, ...]
    servers: tuple[Server, ...]
    token_max_bytes: int = 16 * 1024
    cache_entries: int = 100_000
    digest: str = ""

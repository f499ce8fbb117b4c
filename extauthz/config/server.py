"""Settings of one protected MCP server: where it is, whom it trusts, what calls need."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from extauthz.core.hosts import parse_host_pattern, resource_host
from extauthz.core.identity import folded
from extauthz.core.policy import IDENTITY_HEADERS, HostPattern

from .base import ClaimConditions, Part
from .urls import Origin, Resource, Url, default_name
from .values import (
    ClaimName,
    HostText,
    McpVersion,
    Name,
    PathText,
    PublicPath,
    Scope,
    Text,
    shown,
    wrong,
)


class RuleSettings(Part):
    """What a call must bring; every part has to hold."""

    scopes: tuple[Scope, ...] = Field(default=(), description="All of these scopes.")
    any_scopes: tuple[Scope, ...] = Field(
        default=(),
        min_length=1,
        validate_default=False,
        description="At least one of these scopes.",
    )
    claims: ClaimConditions = Field(
        default={},
        description="Claims by name or JSON Pointer; each equals the value or one of the "
        "list, or is an array that contains one.",
    )

    @property
    def demands_nothing(self) -> bool:
        """Whether the rule is the same as ``allow``."""
        return not (self.scopes or self.any_scopes or self.claims)


Rule = RuleSettings | Literal["allow", "deny"]


def _rule(value: object) -> Rule:
    if isinstance(value, str) and value in ("allow", "deny"):
        return "allow" if value == "allow" else "deny"
    if isinstance(value, tuple):
        return RuleSettings.model_validate({"scopes": value})
    if isinstance(value, dict):
        return RuleSettings.model_validate(value)
    expected = "allow, deny, a list of scopes, or {scopes: , any_scopes: , claims: }"
    raise wrong(f"found {shown(value)}", expected)


_MAX_KEY = 512


def _rule_key(text: str) -> str:
    if not text or len(text) > _MAX_KEY:
        raise wrong(f"the key {shown(text)} cannot match", f"1 to {_MAX_KEY} characters")
    return text


RuleKey = Annotated[str, AfterValidator(_rule_key)]
Rules = dict[
    RuleKey,
    Annotated[
        Rule,
        PlainValidator(
            _rule, json_schema_input_type=Literal["allow", "deny"] | list[Scope] | RuleSettings
        ),
    ],
]


class MatchSettings(Part):
    """Which requests are for the server."""

    hosts: tuple[HostText, ...] = Field(
        default=(),
        min_length=1,
        validate_default=False,
        description="Hosts, `*.suffix` or `*`; a port counts only where it is named. "
        "Default: the host of `resource`.",
    )
    paths: tuple[PathText, ...] = Field(
        default=(),
        min_length=1,
        validate_default=False,
        description="Path prefixes on segment borders. Default: the path of `resource`.",
    )


_HOP_OR_PROXY = frozenset(
    {
        "authorization",
        "connection",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-mcp-server",
    }
)
_HOP_OR_PROXY_PREFIXES = (
    "content-",
    "mcp-",
    "proxy-",
    "x-envoy-",
    "x-extauthz-",
    "x-forwarded-",
    "x-original-",
)
_TOKEN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")


def check_header_name(text: str) -> str:
    """A header that a claim may be forwarded in: ours to set, and nobody else's."""
    if not text or not _TOKEN.issuperset(text):
        raise wrong(f"{shown(text)} is not a header name", "a lower-case name such as x-user-email")
    name = folded(text)
    if name in IDENTITY_HEADERS:
        raise wrong(f"{shown(text)} is an identity header already", "another name")
    if name in _HOP_OR_PROXY or name.startswith(_HOP_OR_PROXY_PREFIXES):
        what = f"{shown(text)} belongs to the client, the proxy or HTTP itself"
        raise wrong(what, "a name of its own such as x-user-email")
    return text


HeaderName = Annotated[str, AfterValidator(check_header_name)]


class ForwardedClaimSettings(Part):
    """A claim that is forwarded in a header."""

    claim: ClaimName = Field(description="The claim, by name or JSON Pointer.")
    encode: Literal["text", "json", "base64json"] = Field(
        default="text", description="How it becomes header text."
    )


def _forwarded(value: object) -> ForwardedClaimSettings:
    if isinstance(value, str):
        return ForwardedClaimSettings.model_validate({"claim": value})
    if isinstance(value, dict):
        return ForwardedClaimSettings.model_validate(value)
    raise wrong(f"found {shown(value)}", "a claim's name, or {claim: , encode: }")


ForwardedClaim = Annotated[
    ForwardedClaimSettings,
    PlainValidator(_forwarded, json_schema_input_type=ClaimName | ForwardedClaimSettings),
]


def _token_handling(value: object) -> object:
    if value == "exchange":
        raise wrong('"exchange" is reserved for a later version', "strip or keep")
    return value


class ForwardSettings(Part):
    """What the MCP server is told about the caller besides the identity headers."""

    headers: dict[HeaderName, ForwardedClaim] = Field(
        default={},
        description="Extra headers: `x-user-email: email` or "
        "`x-groups: {claim: groups, encode: json}`.",
    )
    token: Annotated[Literal["strip", "keep"], BeforeValidator(_token_handling)] = Field(
        default="strip", description="Whether the MCP server gets the caller's token too."
    )
    stream_lease: Literal["off", "token"] = Field(
        default="off", description="`token`: an allowed stream ends when its token does (Envoy)."
    )


def _star_or_list(value: object) -> object:
    return ("*",) if value == "*" else value


def _alone(values: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in values and len(values) > 1:
        raise wrong('"*" stands beside other entries', 'either "*" or a list without it')
    return values


def _some_issuer(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise wrong("found an empty list", 'names or URLs of issuers, or "*" for all of them')
    return _alone(values)


class ServerSettings(Part):
    """A protected MCP server."""

    resource: Resource = Field(
        description="Its public URL, which is also the RFC 8707 resource and the default "
        "audience; http on loopback only."
    )
    name: Name = Field(
        default_factory=lambda data: default_name(data["resource"]),
        description="Names the server in logs, metrics and proxies; unique. "
        "Default: host and path of `resource`.",
    )
    title: Text | None = Field(
        default=None,
        description="Its name for people, which clients may show to users: `resource_name` in the "
        "resource metadata.",
    )
    match: MatchSettings = Field(
        default_factory=MatchSettings, description="Which requests are for this server."
    )
    issuers: Annotated[
        tuple[Text, ...],
        BeforeValidator(_star_or_list, json_schema_input_type=Literal["*"] | list[Text]),
        AfterValidator(_some_issuer),
    ] = Field(
        default=(),
        validate_default=False,
        description="Names or URLs of its issuers, `*` for all. Default: the only issuer; "
        "with several it must be given.",
    )
    audiences: tuple[Text, ...] = Field(
        default=(), description="Audiences accepted. Default, also when empty: `resource`."
    )
    scopes: tuple[Scope, ...] = Field(
        default=(), description="Scopes that every request needs, all of them."
    )
    claims: ClaimConditions = Field(
        default={},
        description="Claims that every request needs, all of them, as `claims` in rules: the way "
        "to let in certain groups only.",
    )
    tools: Rules = Field(default={}, description="Rules for `tools/call` by tool name.")
    prompts: Rules = Field(default={}, description="Rules for `prompts/get` by prompt name.")
    resources: Rules = Field(
        default={}, description="Rules for `resources/read`, `subscribe`, `unsubscribe` by URI."
    )
    methods: Rules = Field(default={}, description="Rules for any other JSON-RPC method.")
    scope_implies: dict[Scope, tuple[Scope, ...]] = Field(
        default={}, description="Scopes that a scope includes, over any number of steps."
    )
    header_versions: tuple[McpVersion, ...] = Field(
        default=(),
        description="Protocol versions whose `Mcp-*` headers this backend is known to compare "
        "with the body.",
    )
    unverified_calls: Literal["deny", "allow_without_rules"] = Field(
        default="deny",
        description="What becomes of a POST whose call cannot be known although there are rules.",
    )
    public_paths: tuple[PublicPath, ...] = Field(
        default=(),
        description="Paths that need no token: absolute, inside `match`, exact or ending in `/*`.",
    )
    origins: Annotated[
        tuple[Origin, ...],
        BeforeValidator(_star_or_list, json_schema_input_type=Literal["*"] | list[Origin]),
        AfterValidator(_alone),
    ] = Field(
        default=(),
        description="Origins of browser pages allowed besides that of `resource`; `*` for any.",
    )
    upstream: Url | None = Field(
        default=None, description="Where the MCP server is; read by generate, demo and doctor."
    )
    forward: ForwardSettings = Field(
        default_factory=ForwardSettings, description="What the MCP server is told about the caller."
    )
    mode: Literal["enforce", "audit"] = Field(
        default="enforce", description="`audit` turns this server's refusals into logged allows."
    )

    @property
    def hosts(self) -> tuple[HostPattern, ...]:
        """The hosts matched: given ones, else the host of the resource."""
        if self.match.hosts:
            return tuple(dict.fromkeys(map(parse_host_pattern, self.match.hosts)))
        return (resource_host(self.resource),)

    @property
    def paths(self) -> tuple[str, ...]:
        """The path prefixes matched, without final slash: given ones, else the resource's."""
        given = self.match.paths or (urlsplit(self.resource).path,)
        return tuple(dict.fromkeys(path.rstrip("/") for path in given))

    @property
    def accepted_audiences(self) -> tuple[str, ...]:
        """The audiences accepted: given ones, else the resource.

        A resource without a path is accepted with and without its final slash.
        """
        given = self.audiences or (self.resource,)
        if urlsplit(self.resource).path in ("", "/"):
            bare = self.resource.removesuffix("/")
            if bare in given or bare + "/" in given:
                given = (*given, bare, bare + "/")
        return tuple(dict.fromkeys(given))

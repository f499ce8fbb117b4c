"""Settings of one issuer: whose tokens are taken, and where its keys come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from extauthz.core.policy import SUPPORTED_ALGORITHMS, TENANT

from .base import ClaimConditions, Part, written
from .urls import EgressProxy, FetchedUrl, IssuerText, Url, check_issuer, default_name
from .values import (
    FAULT,
    Algorithm,
    ClaimName,
    Duration,
    ExactHost,
    Name,
    Size,
    Text,
    TokenType,
    parse_duration,
    parse_size,
    shown,
    within,
    wrong,
)

_SOME_TENANT = "tenantid00"
"""Of the same length, so that a long text is cut short at the same place."""


def check_accepted_issuer(text: str) -> str:
    """A further ``iss``, or a template in which ``{tenantid}`` stands once for a GUID."""
    if "{" in text or "}" in text:
        if text.count(TENANT) != 1 or "{" in text.replace(TENANT, "") or text.count("}") != 1:
            raise wrong(f"{shown(text)} is not a template", f"{TENANT} once, and no other braces")
        try:
            check_issuer(text.replace(TENANT, _SOME_TENANT))
        except PydanticCustomError as error:
            said = error.message().replace(_SOME_TENANT, TENANT)
            raise PydanticCustomError(FAULT, "{said}", {"said": said}) from None
        return text
    return check_issuer(text)


AcceptedIssuer = Annotated[str, AfterValidator(check_accepted_issuer)]


class KeySettings(Part):
    """How the keys of an issuer are kept fresh."""

    refresh: Annotated[Duration, within("1s", "24h", parse_duration)] = Field(
        default=written("10m"),
        description="Time between scheduled refreshes; Cache-Control may shorten it, "
        "never under 30s. From 1s to 24h.",
    )
    cooldown: Annotated[Duration, within("10ms", "1h", parse_duration)] = Field(
        default=written("10s"),
        description="Least time between two refreshes asked for by unknown key ids. "
        "From 10ms to 1h.",
    )
    max_stale: Annotated[Duration, within("0s", "8760h", parse_duration)] = Field(
        default=written("24h"),
        description="How long the last good keys serve while the issuer is down. At most 8760h.",
    )
    timeout: Annotated[Duration, within("10ms", "60s", parse_duration)] = Field(
        default=written("5s"),
        description="One overall deadline for discovery and keys together. From 10ms to 60s.",
    )
    max_bytes: Annotated[Size, within("1KiB", "64MiB", parse_size)] = Field(
        default=written("1MiB"), description="Largest answer that is read. From 1KiB to 64MiB."
    )


class IssuerSettings(Part):
    """An issuer of tokens."""

    issuer: IssuerText = Field(description="The `iss` of its tokens, compared byte for byte.")
    name: Name = Field(
        default_factory=lambda data: default_name(data["issuer"]),
        description="Names the issuer in logs, metrics and `servers[].issuers`; unique. "
        "Default: host and path of `issuer`.",
    )
    accepted_issuers: tuple[AcceptedIssuer, ...] = Field(
        default=(),
        description="Further `iss` values, or a template with `{tenantid}`, which needs "
        "`required_claims.tid`.",
    )
    advertised_issuer: Url | None = Field(
        default=None, description="Shown in resource metadata. Default: `issuer`."
    )
    jwks_uri: FetchedUrl | None = Field(
        default=None, description="Where the keys are. Default: from discovery."
    )
    jwks_file: Text | None = Field(
        default=None, description="A file with static keys (JWKS) instead of a fetch."
    )
    discovery: Literal["auto", "oidc", "oauth", "off"] = Field(
        default="auto",
        description="Which metadata is looked for: OpenID Connect, OAuth (RFC 8414), both or none.",
    )
    algorithms: tuple[Algorithm, ...] = Field(
        default=SUPPORTED_ALGORITHMS, min_length=1, description="Signature algorithms accepted."
    )
    token_types: tuple[TokenType, ...] = Field(
        default=("at+jwt", "application/at+jwt", "JWT"),
        min_length=1,
        description="JOSE `typ` values accepted, case-insensitive; an absent one counts as JWT.",
    )
    audience_claim: ClaimName = Field(
        default="aud", description="The claim that names the audience (Cognito: `client_id`)."
    )
    scope_claims: tuple[ClaimName, ...] = Field(
        default=("scope", "scp"),
        description="Claims that hold scopes, as text or list; the union of all counts.",
    )
    required_claims: ClaimConditions = Field(
        default={}, description="Conditions every token must meet, as `claims` in rules."
    )
    leeway: Annotated[Duration, within("0s", "1h", parse_duration)] = Field(
        default=written("30s"),
        description="Clock difference allowed for `exp`, `nbf` and `iat`. At most 1h.",
    )
    ca_file: Text | None = Field(
        default=None, description="Private CA (PEM) for discovery and keys."
    )
    egress_proxy: EgressProxy | None = Field(
        default=None,
        description="Proxy (`http://host:port`) that discovery and keys are fetched through.",
    )
    allow_http_hosts: tuple[ExactHost, ...] = Field(
        default=(), description="Exact hosts that may be fetched from over plain http."
    )
    keys: KeySettings = Field(
        default_factory=KeySettings, description="How the keys are kept fresh."
    )

    @property
    def advertised(self) -> str:
        """The authorization server that resource metadata names."""
        return self.advertised_issuer or self.issuer

    @property
    def templates(self) -> tuple[str, ...]:
        """The accepted issuers that are templates."""
        return tuple(value for value in self.accepted_issuers if TENANT in value)

    @property
    def accepted(self) -> frozenset[str]:
        """Every literal ``iss`` that is accepted."""
        literal = (value for value in self.accepted_issuers if TENANT not in value)
        return frozenset((self.issuer, *literal))

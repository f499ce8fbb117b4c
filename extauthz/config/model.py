"""The settings as a whole, with their defaults. ``extauthz.config.load`` fills them in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from .base import EdgeTlsSettings, Part, TlsSettings, written
from .issuer import IssuerSettings
from .listening import Listen, ListenAddress, ReplicaAddresses, TrustedNetwork, UnixMode
from .server import ServerSettings
from .values import Duration, Size, Text, parse_duration, parse_size, shown, within, wrong


class ListenSettings(Part):
    """Where the service listens."""

    grpc: Listen = Field(
        default=written("127.0.0.1:9191"),
        description="Envoy's gRPC ext_authz and gRPC health. `host:port`, `unix:/path` or `off`.",
    )
    http: Listen = Field(
        default=written("127.0.0.1:8080"),
        description="Auth requests over HTTP, and OAuth documents. `host:port`, `unix:/path` or "
        "`off`.",
    )
    admin: Listen = Field(
        default=written("127.0.0.1:9090"),
        description="Health, metrics and status: never public. `host:port`, `unix:/path` or `off`.",
    )
    grpc_transport: Literal["grpcio", "native"] = Field(
        default="grpcio", description="The gRPC server; `native` needs the extra of that name."
    )
    grpc_tls: TlsSettings = Field(
        default_factory=TlsSettings, description="TLS of the gRPC listener."
    )
    http_tls: TlsSettings = Field(
        default_factory=TlsSettings, description="TLS of the HTTP listener."
    )
    unix_mode: UnixMode | None = Field(
        default=None,
        description='Mode of the Unix sockets, as octal digits in quotes: `"0660"` lets owner and '
        "group connect. Default: what the umask leaves.",
    )
    trusted_proxies: tuple[TrustedNetwork, ...] = Field(
        default=written(("127.0.0.0/8", "::1/128")),
        description="Peers whose `X-Original-*`, `X-Forwarded-*` and `X-Mcp-Server` count; "
        "peers on a Unix socket always do.",
    )


class EdgeSettings(Part):
    """The edge proxy, as `extauthz generate` writes it."""

    listen: ListenAddress = Field(
        default=written("0.0.0.0:8443"),
        description="Where the proxy listens.",
    )
    tls: EdgeTlsSettings = Field(default_factory=EdgeTlsSettings, description="TLS of the proxy.")
    authz_grpc: ReplicaAddresses | None = Field(
        default=None,
        description="How the proxy reaches extauthz over gRPC: an address, or a list of those of "
        "all replicas. Default: `listen.grpc`.",
    )
    authz_http: ReplicaAddresses | None = Field(
        default=None,
        description="How the proxy reaches extauthz over HTTP: an address, or a list of those of "
        "all replicas. Default: `listen.http`.",
    )


class TokenSettings(Part):
    """Limits on tokens."""

    max_bytes: Annotated[Size, within("1KiB", "1MiB", parse_size)] = Field(
        default=written("16KiB"), description="Longest token that is looked at. From 1KiB to 1MiB."
    )
    cache_entries: int = Field(
        default=100_000,
        ge=0,
        le=10_000_000,
        description="Verified tokens remembered, by SHA-256; 0 turns it off. At most 10000000.",
    )


class LogSettings(Part):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity that is logged."
    )
    format: Literal["json", "text"] = Field(
        default="json", description="One JSON object per line, or text for people."
    )
    allow_sample: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of allowed requests that are logged. From 0 to 1.",
    )
    subject: Literal["plain", "hash", "off"] = Field(
        default="plain",
        description="How the subject of a verified token is logged, and claims that rules read.",
    )


def _version(value: object) -> object:
    if value == "1":
        raise wrong('found the text "1"', "the number 1, without quotes")
    # A Literal would also take 1.0 and true.
    if type(value) is not int or value != 1:
        raise wrong(f"found {shown(value)}", "1, the only version there is")
    return value


class Settings(Part):
    """Everything that can be set. Paths of files count from the working directory."""

    version: Annotated[Literal[1], BeforeValidator(_version)] = Field(
        description="The version of this format, which is 1."
    )
    listen: ListenSettings = Field(
        default_factory=ListenSettings, description="Where the service listens."
    )
    issuers: tuple[IssuerSettings, ...] = Field(description="The issuers whose tokens are taken.")
    servers: tuple[ServerSettings, ...] = Field(description="The protected MCP servers.")
    edge: EdgeSettings = Field(
        default_factory=EdgeSettings, description="The edge proxy; read by generate only."
    )
    tokens: TokenSettings = Field(default_factory=TokenSettings, description="Limits on tokens.")
    state_dir: Text | None = Field(
        default=None, description="Folder for key snapshots. Default: none are kept."
    )
    workers: int = Field(default=1, ge=1, le=64, description="Processes that serve. From 1 to 64.")
    drain: Annotated[Duration, within("0s", "10s", parse_duration)] = Field(
        default=written("5s"),
        description="Time for requests under way to end; the whole shutdown ends within 10 s. "
        "At most 10s.",
    )
    log: LogSettings = Field(default_factory=LogSettings, description="What is logged, and how.")

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that the settings name and that is read while serving, each once."""
        named = [
            name
            for tls in (self.listen.grpc_tls, self.listen.http_tls)
            for name in (tls.cert_file, tls.key_file, tls.client_ca_file)
        ]
        for issuer in self.issuers:
            named += [issuer.jwks_file, issuer.ca_file]
        return tuple(dict.fromkeys(name for name in named if name is not None))

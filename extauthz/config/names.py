"""Where settings are looked for: files, and the environment's names. Nothing needs pydantic.

A setting's variable is its path in upper case: ``listen.grpc`` is EXTAUTHZ_LISTEN_GRPC.
What stands in lists (issuers, servers) and what generate alone reads (edge) has none.
"""

from __future__ import annotations

import re
from typing import Final

PREFIX: Final = "EXTAUTHZ_"
CONFIG: Final = "EXTAUTHZ_CONFIG"
COMMANDS: Final = (CONFIG,)
"""Variables that are read by commands and are no settings."""

SEARCHED: Final = ("./extauthz.yaml", "/etc/extauthz/extauthz.yaml")
"""Where a file is looked for that no flag and no variable names: the first that is there."""

DOTENV: Final = ".env"
"""Where variables are looked for as well, if there is no file."""

SETTINGS: Final = (
    "listen.grpc",
    "listen.http",
    "listen.admin",
    "listen.grpc_transport",
    "listen.grpc_tls.cert_file",
    "listen.grpc_tls.key_file",
    "listen.grpc_tls.client_ca_file",
    "listen.http_tls.cert_file",
    "listen.http_tls.key_file",
    "listen.http_tls.client_ca_file",
    "listen.unix_mode",
    "listen.trusted_proxies",
    "tokens.max_bytes",
    "tokens.cache_entries",
    "state_dir",
    "workers",
    "drain",
    "log.level",
    "log.format",
    "log.allow_sample",
    "log.subject",
)
"""Every setting that a flag or a variable may give."""

NUMBERS: Final = frozenset({"tokens.cache_entries", "workers", "log.allow_sample"})
LISTS: Final = frozenset({"listen.trusted_proxies"})

ISSUER: Final = ("OAUTH_ISSUER", "OAUTH_ISSUER_URL", "OAUTH2_ISSUER")
AUDIENCE: Final = ("OAUTH_AUDIENCE", "OAUTH2_AUDIENCE")
JWKS: Final = ("OAUTH_JWKS_URL", "OAUTH_JWKS_URI")
METADATA: Final = ("OAUTH_WELL_KNOWN_URL",)
CLIENT_ID: Final = ("OAUTH2_CLIENT_ID",)
REFRESH: Final = ("OAUTH2_JWKS_CACHE_TTL",)
HOST: Final = ("HOST",)
PORT: Final = ("PORT",)
ANY_AUDIENCE: Final = ("EXTAUTHZ_ANY_AUDIENCE",)
ALLOWED_CLIENTS: Final = ("EXTAUTHZ_ALLOWED_CLIENTS",)
RESOURCE: Final = ("EXTAUTHZ_RESOURCE",)

WITHOUT_FILE: Final = (
    *ISSUER,
    *AUDIENCE,
    *JWKS,
    *METADATA,
    *CLIENT_ID,
    *REFRESH,
    *HOST,
    *PORT,
    *ANY_AUDIENCE,
    *ALLOWED_CLIENTS,
    *RESOURCE,
)
"""Every variable that is read only where there is no file."""

_INJECTED = re.compile(r"EXTAUTHZ(?:_.*)?_(?:PORT.*|SERVICE_.*)")


def variable(setting: str) -> str:
    """The variable of a setting: ``log.level`` is EXTAUTHZ_LOG_LEVEL."""
    return PREFIX + setting.replace(".", "_").upper()


def flag(setting: str) -> str:
    """The flag of a setting: ``log.level`` is --log-level."""
    return "--" + setting.replace(".", "-").replace("_", "-")


VARIABLES: Final = {variable(setting): setting for setting in SETTINGS}


def is_injected(name: str) -> bool:
    """Whether Kubernetes sets such a variable for a Service called extauthz-something."""
    return _INJECTED.fullmatch(name) is not None

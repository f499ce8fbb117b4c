"""What one process serves by: the settings, worked out as far as decisions and doors go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from extauthz.adapters.tls import TlsFiles
from extauthz.config.addresses import Network
from extauthz.core.policy import Policy
from extauthz.telemetry.decision_log import LineStyle
from extauthz.telemetry.records import LEVELS
from extauthz.telemetry.replayable import InForce

if TYPE_CHECKING:
    from extauthz.config.base import TlsSettings
    from extauthz.config.load import Loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Plain values, so that a worker need not import what reads people's settings."""

    policy: Policy
    log_format: str
    log_level: str
    lines: LineStyle
    grpc_transport: str
    grpc_tls: TlsFiles | None
    http_tls: TlsFiles | None
    trusted_proxies: tuple[Network, ...]
    unix_mode: int | None


def terms_of(loaded: Loaded) -> Terms:
    """The terms of settings that were loaded."""
    from extauthz.config.compile import compile_policy  # noqa: PLC0415  not for workers, as above

    log, listen = loaded.settings.log, loaded.settings.listen
    policy = compile_policy(loaded)
    return Terms(
        policy=policy,
        log_format=log.format,
        log_level=log.level,
        lines=LineStyle(LEVELS[log.level], log.allow_sample, log.subject, InForce.of(policy)),
        grpc_transport=listen.grpc_transport,
        grpc_tls=_tls(listen.grpc_tls),
        http_tls=_tls(listen.http_tls),
        trusted_proxies=listen.trusted_proxies,
        unix_mode=listen.unix_mode,
    )


def _tls(settings: TlsSettings) -> TlsFiles | None:
    if settings.cert_file is None or settings.key_file is None:
        return None
    client_ca = settings.client_ca_file
    return TlsFiles(
        Path(settings.cert_file),
        Path(settings.key_file),
        None if client_ca is None else Path(client_ca),
    )

"""Files that the settings name and a service reads: can they be read here?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .model import Settings
from .problems import Fault, Loc, quoted


def unreadable_files(settings: Settings, read: Callable[[str], bytes]) -> Iterator[Fault]:
    """A warning for each file that ``read`` raises OSError or ValueError for."""
    for loc, path in _named(settings):
        try:
            read(path)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "is no path"
            what = f"{quoted(path)} cannot be read here: {why}; serve will need it"
            yield Fault(loc, what)


def _named(settings: Settings) -> Iterator[tuple[Loc, str]]:
    tls = {"grpc_tls": settings.listen.grpc_tls, "http_tls": settings.listen.http_tls}
    for door, files in tls.items():
        for key in ("cert_file", "key_file", "client_ca_file"):
            if path := getattr(files, key):
                yield ("listen", door, key), path
    for index, issuer in enumerate(settings.issuers):
        for key in ("jwks_file", "ca_file"):
            if path := getattr(issuer, key):
                yield ("issuers", index, key), path

"""What single values cannot show: settings that contradict or repeat one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from extauthz.core.policy import HostPattern

from .addresses import TcpAddress, UnixAddress
from .base import EdgeTlsSettings, TlsSettings
from .checks_issuer import check_issuer_settings
from .checks_references import check_references
from .checks_server import check_server_settings
from .issuer import IssuerSettings
from .parse import Entry, Parsed
from .problems import Fault, Loc, quoted
from .salvage import as_given
from .server import ServerSettings
from .urls import exact_origin
from .values import MAX_NAME


def check(parsed: Parsed, *, without_file: bool = False) -> Iterator[Fault]:
    """Every contradiction, except those that may follow from a fault found before.

    ``without_file`` tells the environment-only mode, whose server is no setting.
    """
    known = parsed.lost.union(fault.loc for fault in parsed.faults)
    for fault in _all(parsed, without_file):
        loc = as_given(fault.loc, parsed.kept)
        if not any(loc[:end] in known for end in range(len(loc) + 1)):
            yield replace(fault, loc=loc)


def _all(parsed: Parsed, without_file: bool) -> Iterator[Fault]:
    yield from _listeners(parsed)
    if not parsed.issuers and "issuers" not in parsed.unread:
        yield Fault(("issuers",), "no issuer; expected at least one, whose tokens are taken")
    if not parsed.servers and "servers" not in parsed.unread and not without_file:
        yield Fault(("servers",), "no server; expected at least one, which is to be protected")
    repeated = [*_unique_resources(parsed.servers)]
    yield from repeated
    # A server given twice has also name and match twice, which need not be said.
    servers = [one for one in parsed.servers if one.index not in {f.loc[1] for f in repeated}]
    yield from _unique_names("issuers", parsed.issuers)
    yield from _unique_names("servers", servers)
    yield from _unique_matches(servers)
    for issuer in parsed.issuers:
        at: Loc = ("issuers", issuer.index)
        yield from check_issuer_settings(issuer, at, without_file=without_file)
    for server in parsed.servers:
        at = ("servers", server.index)
        yield from check_server_settings(server, at)
        yield from check_references(server, at, parsed)


def _listeners(parsed: Parsed) -> Iterator[Fault]:
    settings = parsed.settings
    listen = settings.listen
    yield from _tls(listen.grpc_tls, ("listen", "grpc_tls"), parsed)
    yield from _tls(listen.http_tls, ("listen", "http_tls"), parsed)
    yield from _tls(settings.edge.tls, ("edge", "tls"), parsed)
    if listen.grpc is None and listen.http is None:
        what = "both doors are off; expected listen.grpc or listen.http to have an address"
        yield Fault(("listen", "grpc"), what)
    for name, address in (("grpc", listen.grpc), ("http", listen.http)):
        if settings.workers > 1 and isinstance(address, UnixAddress):
            what = "several workers cannot share a Unix socket; expected host:port, or workers: 1"
            yield Fault(("listen", name), what)
    taken: dict[str, str] = {}
    for name, address in (("grpc", listen.grpc), ("http", listen.http), ("admin", listen.admin)):
        anywhere = isinstance(address, TcpAddress) and address.port == 0
        if address is None or anywhere or parsed.lacks("listen", name):
            continue
        other = taken.setdefault(str(address), name)
        if other != name:
            what = f"the same address as listen.{other}; expected one of its own"
            yield Fault(("listen", name), what)


def _tls(
    tls: TlsSettings | EdgeTlsSettings, at: tuple[str, str], parsed: Parsed
) -> Iterator[Fault]:
    cert = tls.cert_file or parsed.lacks(*at, "cert_file")
    key = tls.key_file or parsed.lacks(*at, "key_file")
    if cert and not key:
        what = "missing; expected the key of cert_file"
        yield Fault((*at, "key_file"), what, because=(*at, "cert_file"))
    if key and not cert:
        what = "missing; expected the certificate of key_file"
        yield Fault((*at, "cert_file"), what, because=(*at, "key_file"))
    if isinstance(tls, TlsSettings) and tls.client_ca_file and not cert:
        what = "client certificates need TLS; expected cert_file and key_file beside it"
        yield Fault((*at, "client_ca_file"), what)


def _unique_names(
    kind: str, entries: Iterable[Entry[IssuerSettings] | Entry[ServerSettings]]
) -> Iterator[Fault]:
    taken: dict[str, int] = {}
    for entry in entries:
        if entry.name is None:
            continue
        first = taken.setdefault(entry.name, entry.index)
        if first != entry.index:
            name = quoted(entry.name, MAX_NAME)
            what = f"{name} is the name of {kind}[{first}] too; expected a unique name"
            yield Fault((kind, entry.index, "name"), what)


def _unique_matches(servers: Iterable[Entry[ServerSettings]]) -> Iterator[Fault]:
    taken: dict[tuple[object, str], int] = {}
    for server in servers:
        for host in _hosts(server):
            for path in _paths(server):
                first = taken.setdefault((host, path), server.index)
                if first != server.index:
                    where = f"{host}{path or '/'}"
                    what = f"{where} is matched by servers[{first}] too; expected another match"
                    yield Fault(("servers", server.index, "match"), what)


def _hosts(server: Entry[ServerSettings]) -> tuple[HostPattern, ...]:
    """The hosts that are certain to be matched."""
    unsure = server.lacks("match", "hosts") or server.lacks("resource")
    return () if unsure and not server.settings.match.hosts else server.settings.hosts


def _paths(server: Entry[ServerSettings]) -> tuple[str, ...]:
    """The path prefixes that are certain to be matched."""
    unsure = server.lacks("match", "paths") or server.lacks("resource")
    return () if unsure and not server.settings.match.paths else server.settings.paths


def _unique_resources(servers: Iterable[Entry[ServerSettings]]) -> Iterator[Fault]:
    taken: dict[str, int] = {}
    for server in servers:
        if server.lacks("resource"):
            continue
        resource = server.settings.resource
        path = resource.split("/", 3)[3:]
        # Metadata of URLs that differ in a final slash would stand at one place (RFC 9728).
        key = exact_origin(resource) + "/" + "".join(path).rstrip("/")
        first = taken.setdefault(key, server.index)
        if first != server.index:
            what = f"the resource of servers[{first}] too; expected a URL of its own"
            yield Fault(("servers", server.index, "resource"), what)

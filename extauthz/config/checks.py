"""What single values cannot show: settings that contradict or repeat one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .addresses import TcpAddress, UnixAddress
from .base import EdgeTlsSettings, TlsSettings
from .checks_issuer import check_issuer_settings
from .checks_server import check_server_settings
from .issuer import IssuerSettings
from .parse import Parsed
from .problems import Fault, Loc
from .server import ServerSettings
from .urls import exact_origin


def check(
    parsed: Parsed, *, without_file: bool = False, metadata_url: str | None = None
) -> Iterator[Fault]:
    """Every contradiction, except those that follow from a fault found before.

    ``without_file`` tells the environment-only mode, whose server is no setting;
    ``metadata_url`` is where its issuer's metadata is, if that was said.
    """
    known = [fault.loc for fault in parsed.faults]
    for fault in _all(parsed, without_file, metadata_url):
        if not any(_related(fault.loc, loc) for loc in known):
            yield fault


def _related(one: Loc, other: Loc) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _all(parsed: Parsed, without_file: bool, metadata_url: str | None) -> Iterator[Fault]:
    yield from _listeners(parsed, {fault.loc for fault in parsed.faults})
    issuers = [issuer for _, issuer in parsed.issuers]
    if not issuers:
        yield Fault(("issuers",), "no issuer; expected at least one, whose tokens are taken")
    if not parsed.servers and not without_file:
        yield Fault(("servers",), "no server; expected at least one, which is to be protected")
    repeated = [*_unique_resources(parsed.servers)]
    yield from repeated
    # A server given twice has also name and match twice, which need not be said.
    servers = [(i, one) for i, one in parsed.servers if i not in {f.loc[1] for f in repeated}]
    yield from _unique_names("issuers", parsed.issuers)
    yield from _unique_names("servers", servers)
    yield from _unique_matches(servers)
    for index, issuer in parsed.issuers:
        yield from check_issuer_settings(issuer, ("issuers", index), metadata_url)
    for index, server in parsed.servers:
        at = ("servers", index)
        yield from check_server_settings(server, at)
        yield from _references(server, at, issuers, parsed.lost_issuers)


def _listeners(parsed: Parsed, known: set[Loc]) -> Iterator[Fault]:
    settings = parsed.settings
    listen = settings.listen
    yield from _tls(listen.grpc_tls, ("listen", "grpc_tls"))
    yield from _tls(listen.http_tls, ("listen", "http_tls"))
    yield from _tls(settings.edge.tls, ("edge", "tls"))
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
        if address is None or anywhere or ("listen", name) in known:
            continue
        other = taken.setdefault(str(address), name)
        if other != name:
            what = f"the same address as listen.{other}; expected one of its own"
            yield Fault(("listen", name), what)


def _tls(tls: TlsSettings | EdgeTlsSettings, at: Loc) -> Iterator[Fault]:
    if tls.cert_file and not tls.key_file:
        yield Fault((*at, "key_file"), "missing; expected the key of cert_file")
    if tls.key_file and not tls.cert_file:
        yield Fault((*at, "cert_file"), "missing; expected the certificate of key_file")
    if isinstance(tls, TlsSettings) and tls.client_ca_file and not tls.cert_file:
        what = "client certificates need TLS; expected cert_file and key_file beside it"
        yield Fault((*at, "client_ca_file"), what)


def _unique_names(
    kind: str, entries: Iterable[tuple[int, IssuerSettings] | tuple[int, ServerSettings]]
) -> Iterator[Fault]:
    taken: dict[str, int] = {}
    for index, entry in entries:
        first = taken.setdefault(entry.name, index)
        if first != index:
            what = f'"{entry.name}" is the name of {kind}[{first}] too; expected a unique name'
            yield Fault((kind, index, "name"), what)


def _references(
    server: ServerSettings, at: Loc, issuers: list[IssuerSettings], lost: bool
) -> Iterator[Fault]:
    """``servers[].issuers`` names issuers, and no ``iss`` may be meant twice."""
    here = (*at, "issuers")
    if not server.issuers and len(issuers) > 1:
        names = ", ".join(issuer.name for issuer in issuers)
        what = f'missing; with several issuers expected some of {names}, or "*" for all'
        yield Fault(here, what)
        return
    chosen: dict[str, IssuerSettings] = {}
    for position, reference in enumerate(server.issuers):
        if reference == "*":
            chosen.update({issuer.name: issuer for issuer in issuers})
            continue
        named = [issuer for issuer in issuers if issuer.name == reference]
        found = named or [issuer for issuer in issuers if issuer.issuer == reference]
        if not found and not lost:
            names = ", ".join(issuer.name for issuer in issuers)
            what = f'"{reference}" is no issuer of this file; expected one of {names}'
            yield Fault((*here, position), what)
        elif len(found) > 1 and not named:
            names = ", ".join(issuer.name for issuer in found)
            what = f'"{reference}" means several issuers; expected a name: {names}'
            yield Fault((*here, position), what)
        else:
            chosen.update({issuer.name: issuer for issuer in found})
    taken: dict[str, str] = {}
    for issuer in chosen.values():
        for value in sorted(issuer.accepted) + sorted(issuer.templates):
            other = taken.setdefault(value, issuer.name)
            if other != issuer.name:
                what = f'"{other}" and "{issuer.name}" both accept iss "{value}"'
                yield Fault(here, f"{what}; expected only one of them for one server")


def _unique_matches(servers: Iterable[tuple[int, ServerSettings]]) -> Iterator[Fault]:
    taken: dict[tuple[object, str], int] = {}
    for index, server in servers:
        for host in server.hosts:
            for path in server.paths:
                first = taken.setdefault((host, path), index)
                if first != index:
                    where = host.host + (f":{host.port}" if host.port else "") + (path or "/")
                    what = f"{where} is matched by servers[{first}] too; expected another match"
                    yield Fault(("servers", index, "match"), what)


def _unique_resources(servers: Iterable[tuple[int, ServerSettings]]) -> Iterator[Fault]:
    taken: dict[str, int] = {}
    for index, server in servers:
        origin = exact_origin(server.resource)
        path = server.resource.split("/", 3)[3:]
        # Metadata of URLs that differ in a final slash would stand at one place (RFC 9728).
        key = origin + "/" + "".join(path).rstrip("/")
        first = taken.setdefault(key, index)
        if first != index:
            what = f"the resource of servers[{first}] too; expected a URL of its own"
            yield Fault(("servers", index, "resource"), what)

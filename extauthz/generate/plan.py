"""The inventory as every proxy needs it: where to listen, what is routed where, what is said.

Virtual hosts and their routes repeat the engine's order (``core.matching``): an exact host
beats a wildcard, a longer path a shorter one, and a host falls back to what broader
patterns match. Proxies that name the server they chose can therefore never disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from extauthz.config.addresses import Address, TcpAddress
from extauthz.config.base import EdgeTlsSettings, TlsSettings
from extauthz.config.compile import compile_policy
from extauthz.config.load import Loaded
from extauthz.config.model import ListenSettings
from extauthz.config.urls import beyond_origin, split_url
from extauthz.core.documents import (
    AUTHORIZATION_SERVER,
    LEGACY,
    OPENID_CONFIGURATION,
    RESOURCE_METADATA,
)
from extauthz.core.hosts import split_host
from extauthz.core.matching import patterns_of
from extauthz.core.paths import is_inside
from extauthz.core.policy import Server

from .artefacts import CannotWrite

DOCUMENT_TREES = (RESOURCE_METADATA, AUTHORIZATION_SERVER, OPENID_CONFIGURATION)
DOCUMENT_PATHS = LEGACY
NOWHERE = TcpAddress("127.0.0.1", 1)
"""Stands where a server has no ``upstream``: nobody listens there."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where an MCP server is. ``given`` is False for a placeholder."""

    address: TcpAddress
    tls: bool = False
    given: bool = True

    @property
    def is_name(self) -> bool:
        """Whether the host has to be looked up."""
        try:
            ip_address(self.address.host)
        except ValueError:
            return True
        return False


@dataclass(frozen=True, slots=True)
class Site:
    """A protected MCP server and where it is."""

    server: Server
    upstream: Upstream

    @property
    def name(self) -> str:
        """The name that extauthz knows the server by."""
        return self.server.name

    @property
    def extra_headers(self) -> tuple[str, ...]:
        """The names of ``forward.headers``."""
        return tuple(claim.header for claim in self.server.forwarded)

    @property
    def withholds_token(self) -> bool:
        """Whether no request that is let through may carry the caller's token.

        An audited server gets the requests it would refuse as they came.
        """
        return not (self.server.keep_token or self.server.audit)

    def public_paths(self, prefix: str) -> Iterator[tuple[str, bool]]:
        """Paths below ``prefix`` that need no token, and whether each is exact."""
        for path in sorted(self.server.public_exact):
            if is_inside(path, prefix):
                yield path, True
        for path in self.server.public_prefixes:
            if is_inside(path.rstrip("/"), prefix):
                yield path, False


@dataclass(frozen=True, slots=True)
class Route:
    """Requests for ``path`` and below go to ``site``; ``port`` is None where any will do.

    ``path`` is as in the engine: without final slash, empty for everything.
    """

    site: Site
    path: str
    port: int | None


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """Hosts that share their routes: names and ``*.suffix`` without port, or ``*`` alone.

    Routes are in the order they have to be tried in.
    """

    hosts: tuple[str, ...]
    routes: tuple[Route, ...]

    @property
    def is_default(self) -> bool:
        """Whether this is for every host that no other is for."""
        return self.hosts == ("*",)

    def covers(self, *paths: str) -> bool:
        """Whether some server's path covers one of these, or the reverse."""
        return any(
            is_inside(path, route.path) or is_inside(route.path, path)
            for route in self.routes
            for path in paths
        )

    def whatever_the_port(self) -> tuple[Route, ...]:
        """The routes for proxies that tell virtual hosts apart by name only.

        Raises CannotWrite where the port decides.
        """
        seen: list[Route] = []
        for route in self.routes:
            hiding = next((other for other in seen if is_inside(route.path, other.path)), None)
            if hiding is None:
                seen.append(route)
            elif hiding.site != route.site:
                raise CannotWrite(
                    f"servers {hiding.site.name} and {route.site.name} have one host and differ "
                    "in the port, which this proxy does not look at; expected hosts of their own"
                )
        return tuple(seen)


@dataclass(frozen=True, slots=True)
class Door:
    """Where a proxy asks extauthz, and whether TLS and a client certificate are needed.

    ``addresses`` are those of the replicas, at least one.
    """

    name: str
    addresses: tuple[Address, ...]
    tls: bool
    certificate: bool

    def only(self, proxy: str) -> Address:
        """The one address. Raises CannotWrite where there are several, naming ``proxy``."""
        if len(self.addresses) > 1:
            raise CannotWrite(
                f"edge.authz_{self.name} lists several addresses, and {proxy} asks one; expected "
                "a name that stands for all replicas"
            )
        return self.addresses[0]

    def __str__(self) -> str:
        return ", ".join(map(str, self.addresses))

    @property
    def address(self) -> Address:
        """The first address."""
        return self.addresses[0]

    @property
    def host(self) -> str:
        """The name that its certificate has to bear."""
        return self.address.host if isinstance(self.address, TcpAddress) else "localhost"

    def warnings(self) -> Iterator[str]:
        """What has to be mended by hand before this door opens."""
        if self.certificate:
            yield (
                f"listen.{self.name}_tls.client_ca_file: extauthz demands a client certificate, "
                "and no setting says which the proxy has; put it in where PLACEHOLDER stands"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a writer has to know. The last virtual host is the default one."""

    listen: Address
    tls: EdgeTlsSettings
    authz_grpc: tuple[Address, ...]
    authz_http: tuple[Address, ...]
    listeners: ListenSettings
    sites: tuple[Site, ...]
    virtual_hosts: tuple[VirtualHost, ...]
    warnings: tuple[str, ...]

    @property
    def extra_headers(self) -> tuple[str, ...]:
        """The names of all servers' ``forward.headers``, each once."""
        return tuple(dict.fromkeys(name for site in self.sites for name in site.extra_headers))

    @property
    def ruled_sites(self) -> tuple[Site, ...]:
        """The sites whose answers depend on which tool is called."""
        return tuple(site for site in self.sites if site.server.has_call_rules)

    def grpc(self) -> Door:
        """Where the proxy asks over gRPC. Raises CannotWrite when nobody listens there."""
        return _door("grpc", self.authz_grpc, self.listeners.grpc_tls)

    def http(self) -> Door:
        """Where the proxy asks over HTTP. Raises CannotWrite when nobody listens there."""
        return _door("http", self.authz_http, self.listeners.http_tls)

    def relative_files(self) -> Iterator[str]:
        """A warning for each path of ``edge.tls`` that a proxy takes from a folder of its own."""
        for key, path in (("cert_file", self.tls.cert_file), ("key_file", self.tls.key_file)):
            if path is not None and not path.startswith("/"):
                yield (
                    f"edge.tls.{key}: {path} is a relative path, and stands so in the proxy's "
                    "file: the proxy looks for it where it is started, or beside that file; "
                    "expected an absolute path on the proxy's machine"
                )

    def asked_as_a_stranger(self) -> Iterator[str]:
        """A warning where extauthz takes no proxy's word for the request but this machine's."""
        where = (a for a in self.http().addresses if isinstance(a, TcpAddress))
        away = next((a for a in where if not a.is_loopback), None)
        if away and all(network.is_loopback for network in self.listeners.trusted_proxies):
            yield (
                f"extauthz is asked at {away}, so from elsewhere, and listen.trusted_proxies names "
                "loopback alone: it refuses every request (untrusted_proxy) until the network of "
                "this proxy stands there"
            )


def make_plan(loaded: Loaded) -> Plan:
    """The plan of settings that were loaded. Raises CannotWrite."""
    settings = loaded.settings
    edge, listen = settings.edge, settings.listen
    upstreams = {server.name: server.upstream for server in settings.servers}
    servers = compile_policy(loaded).servers
    sites = tuple(Site(server, _upstream(server, upstreams.get(server.name))) for server in servers)
    return Plan(
        listen=edge.listen,
        tls=edge.tls,
        authz_grpc=edge.authz_grpc or _if_on(listen.grpc),
        authz_http=edge.authz_http or _if_on(listen.http),
        listeners=listen,
        sites=sites,
        virtual_hosts=tuple(_virtual_hosts(sites)),
        warnings=tuple(_warnings(sites, edge.tls)),
    )


def _if_on(address: Address | None) -> tuple[Address, ...]:
    return () if address is None else (address,)


def _door(name: str, addresses: tuple[Address, ...], tls: TlsSettings) -> Door:
    if not addresses:
        raise CannotWrite(
            f"listen.{name} is off and edge.authz_{name} is not set: this proxy has nobody to "
            f"ask; give one of them an address"
        )
    return Door(
        name=name,
        addresses=tuple(_reachable(address, name) for address in addresses),
        tls=tls.cert_file is not None,
        certificate=tls.client_ca_file is not None,
    )


def _reachable(address: Address, door: str) -> Address:
    if isinstance(address, TcpAddress):
        if address.port == 0:
            raise CannotWrite(
                f"listen.{door} is any free port: set edge.authz_{door} to where the proxy "
                "finds it, or give listen a port"
            )
        return address.from_here()
    return address


def _upstream(server: Server, url: str | None) -> Upstream:
    if url is None:
        return Upstream(NOWHERE, given=False)
    parts = split_url(url)
    where = split_host(parts.netloc) if parts else None
    if parts is None or where is None:
        raise CannotWrite(f"server {server.name}: upstream is no URL of a host")
    if beyond := beyond_origin(url):
        raise CannotWrite(f"server {server.name}: upstream {beyond}")
    tls = parts.scheme == "https"
    host, port = where
    address = TcpAddress(host.strip("[]"), port or (443 if tls else 80))
    return Upstream(address, tls)


def _warnings(sites: tuple[Site, ...], tls: EdgeTlsSettings) -> Iterator[str]:
    for site in sites:
        if not site.upstream.given:
            yield (
                f"server {site.name} has no upstream: a placeholder is written, where nobody "
                "listens; set upstream"
            )
    secure = [site for site in sites if _is_https(site.server.resource)]
    if secure and tls.cert_file is None:
        yield (
            f"edge.tls is not set, but {secure[0].server.resource} is https: the written proxy "
            "speaks plain http, and something before it has to end TLS"
        )


def _is_https(resource: str | None) -> bool:
    return resource is not None and urlsplit(resource).scheme == "https"


def _virtual_hosts(sites: tuple[Site, ...]) -> Iterator[VirtualHost]:
    """One for each set of routes, exact hosts first, the default host last."""
    hosts = dict.fromkeys(pattern.host for site in sites for pattern in site.server.hosts)
    together: dict[tuple[tuple[str, str, int | None], ...], VirtualHost] = {}
    for host in sorted(hosts, key=lambda host: (host.startswith("*"), -host.count("."))):
        if host != "*":
            routes = tuple(_routes(host, sites))
            key = tuple((route.site.name, route.path, route.port) for route in routes)
            before = together[key].hosts if key in together else ()
            together[key] = VirtualHost((*before, host), routes)
    yield from together.values()
    yield VirtualHost(("*",), tuple(_routes("*", sites)))


def _routes(host: str, sites: tuple[Site, ...]) -> Iterator[Route]:
    """The routes of a host, in the engine's order; none that can never be reached."""
    seen: list[Route] = []
    for pattern in patterns_of(host):
        here = [
            Route(site, path, one.port)
            for site in sites
            for one in site.server.hosts
            if one.host == pattern
            for path in site.server.paths
        ]
        for route in sorted(here, key=lambda route: (route.port is None, -len(route.path))):
            if not any(_hides(other, route) for other in seen):
                seen.append(route)
                yield route


def _hides(earlier: Route, later: Route) -> bool:
    return earlier.port in (None, later.port) and is_inside(later.path, earlier.path)

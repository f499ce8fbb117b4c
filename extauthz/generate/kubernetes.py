"""Objects of Kubernetes' Gateway API: the gateway, a route for each server, leave to refer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from extauthz.config.addresses import TcpAddress

from .artefacts import CannotWrite
from .filling import comment
from .plan import DOCUMENT_PATHS, DOCUMENT_TREES, Door, Plan, Upstream
from .yaml_text import Node, block

GATEWAY = "mcp"
SECRET = "mcp-edge-tls"
DOCUMENTS = "extauthz-documents"
API = "gateway.networking.k8s.io"

_SERVICE = re.compile(
    r"([a-z]([a-z0-9-]*[a-z0-9])?)(?:\.([a-z0-9]([a-z0-9-]*[a-z0-9])?)(?:\.svc(?:\.cluster\.local)?)?)?"
)
_HOSTNAME = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_PATH = re.compile(r"(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+")
_MOST_HOSTNAMES = 16
_MOST_MATCHES = 64
_LONGEST_PATH = 1024


@dataclass(frozen=True, slots=True)
class Service:
    """A Service, and the namespace it is in."""

    name: str
    namespace: str
    port: int


@dataclass(frozen=True, slots=True)
class Match:
    """One HTTPRoute: its name, whose it is, and what it matches. No hostname means every one."""

    name: str
    site: str
    hostnames: tuple[str, ...]
    paths: tuple[str, ...]
    exact: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object, and what a reader of the file should know about it."""

    body: Mapping[str, Node]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        notes = comment(*self.notes) + "\n" if self.notes else ""
        return notes + block(self.body)


def manifest(
    api: str, kind: str, name: str, namespace: str, spec: Mapping[str, Node], *notes: str
) -> Manifest:
    """An object of that kind."""
    return Manifest(
        {
            "apiVersion": api,
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        },
        notes,
    )


def documents(manifests: Iterable[Manifest]) -> str:
    """All of them as one YAML stream."""
    return "---\n".join(map(str, manifests))


def service_of(address: TcpAddress, namespace: str) -> Service | None:
    """The Service that an address names: ``name``, ``name.namespace`` or ``….svc…``."""
    found = _SERVICE.fullmatch(address.host)
    if found is None or address.host == "localhost" or not Upstream(address).is_name:
        return None
    return Service(found[1], found[3] or namespace, address.port)


class GatewayWriter:
    """Writes what every implementation of the Gateway API has in common."""

    def __init__(self, plan: Plan, ids: Mapping[str, str], namespace: str) -> None:
        if not isinstance(plan.listen, TcpAddress):
            raise CannotWrite("edge.listen: a Gateway listens on a port, not on a Unix socket")
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", namespace):
            raise CannotWrite(f"{namespace!r} is no namespace of Kubernetes")
        self.plan = plan
        self.ids = ids
        self.namespace = namespace
        self.warnings = list(plan.warnings)
        self._port = plan.listen.port

    def gateway(self, gateway_class: str) -> Manifest:
        """The gateway. It is for MCP servers alone, so that all it does is asked about."""
        listener: dict[str, Node] = {"name": "mcp", "port": self._port, "protocol": "HTTP"}
        notes = ("For MCP servers alone: every request to it is asked about.",)
        if self.plan.tls.cert_file is not None:
            listener["protocol"] = "HTTPS"
            listener["tls"] = {"mode": "Terminate", "certificateRefs": [{"name": SECRET}]}
            self.warnings.append(
                f"edge.tls: put certificate and key into the Secret {SECRET} of the namespace "
                f"{self.namespace}: kubectl create secret tls {SECRET} --cert … --key …"
            )
        spec: Mapping[str, Node] = {"gatewayClassName": gateway_class, "listeners": [listener]}
        return manifest(f"{API}/v1", "Gateway", GATEWAY, self.namespace, spec, *notes)

    def extauthz(self, door: Door) -> Service:
        """The Service of extauthz: the one that the address names, else ``extauthz`` here."""
        address = door.only("a Gateway")
        if isinstance(address, TcpAddress):
            found = service_of(address, self.namespace)
            if found is not None:
                return found
        port = address.port if isinstance(address, TcpAddress) else 8080
        self.warnings.append(
            f"edge.authz_{door.name} names no Service: a placeholder is written, "
            f"extauthz.{self.namespace}:{port}"
        )
        return Service("extauthz", self.namespace, port)

    def matches(self) -> Iterator[Match]:
        """What has to be routed, in HTTPRoutes that are not too large for one object."""
        taken: dict[str, int] = {}
        for host in self.plan.virtual_hosts:
            names = [] if host.is_default else [_hostname(name) for name in host.hosts]
            paths: dict[str, list[str]] = {}
            for route in host.whatever_the_port():
                paths.setdefault(route.site.name, []).append(_path(route.path))
            for site, prefixes in paths.items():
                if len(prefixes) > _MOST_MATCHES:
                    raise CannotWrite(f"server {site}: a rule takes at most {_MOST_MATCHES} paths")
                for some in _in_portions(names):
                    taken[site] = taken.get(site, 0) + 1
                    number = "" if taken[site] == 1 else f"-{taken[site]}"
                    yield Match(self.ids[site] + number, site, some, tuple(prefixes))

    def route(self, match: Match, backend: Node, *notes: str) -> Manifest:
        """An HTTPRoute. Streams last: a request has no time limit."""
        paths: list[Node] = [
            {"path": {"type": "PathPrefix", "value": path}} for path in match.paths
        ]
        paths += [{"path": {"type": "Exact", "value": path}} for path in match.exact]
        rule: Node = {"matches": paths, "backendRefs": [backend], "timeouts": {"request": "0s"}}
        hostnames: dict[str, Node] = {"hostnames": match.hostnames} if match.hostnames else {}
        spec = {"parentRefs": [{"name": GATEWAY}], **hostnames, "rules": [rule]}
        return manifest(f"{API}/v1", "HTTPRoute", match.name, self.namespace, spec, *notes)

    def document_routes(self, service: Service) -> Iterator[Manifest]:
        """Documents are extauthz's on every host."""
        names = [
            _hostname(name)
            for host in self.plan.virtual_hosts
            if not host.is_default
            for name in host.hosts
        ]
        portions = [(), *(some for some in _in_portions(names) if some)]
        for number, some in enumerate(portions):
            name = f"{DOCUMENTS}-{number}" if number else DOCUMENTS
            match = Match(name, "", some, DOCUMENT_TREES, DOCUMENT_PATHS)
            yield self.route(match, self.reference(service))

    def reference(self, service: Service) -> Mapping[str, Node]:
        """How an object of this namespace refers to a Service."""
        there: dict[str, Node] = {"name": service.name, "port": service.port}
        if service.namespace != self.namespace:
            there["namespace"] = service.namespace
        return there

    def grants(
        self, services: Iterable[Service], kinds: Iterable[tuple[str, str]]
    ) -> Iterator[Manifest]:
        """Leave for objects here to refer to Services elsewhere; ``kinds`` are group and kind."""
        by_namespace: dict[str, dict[str, None]] = {}
        for service in services:
            if service.namespace != self.namespace:
                by_namespace.setdefault(service.namespace, {})[service.name] = None
        allowed: list[Node] = [
            {"group": group, "kind": kind, "namespace": self.namespace} for group, kind in kinds
        ]
        for namespace, names in by_namespace.items():
            to: list[Node] = [{"group": "", "kind": "Service", "name": name} for name in names]
            spec: Mapping[str, Node] = {"from": allowed, "to": to}
            yield manifest(f"{API}/v1", "ReferenceGrant", "mcp-gateway", namespace, spec)

    def placeholder_notes(self) -> Mapping[str, tuple[str, ...]]:
        """What is said above the routes of each server."""
        note = "PLACEHOLDER: the server has no upstream in extauthz.yaml."
        return {site.name: () if site.upstream.given else (note,) for site in self.plan.sites}

    def placeholder(self, name: str) -> Service:
        """Stands where a server has no ``upstream``."""
        return Service(name, self.namespace, 80)

    def backend_tls(self, service: Service) -> Manifest:
        """TLS from the gateway to a Service whose certificate the usual authorities signed."""
        spec: Mapping[str, Node] = {
            "targetRefs": [{"group": "", "kind": "Service", "name": service.name}],
            "validation": {
                "hostname": f"{service.name}.{service.namespace}.svc.cluster.local",
                "wellKnownCACertificates": "System",
            },
        }
        note = "With a private authority: caCertificateRefs in place of wellKnownCACertificates."
        name, namespace = service.name, service.namespace
        return manifest(f"{API}/v1", "BackendTLSPolicy", name, namespace, spec, note)


def _in_portions(names: list[str]) -> Iterator[tuple[str, ...]]:
    for start in range(0, max(len(names), 1), _MOST_HOSTNAMES):
        yield tuple(names[start : start + _MOST_HOSTNAMES])


def _hostname(host: str) -> str:
    named = Upstream(TcpAddress(host, 1)).is_name
    if not _HOSTNAME.fullmatch(host) or not named:
        raise CannotWrite(
            f"{host} cannot be a hostname of a Gateway; expected a name of letters, digits, dashes"
        )
    return host


def _path(path: str) -> str:
    if path and (not _PATH.fullmatch(path) or len(path) > _LONGEST_PATH):
        raise CannotWrite(
            f"{path[:60]} cannot be a path of an HTTPRoute; expected at most {_LONGEST_PATH} "
            "characters that RFC 3986 allows in paths"
        )
    return path or "/"

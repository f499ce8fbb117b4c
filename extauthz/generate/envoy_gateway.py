"""Envoy Gateway: routes of the Gateway API, and policies that ask extauthz over gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import NamedTuple

from .artefacts import Artefact, CannotWrite, File
from .envoy import MAX_MESSAGE
from .filling import comment
from .kubernetes import (
    API,
    GATEWAY,
    GatewayWriter,
    Manifest,
    Service,
    documents,
    manifest,
    service_of,
)
from .lookalikes import alike
from .names import identifiers
from .plan import Plan, Site
from .yaml_text import Node

_GROUP = "gateway.envoyproxy.io"
_API = f"{_GROUP}/v1alpha1"
_FAILS_CLOSED: Mapping[str, Node] = {"failOpen": False, "timeout": "1s", "statusOnError": 503}


class _Backend(NamedTuple):
    reference: Mapping[str, Node]
    service: Service | None
    manifests: tuple[Manifest, ...] = ()


def write_envoy_gateway(plan: Plan, namespace: str) -> Artefact:
    """One file of manifests. Raises CannotWrite."""
    door = plan.grpc()
    ids = identifiers((site.name for site in plan.sites), reserved=(GATEWAY,), joint="-")
    writer = GatewayWriter(plan, ids, namespace)
    grpc, http = writer.extauthz(door), writer.extauthz(plan.http())
    backends = {site.name: _backend(site, ids[site.name], writer) for site in plan.sites}
    manifests = [writer.gateway("eg"), _early(plan, namespace), _no_upgrade(namespace)]
    manifests.append(_default_policy(grpc, writer))
    notes = writer.placeholder_notes()
    targets: dict[str, list[Node]] = {}
    for match in writer.matches():
        manifests.append(writer.route(match, backends[match.site].reference, *notes[match.site]))
        target: Node = {"group": API, "kind": "HTTPRoute", "name": match.name}
        targets.setdefault(match.site, []).append(target)
    manifests += [
        _policy(site, ids[site.name], targets[site.name], grpc, writer)
        for site in plan.sites
        if site.name in targets
    ]
    manifests += writer.document_routes(http)
    manifests += [one for backend in backends.values() for one in backend.manifests]
    services = [backend.service for backend in backends.values() if backend.service is not None]
    referring = ((API, "HTTPRoute"), (_GROUP, "SecurityPolicy"))
    manifests += writer.grants([grpc, http, *services], referring)
    if door.tls:
        manifests.append(writer.backend_tls(grpc))
    about = comment(
        "Written by `extauthz generate envoy-gateway`; change extauthz.yaml and write it again.",
        "",
        "Envoy Gateway (1.9 or later) asks extauthz over gRPC about every request:",
        "kubectl apply -f …",
        "",
        "Every setting is explained in docs/proxies/kubernetes.md.",
    )
    text = f"{about}\n---\n{documents(manifests)}"
    warnings = (*dict.fromkeys(writer.warnings), *door.warnings())
    return Artefact((File("envoy-gateway.yaml", text),), text, warnings)


def _gateway() -> list[Node]:
    return [{"group": API, "kind": "Gateway", "name": GATEWAY}]


def _early(plan: Plan, namespace: str) -> Manifest:
    """What happens to every request before anything else runs."""
    strip: list[Node] = [
        {"type": "RegularExpression", "value": pattern} for pattern in alike(plan.extra_headers)
    ]
    strip.append({"type": "Prefix", "value": "x-envoy-"})
    spec: Mapping[str, Node] = {
        "targetRefs": _gateway(),
        "path": {"escapedSlashesAction": "RejectRequest"},
        "headers": {
            "withUnderscoresAction": "DropHeader",
            "host": {"stripTrailingHostDot": True},
            "earlyRequestHeaders": {"removeOnMatch": strip},
        },
        "timeout": {
            "http": {
                "requestHeadersReceivedTimeout": "10s",
                "requestReceivedTimeout": "30s",
                "streamIdleTimeout": "0s",
            }
        },
    }
    notes = (
        "A client's own identity headers and look-alikes are gone before any filter runs, and so",
        "are x-envoy-*, by which it could control Envoy.",
    )
    return manifest(_API, "ClientTrafficPolicy", GATEWAY, namespace, spec, *notes)


def _no_upgrade(namespace: str) -> Manifest:
    """Routes let WebSockets through by default; a list without them has to name something."""
    spec: Mapping[str, Node] = {"targetRefs": _gateway(), "httpUpgrade": [{"type": "none"}]}
    notes = ("No request becomes a WebSocket, in which nobody would judge the calls.",)
    return manifest(_API, "BackendTrafficPolicy", GATEWAY, namespace, spec, *notes)


def _default_policy(service: Service, writer: GatewayWriter) -> Manifest:
    """That extauthz is asked where no server's policy says how: about routes of others too."""
    ask: Node = {**_FAILS_CLOSED, "grpc": {"backendRefs": [writer.reference(service)]}}
    spec: Mapping[str, Node] = {"targetRefs": _gateway(), "extAuth": ask}
    notes = (
        "For every route of the Gateway that has no policy of its own: documents, and what others",
        "may add, which extauthz refuses where it knows no server there.",
    )
    return manifest(_API, "SecurityPolicy", GATEWAY, writer.namespace, spec, *notes)


def _policy(
    site: Site, name: str, targets: list[Node], service: Service, writer: GatewayWriter
) -> Manifest:
    """How extauthz is asked about one server: by name, and closed when there is no answer."""
    named: Node = {"name": "mcp_server", "type": "Value", "value": site.name}
    ask: dict[str, Node] = {**_FAILS_CLOSED, "contextExtensions": [named]}
    notes = ["The default timeout is 10 s. A request may wait 250 ms for the keys of an issuer."]
    if site.server.has_call_rules:
        ask["bodyToExtAuth"] = {"maxRequestBytes": MAX_MESSAGE}
        notes.append("The body goes along, since there are rules for what it calls.")
    ask["grpc"] = {"backendRefs": [writer.reference(service)]}
    spec: Mapping[str, Node] = {"targetRefs": targets, "extAuth": ask}
    return manifest(_API, "SecurityPolicy", name, writer.namespace, spec, *notes)


def _backend(site: Site, name: str, writer: GatewayWriter) -> _Backend:
    upstream = site.upstream
    if not upstream.given:
        placeholder = writer.placeholder(name)
        return _Backend(writer.reference(placeholder), placeholder)
    service = service_of(upstream.address, writer.namespace)
    if service is not None:
        tls = (writer.backend_tls(service),) if upstream.tls else ()
        return _Backend(writer.reference(service), service, tls)
    host, port = upstream.address.host.lower(), upstream.address.port
    ip = None if upstream.is_name else ip_address(host)
    if host == "localhost" or (ip is not None and ip.is_loopback):
        raise CannotWrite(
            f"server {site.name}: upstream is on loopback, where Envoy Gateway reaches "
            "nothing; expected a Service, or an address in the network"
        )
    # In full, as its pattern takes not every short form of IPv6.
    endpoint: Node = (
        {"fqdn": {"hostname": host, "port": port}}
        if ip is None
        else {"ip": {"address": ip.exploded, "port": port}}
    )
    spec: dict[str, Node] = {"endpoints": [endpoint]}
    if upstream.tls:
        spec["tls"] = {"wellKnownCACertificates": "System"}
        if upstream.is_name:
            spec["tls"] = {"wellKnownCACertificates": "System", "sni": host.lower()}
    note = "Not a Service. Envoy Gateway takes a Backend where extensionApis.enableBackend is on."
    made = manifest(_API, "Backend", name, writer.namespace, spec, note)
    return _Backend({"group": _GROUP, "kind": "Backend", "name": name}, None, (made,))

"""Istio: routes of the Gateway API, one CUSTOM policy, and the provider it names."""

from __future__ import annotations

from collections.abc import Mapping

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
from .names import identifiers
from .plan import Plan, Site
from .yaml_text import Node, block

PROVIDER = "extauthz"
_SECURITY = "security.istio.io/v1"
_TARGETS: Node = [{"group": API, "kind": "Gateway", "name": GATEWAY}]


def write_istio(plan: Plan, namespace: str) -> Artefact:
    """istio.yaml and mesh-config.yaml. Raises CannotWrite."""
    door = plan.grpc()
    ids = identifiers((site.name for site in plan.sites), reserved=(GATEWAY,), joint="-")
    writer = GatewayWriter(plan, ids, namespace)
    grpc, http = writer.extauthz(door), writer.extauthz(plan.http())
    services = {site.name: _service(site, ids[site.name], writer) for site in plan.sites}
    manifests = [writer.gateway("istio"), _policy(namespace), _no_upgrade(namespace)]
    notes = writer.placeholder_notes()
    manifests += [
        writer.route(match, writer.reference(services[match.site]), *notes[match.site])
        for match in writer.matches()
    ]
    manifests += writer.document_routes(http)
    manifests += [
        writer.backend_tls(services[site.name])
        for site in plan.sites
        if site.upstream.tls and site.upstream.given
    ]
    manifests += writer.grants([http, *services.values()], ((API, "HTTPRoute"),))
    about = comment(
        "Written by `extauthz generate istio`; change extauthz.yaml and write it again.",
        "",
        "Istio (1.24 or later) asks extauthz over gRPC about every request: kubectl apply -f …",
        "The provider that the policy names belongs into the mesh's configuration; it is in",
        "mesh-config.yaml: `extauthz generate istio --output FOLDER`.",
        "",
        "Every setting is explained in docs/proxies/kubernetes.md.",
    )
    text = f"{about}\n---\n{documents(manifests)}"
    if door.tls:
        writer.warnings.append(
            "listen.grpc_tls: Istio asks a provider by mutual TLS of its own or in the clear; "
            "a DestinationRule has to tell it of other TLS"
        )
    warnings = (*dict.fromkeys(writer.warnings), *door.warnings())
    mesh = File("mesh-config.yaml", _mesh(plan, grpc))
    return Artefact((File("istio.yaml", text), mesh), text, warnings)


def _policy(namespace: str) -> Manifest:
    """Everything that comes to the gateway is asked about: a rule that demands nothing."""
    spec: Mapping[str, Node] = {
        "targetRefs": _TARGETS,
        "action": "CUSTOM",
        "provider": {"name": PROVIDER},
        "rules": [{}],
    }
    notes = (
        "Whatever comes to the gateway. A rule that named hosts or paths would let through what",
        "it does not match. All CUSTOM policies of a gateway have to name one provider.",
    )
    return manifest(_SECURITY, "AuthorizationPolicy", "extauthz", namespace, spec, *notes)


def _no_upgrade(namespace: str) -> Manifest:
    """Gateways of Istio let WebSockets through."""
    wish: Node = {"key": "request.headers[upgrade]", "values": ["*"]}
    spec: Mapping[str, Node] = {
        "targetRefs": _TARGETS,
        "action": "DENY",
        "rules": [{"when": [wish]}],
    }
    note = "No request becomes a WebSocket, in which nobody would judge the calls."
    name = f"{PROVIDER}-no-upgrade"
    return manifest(_SECURITY, "AuthorizationPolicy", name, namespace, spec, note)


def _mesh(plan: Plan, service: Service) -> str:
    ask: dict[str, Node] = {
        "service": f"{service.name}.{service.namespace}.svc.cluster.local",
        "port": service.port,
        "timeout": "1s",
        "failOpen": False,
        "statusOnError": "503",
    }
    notes = [
        "Written by `extauthz generate istio`: values for istiod (helm upgrade … -f this file).",
        "Without a timeout Istio waits 600 s. A request may wait 250 ms for the keys of an issuer.",
    ]
    if plan.ruled_sites:
        ask["includeRequestBodyInCheck"] = {
            "maxRequestBytes": MAX_MESSAGE,
            "allowPartialMessage": False,
            "packAsBytes": True,
        }
        notes.append("The body goes along, since there are rules for what it calls.")
    provider: Node = {"name": PROVIDER, "envoyExtAuthzGrpc": ask}
    values: Node = {"meshConfig": {"extensionProviders": [provider]}}
    return f"{comment(*notes)}\n{block(values)}"


def _service(site: Site, name: str, writer: GatewayWriter) -> Service:
    if not site.upstream.given:
        return writer.placeholder(name)
    service = service_of(site.upstream.address, writer.namespace)
    if service is None:
        raise CannotWrite(
            f"server {site.name}: its upstream {site.upstream.address} is no Service, and Istio's "
            "routes go to Services; expected http://name.namespace:port"
        )
    return service

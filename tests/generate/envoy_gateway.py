"""Envoy as Envoy Gateway would run it: its own translation of our objects, made offline.

``egctl`` is Envoy Gateway's command line; what it prints are the resources that its controller
would give to Envoy over the network. Here they become one static file.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import trustme

from extauthz.generate.artefacts import Artefact
from tests.e2e.processes import built_with_go
from tests.generate.checkers import parsed

_CLASS = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "GatewayClass",
    "metadata": {"name": "eg"},
    "spec": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
}
_Named = tuple[str, str]
"""Namespace and name."""


class NotTakenError(Exception):
    """What Envoy Gateway says against the objects."""


def translated(artefact: Artefact, folder: Path) -> dict[str, Any]:
    """A configuration of Envoy, in which every Service is on loopback, at its own ports.

    Raises NotTakenError where Envoy Gateway finds fault with any object.
    """
    written = parsed("".join(file.text for file in artefact.files))
    surroundings = [_CLASS, *_services(written), *_secrets(written)]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "objects.yaml"
    file.write_text("\n---\n".join(map(json.dumps, [*surroundings, *written])))
    command = [built_with_go("egctl"), "experimental", "translate", "--from", "gateway-api"]
    command += ["--to", "gateway-api,xds", "--type", "all", "--output", "json", "--file", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise NotTakenError(done.stderr)
    told = json.loads(done.stdout)
    (dump,) = told.pop("xds").values()
    if faults := [*_faults(told), *_passed_over(written, told)]:
        raise NotTakenError("; ".join(faults))
    return _static({each["@type"].rpartition(".")[2]: each for each in dump["configs"]})


def _services(written: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every Service that the objects refer to."""
    ports: dict[_Named, set[int]] = {}
    for each in written:
        for reference in _named(each.get("spec"), "backendRefs"):
            if reference.get("kind", "Service") == "Service":
                place = reference.get("namespace", each["metadata"]["namespace"])
                ports.setdefault((place, reference["name"]), set()).add(reference["port"])
    for named, numbers in ports.items():
        told = [{"name": f"p{port}", "port": port, "protocol": "TCP"} for port in sorted(numbers)]
        yield _object("Service", named, spec={"clusterIP": "127.0.0.1", "ports": told})


def _secrets(written: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every certificate that the objects refer to."""
    for each in written:
        for reference in _named(each.get("spec"), "certificateRefs"):
            named = (each["metadata"]["namespace"], reference["name"])
            yield _object("Secret", named, type="kubernetes.io/tls", data=_pair())


@cache
def _pair() -> dict[str, str]:
    made = trustme.CA().issue_cert("mcp.example.com")
    pair = {"tls.crt": made.cert_chain_pems[0], "tls.key": made.private_key_pem}
    return {name: base64.b64encode(blob.bytes()).decode() for name, blob in pair.items()}


def _object(kind: str, named: _Named, **content: Any) -> dict[str, Any]:
    metadata = {"namespace": named[0], "name": named[1]}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **content}


def _named(node: Any, key: str) -> Iterator[dict[str, Any]]:
    """What stands under that name, alone or in lists, however deep."""
    if isinstance(node, list):
        for each in node:
            yield from _named(each, key)
    elif isinstance(node, dict):
        for name, each in node.items():
            if name == key:
                yield from each if isinstance(each, list) else [each]
            else:
                yield from _named(each, key)


def _faults(told: Any) -> Iterator[str]:
    """The conditions of objects that are not met."""
    for condition in _named(told, "conditions"):
        if condition["status"] != "True":
            yield f"{condition['reason']}: {condition['message']}"


def _passed_over(written: list[dict[str, Any]], told: Mapping[str, Any]) -> Iterator[str]:
    """Objects that nothing is said of: they concern nobody."""
    found = {
        (each["kind"], each["metadata"]["namespace"], each["metadata"]["name"])
        for many in told.values()
        for each in (many if isinstance(many, list) else ())
        if any(condition["type"] == "Accepted" for condition in _named(each, "conditions"))
    }
    for each in written:
        named = (each["kind"], each["metadata"]["namespace"], each["metadata"]["name"])
        # Those only give leave.
        if each["kind"] != "ReferenceGrant" and named not in found:
            yield f"{' '.join(named)} was passed over"


def _static(dumps: Mapping[str, Any]) -> dict[str, Any]:
    """What comes over the network, written into one file."""

    def found(kind: str, many: str, one: str) -> list[dict[str, Any]]:
        dump = dumps.get(f"{kind}ConfigDump", {})
        resources = [each.get("activeState", each)[one] for each in dump.get(many, ())]
        return [{k: v for k, v in each.items() if k != "@type"} for each in resources]

    routes = {each["name"]: each for each in found("Routes", "dynamicRouteConfigs", "routeConfig")}
    endpoints = found("Endpoints", "dynamicEndpointConfigs", "endpointConfig")
    assigned = {each["clusterName"]: each for each in endpoints}
    clusters = found("Clusters", "dynamicActiveClusters", "cluster")
    for cluster in clusters:
        if cluster.pop("edsClusterConfig", None) is not None:
            cluster |= {"type": "STATIC", "loadAssignment": assigned[cluster["name"]]}
    # The first listener is for the kubelet, at a port that is always the same.
    listeners = found("Listeners", "dynamicListeners", "listener")[1:]
    for chain in _chains(listeners):
        for network in chain["filters"]:
            manager = network["typedConfig"]
            if rds := manager.pop("rds", None):
                manager["routeConfig"] = routes[rds["routeConfigName"]]
    static = {"listeners": listeners, "clusters": clusters}
    return {"staticResources": {**static, "secrets": list(_secrets_for(static))}}


def _chains(listeners: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for listener in listeners:
        yield from listener.get("filterChains", ())
        if "defaultFilterChain" in listener:
            yield listener["defaultFilterChain"]


def _secrets_for(static: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What egctl does not print: certificates and authorities. Nobody is asked for them then."""
    chain, key = ({"inlineBytes": octets} for octets in _pair().values())
    content = {
        "tlsCertificateSdsSecretConfigs": {
            "tlsCertificate": {"certificateChain": chain, "privateKey": key}
        },
        "validationContextSdsSecretConfig": {"validationContext": {"trustedCa": chain}},
    }
    for kind, secret in content.items():
        wanted = list(_named(static, kind))
        for each in wanted:
            del each["sdsConfig"]
        for name in sorted({each["name"] for each in wanted}):
            yield {"name": name, **secret}

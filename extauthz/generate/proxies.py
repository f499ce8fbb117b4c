"""Every proxy that can be written for, by its name on the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from extauthz.config.load import Loaded

from .artefacts import Artefact
from .caddy import write_caddy
from .envoy import Calls, write_envoy, write_envoy_http
from .envoy_gateway import write_envoy_gateway
from .haproxy import write_haproxy
from .istio import write_istio
from .nginx import write_nginx
from .plan import Plan, make_plan
from .traefik import write_traefik


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the command line adds to the inventory.

    ``calls`` is how Envoy learns which tool is called; None chooses its MCP filter where
    some server has rules for calls. ``namespace`` is that of Kubernetes objects.
    """

    calls: Calls | None = None
    namespace: str = "default"


Writer = Callable[[Plan, Choices], Artefact]


def _envoy(plan: Plan, choices: Choices) -> Artefact:
    return write_envoy(plan, choices.calls or ("mcp" if plan.ruled_sites else "none"))


WRITERS: dict[str, Writer] = {
    "envoy": _envoy,
    "envoy-http": lambda plan, _: write_envoy_http(plan),
    "nginx": lambda plan, _: write_nginx(plan),
    "caddy": lambda plan, _: write_caddy(plan),
    "traefik": lambda plan, _: write_traefik(plan),
    "haproxy": lambda plan, _: write_haproxy(plan),
    "envoy-gateway": lambda plan, choices: write_envoy_gateway(plan, choices.namespace),
    "istio": lambda plan, choices: write_istio(plan, choices.namespace),
}


def generate(proxy: str, loaded: Loaded, choices: Choices) -> Artefact:
    """The configuration of one proxy, a key of WRITERS. Raises CannotWrite."""
    return WRITERS[proxy](make_plan(loaded), choices)

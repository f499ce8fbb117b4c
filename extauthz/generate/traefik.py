"""Traefik 3: the file provider's dynamic configuration, and the static one that loads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from extauthz.config.addresses import EVERYWHERE, Address, TcpAddress
from extauthz.core.policy import IDENTITY_HEADERS

from .artefacts import Artefact, CannotWrite, File
from .cautions import cautions
from .filling import comment
from .lookalikes import alike
from .names import identifiers
from .plan import DOCUMENT_PATHS, DOCUMENT_TREES, Door, Plan, Route, Site
from .yaml_text import Node, block

ENTRY = "mcp"
_HOST = re.compile(r"[a-z0-9_.-]+")
_PATH = re.compile(r"[A-Za-z0-9_./~!$&'()+,=:@|^-]*")
_EXPOSED = ["WWW-Authenticate", "Mcp-Session-Id"]
_ASKED_WITH = [
    "Accept",
    "Access-Control-Request-Method",
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "DPoP",
    "Mcp-Method",
    "Mcp-Name",
    "MCP-Protocol-Version",
    "Origin",
]
# No request of an MCP client needs it, and with `Connection: x-auth-subject` a client could
# have a header taken away again.
# Traefik makes no id of a request: a client's own would be taken for one.
_WITHOUT_ITS_OWN: Node = {
    "headers": {"customRequestHeaders": {"Connection": "", "X-Request-Id": ""}}
}
_WITHOUT_TOKEN: Node = {"headers": {"customRequestHeaders": {"Authorization": ""}}}


def write_traefik(plan: Plan) -> Artefact:
    """dynamic.yml and traefik.yml. Raises CannotWrite."""
    door = plan.http()
    if not isinstance(plan.listen, TcpAddress) or not isinstance(door.only("Traefik"), TcpAddress):
        raise CannotWrite("edge: Traefik neither listens on a Unix socket nor asks over one")
    ids = identifiers((site.name for site in plan.sites), reserved=("extauthz",), joint="-")
    dynamic: dict[str, Node] = {
        "http": {
            "routers": dict(_routers(plan, ids)),
            "middlewares": dict(_middlewares(plan, door, ids)),
            "services": dict(_services(plan, door, ids)),
            "serversTransports": dict(_transports(plan, ids)),
        }
    }
    if plan.tls.cert_file is not None and plan.tls.key_file is not None:
        pair: Node = {"certFile": plan.tls.cert_file, "keyFile": plan.tls.key_file}
        dynamic["tls"] = {"certificates": [pair]}
    static: Node = {
        "entryPoints": {
            ENTRY: {
                "address": _listen(plan.listen),
                # For all of a request; its answer may last.
                "transport": {"respondingTimeouts": {"readTimeout": "30s"}},
            }
        },
        "providers": {"file": {"filename": "dynamic.yml", "watch": True}},
        # Its paths have their queries, in which a careless client may put a token.
        "accessLog": {"format": "json", "fields": {"names": {"RequestPath": "drop"}}},
    }
    main = _about(plan, door, ids) + block(dynamic)
    files = (File("dynamic.yml", main), File("traefik.yml", _about_static() + block(static)))
    warnings = (*door.warnings(), *cautions(plan))
    return Artefact(files, main, warnings)


def _about(plan: Plan, door: Door, ids: Mapping[str, str]) -> str:
    missing = [ids[site.name] for site in plan.sites if not site.upstream.given]
    placeholders = [f"PLACEHOLDER: the service {name} has no upstream." for name in missing]
    return (
        comment(
            "Written by `extauthz generate traefik`; change extauthz.yaml and write it again.",
            "",
            "Dynamic configuration of Traefik 3, which asks extauthz by forwardAuth about every",
            f"request. It needs an entry point `{ENTRY}` and the file provider, as in traefik.yml:",
            "`extauthz generate traefik --output FOLDER`.",
            "",
            f"Asks: extauthz serve, HTTP on {door}. Clients: {plan.listen}.",
            "",
            "Every setting is explained in docs/proxies/traefik.md.",
            *placeholders,
        )
        + "\n"
    )


def _about_static() -> str:
    return (
        comment(
            "Written by `extauthz generate traefik`. Run it here: traefik --configFile=traefik.yml"
        )
        + "\n"
    )


def _listen(listen: TcpAddress) -> str:
    return f":{listen.port}" if listen.host in EVERYWHERE else str(listen)


def _routers(plan: Plan, ids: Mapping[str, str]) -> Iterator[tuple[str, Node]]:
    secured: dict[str, Node] = {} if plan.tls.cert_file is None else {"tls": {}}
    routes = [
        (route, rule)
        for host in plan.virtual_hosts
        for route in host.whatever_the_port()
        for rule in [_rule(host.hosts, route.path)]
    ]
    documents = [f"PathPrefix(`{tree}`)" for tree in DOCUMENT_TREES]
    documents += [f"Path(`{path}`)" for path in DOCUMENT_PATHS]
    preflight = (
        "Method(`OPTIONS`) && HeaderRegexp(`Origin`, `.+`) && "
        "HeaderRegexp(`Access-Control-Request-Method`, `.+`) && !PathPrefix(`/auth`)"
    )
    answered = {"documents": " || ".join(documents), "preflight": preflight}
    priority = len(routes) + len(answered)
    for name, rule in answered.items():
        yield (
            f"extauthz-{name}",
            _router(rule, priority, ["without-token"], "extauthz", secured),
        )
        priority -= 1
    taken: dict[str, int] = {}
    for route, rule in routes:
        name = ids[route.site.name]
        taken[name] = taken.get(name, 0) + 1
        number = "" if taken[name] == 1 else f"-{taken[name]}"
        yield name + number, _router(rule, priority, _chain(route, name), name, secured)
        priority -= 1


def _router(
    rule: str, priority: int, middlewares: list[str], service: str, secured: Mapping[str, Node]
) -> Node:
    return {
        "entryPoints": [ENTRY],
        "rule": rule,
        "priority": priority,
        "middlewares": middlewares,
        "service": service,
        **secured,
    }


def _chain(route: Route, name: str) -> list[str]:
    chain = ["without-connection", "extauthz", f"{name}-cors"]
    return [*chain, "without-token"] if route.site.withholds_token else chain


def _rule(hosts: tuple[str, ...], path: str) -> str:
    """A rule in Traefik's language, which has no way to write a backtick in backticks."""
    if not _PATH.fullmatch(path):
        raise CannotWrite(
            f"Traefik cannot be told of the path {path} with certainty; expected one of letters, "
            "digits and _./~!$&'()+,=:@|^- without escapes"
        )
    clauses = []
    if hosts != ("*",):
        clauses.append(" || ".join(map(_host, hosts)))
    if path:
        clauses.append(f"Path(`{path}`) || PathPrefix(`{path}/`)")
    if not clauses:
        return "PathPrefix(`/`)"
    return " && ".join(f"({clause})" for clause in clauses)


def _host(host: str) -> str:
    bare = host.removeprefix("*.")
    if not _HOST.fullmatch(bare):
        raise CannotWrite(f"Traefik matches names, and {host} is none; expected a name in match")
    if bare == host:
        return f"Host(`{host}`)"
    # As Host() does, it takes the name with a final dot, too.
    return f"HostRegexp(`^.+\\.{re.escape(bare)}\\.?$`)"


def _middlewares(plan: Plan, door: Door, ids: Mapping[str, str]) -> Iterator[tuple[str, Node]]:
    names = [*IDENTITY_HEADERS, *plan.extra_headers]
    ask: dict[str, Node] = {
        "address": f"{'https' if door.tls else 'http'}://{door.address}/auth/forward",
        "trustForwardHeader": False,
        "authRequestHeaders": _ASKED_WITH,
        # A client's own copies go, whatever the spelling; then the answer's are set.
        "authResponseHeaders": [name.title() for name in names],
        "authResponseHeadersRegex": f"(?i)^({'|'.join(alike(plan.extra_headers))})$",
    }
    yield "extauthz", {"forwardAuth": ask}
    yield "without-connection", _WITHOUT_ITS_OWN
    yield "without-token", _WITHOUT_TOKEN
    for site in plan.sites:
        yield f"{ids[site.name]}-cors", _cors(site)


def _cors(site: Site) -> Node:
    origins = ["*"] if site.server.origins is None else sorted(site.server.origins)
    return {
        "headers": {
            "accessControlAllowOriginList": origins,
            "accessControlExposeHeaders": _EXPOSED,
            "addVaryHeader": True,
        }
    }


def _services(plan: Plan, door: Door, ids: Mapping[str, str]) -> Iterator[tuple[str, Node]]:
    yield "extauthz", _service(door.address, tls=door.tls, transport=None)
    for site in plan.sites:
        address, tls = site.upstream.address, site.upstream.tls
        transport = f"{ids[site.name]}-tls" if tls else "mcp"
        yield ids[site.name], _service(address, tls=tls, transport=transport)


def _service(address: Address, *, tls: bool, transport: str | None) -> Node:
    url = f"{'https' if tls else 'http'}://{address}"
    balancer: dict[str, Node] = {"servers": [{"url": url}], "passHostHeader": True}
    if transport is not None:
        balancer["serversTransport"] = transport
    return {"loadBalancer": balancer}


def _transports(plan: Plan, ids: Mapping[str, str]) -> Iterator[tuple[str, Node]]:
    # A Python server behind uvicorn closes idle connections after 5 s: ours are closed before.
    idle: Node = {"idleConnTimeout": "4s"}
    yield "mcp", {"forwardingTimeouts": idle}
    for site in plan.sites:
        if site.upstream.tls:
            host = site.upstream.address.host
            yield f"{ids[site.name]}-tls", {"serverName": host, "forwardingTimeouts": idle}

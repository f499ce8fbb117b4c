"""Envoy's bootstrap: listener, filters, routes and clusters, asking by gRPC or by HTTP.

Three ways to know which tool is called (``Calls``): Envoy's own MCP filter and the body, which
have to agree, the body alone, or not at all. Over HTTP only the last is to be had.
"""

from __future__ import annotations

from typing import Literal

from extauthz.adapters.lease import LEASE_HEADERS

from .artefacts import Artefact, File
from .envoy_clusters import EXTAUTHZ_GRPC, EXTAUTHZ_HTTP, clusters, listener_tls
from .envoy_routes import ANOTHER_HOST, Asking, RouteWriter
from .filling import comment, fill, template
from .lookalikes import alike
from .names import identifiers
from .plan import Door, Plan
from .yaml_text import envoy_address, scalar

Calls = Literal["mcp", "body", "none"]

MAX_MESSAGE = 1024 * 1024
_METADATA = "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:{})%"
_FACTS = ("server", "reason", "subject", "client_id", "tool")

_ABOUT = {
    "none": ("Envoy asks extauthz over gRPC about every request.",),
    "mcp": (
        "Envoy asks extauthz over gRPC about every request, sends the JSON-RPC body along, and its",
        "own MCP filter (1.39.3 or later) tells which method and tool is called; the two have to",
        "agree. Rules for tools, prompts, resources and methods hold for every client. OPTIONS,",
        "public paths and everything that is no MCP server's pass that filter as they are.",
    ),
    "body": (
        "Envoy asks extauthz over gRPC about every request and sends the JSON-RPC body along:",
        "rules for tools, prompts, resources and methods hold for every client.",
    ),
    "http": (
        "Envoy asks extauthz over HTTP about every request. Documents and preflights go to its",
        "HTTP listener. Prefer gRPC: it tells extauthz more and keeps the Retry-After of a 503.",
    ),
}

_MCP_FILTER = f"""\
# Reads the JSON-RPC message; it must stand ahead of ext_authz.
- name: envoy.filters.http.mcp
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.mcp.v3.Mcp
    traffic_mode: REJECT_NO_MCP
    reject_duplicate_keys: true
    max_request_body_size: {MAX_MESSAGE}
"""

# By default Envoy refuses a pattern of more than a few header names.
_LARGER_PATTERNS = """\
layered_runtime:
  layers:
  - name: larger_patterns
    static_layer: {re2.max_program_size.error_level: 100000}
"""

_ASK_GRPC = f"""\
grpc_service:
  envoy_grpc: {{cluster_name: {EXTAUTHZ_GRPC}}}
  timeout: 1s
  retry_policy:
    retry_on: connect-failure,reset,unavailable
    num_retries: 2
    # Envoy takes max_interval for the time limit of each try, too. A request may wait 250 ms
    # for the keys of an issuer.
    retry_back_off: {{base_interval: 0.025s, max_interval: 0.5s}}
    # Another replica is asked, not the same one again.
    retry_host_predicate: {ANOTHER_HOST}
    host_selection_retry_max_attempts: 3
"""

_BODY = f"""\
# The whole JSON-RPC message goes along. Envoy answers a longer one 413, its MCP filter 400.
with_request_body:
  max_request_bytes: {MAX_MESSAGE}
  allow_partial_message: false
  pack_as_bytes: true
"""

_ASK_HTTP = f"""\
http_service:
  server_uri: {{uri: "http://extauthz", cluster: {EXTAUTHZ_HTTP}, timeout: 1s}}
  path_prefix: /auth/envoy
  authorization_response:
    allowed_upstream_headers:
      patterns:
      - {{prefix: x-auth-}}
      {{{{leases}}}}
      {{{{extra_names}}}}
    allowed_client_headers:
      patterns:
      - {{exact: www-authenticate}}
      - {{exact: content-type}}
      - {{exact: cache-control}}
      - {{exact: retry-after}}
      - {{exact: vary}}
      - {{prefix: access-control-}}
    allowed_client_headers_on_success:
      patterns:
      - {{exact: vary}}
      - {{prefix: access-control-}}
  # A replica that stops may close a connection on which a question is just coming.
  retry_policy:
    retry_on: connect-failure,reset
    num_retries: 2
    retry_back_off: {{base_interval: 0.025s, max_interval: 0.5s}}
    retry_host_predicate: {ANOTHER_HOST}
    host_selection_retry_max_attempts: 3
# Besides Host and Authorization, which are always sent.
allowed_headers:
  patterns:
  - {{exact: accept}}
  - {{exact: origin}}
  - {{exact: access-control-request-method}}
  - {{exact: content-encoding}}
  - {{exact: content-type}}
  - {{exact: x-request-id}}
  - {{prefix: mcp-}}
  {{{{lookalikes}}}}
"""


def write_envoy(plan: Plan, calls: Calls) -> Artefact:
    """The bootstrap of an Envoy that asks over gRPC. Raises CannotWrite."""
    show = "metadata_context_namespaces: [envoy.filters.http.mcp]" if calls == "mcp" else ""
    ask = _ASK_GRPC + (_BODY if calls != "none" else "")
    logged = [f'{fact}: "{_METADATA.format(fact)}"' for fact in _FACTS]
    filters = calls == "mcp"
    some = calls != "none" and bool(plan.ruled_sites)
    asking = Asking(names_server=True, mcp_filter=filters, for_some=some)
    text = _bootstrap(plan, asking, calls, ask=ask, show=show, logged=logged)
    name = "envoy.yaml" if calls == "none" else f"envoy-{calls}.yaml"
    return _artefact(text, plan, name, calls)


def write_envoy_http(plan: Plan) -> Artefact:
    """The bootstrap of an Envoy that asks over HTTP. Raises CannotWrite."""
    extra = plan.extra_headers
    ask = fill(
        _ASK_HTTP,
        leases="\n".join(f"- {{exact: {name}}}" for name in LEASE_HEADERS),
        extra_names="\n".join(f"- {{exact: {scalar(name)}}}" for name in extra),
        lookalikes="\n".join(
            f"- {{safe_regex: {{regex: {_text(each)}}}}}" for each in alike(extra)
        ),
    )
    logged = [f'{fact}: "%REQ(X-AUTH-{name})%"' for fact, name in _LOGGED_OVER_HTTP.items()]
    asking = Asking(names_server=False, mcp_filter=False)
    text = _bootstrap(plan, asking, "http", ask=ask, show="", logged=logged)
    return _artefact(text, plan, "envoy-http.yaml", "http")


_LOGGED_OVER_HTTP = {"server": "SERVER", "subject": "SUBJECT", "client_id": "CLIENT-ID"}


def _bootstrap(
    plan: Plan, asking: Asking, kind: str, *, ask: str, show: str, logged: list[str]
) -> str:
    ids = identifiers(
        (site.name for site in plan.sites), reserved=(EXTAUTHZ_GRPC, EXTAUTHZ_HTTP, "mcp")
    )
    lookalikes = alike(plan.extra_headers)
    several = len(plan.virtual_hosts) > 1
    return fill(
        template("envoy.yaml"),
        about=_about(plan, kind),
        listen=envoy_address(plan.listen),
        runtime=_LARGER_PATTERNS if plan.extra_headers else "",
        strip="\n".join(
            f"- remove_on_match: {{key_matcher: {{safe_regex: {{regex: {_text(each)}}}}}}}"
            for each in lookalikes
        ),
        logged="\n".join(logged),
        final_dot="strip_trailing_host_dot: true" if several else "",
        ignore_port="ignore_port_in_host_matching: true" if several else "",
        virtual_hosts=RouteWriter(ids, asking).virtual_hosts(plan.virtual_hosts),
        mcp_filter=_MCP_FILTER if asking.mcp_filter else "",
        ask=ask,
        show=show,
        mutations=_text("|".join((*lookalikes, "authorization", *LEASE_HEADERS))),
        listener_tls=listener_tls(plan.tls),
        clusters=clusters(plan, ids, grpc=asking.names_server),
    )


def _text(pattern: str) -> str:
    return f'"{pattern}"'


def _about(plan: Plan, kind: str) -> str:
    door = _door(plan, kind)
    protocol = "HTTP" if kind == "http" else "gRPC"
    command = "envoy-http" if kind == "http" else f"envoy --calls {kind}"
    return comment(
        f"Written by `extauthz generate {command}`; change extauthz.yaml and write it again.",
        "",
        *_ABOUT[kind],
        "",
        f"Asks: extauthz serve, {protocol} on {door}. Clients: {plan.listen}.",
    )


def _door(plan: Plan, kind: str) -> Door:
    return plan.http() if kind == "http" else plan.grpc()


def _artefact(text: str, plan: Plan, name: str, kind: str) -> Artefact:
    warnings = (*plan.warnings, *plan.relative_files(), *_door(plan, kind).warnings())
    if kind in ("none", "http") and plan.ruled_sites:
        warnings += tuple(
            f"server {site.name} has rules for calls, and this Envoy does not tell which tool is "
            "called: such a POST is refused or, with unverified_calls, judged without rules; "
            "use `extauthz generate envoy`"
            for site in plan.ruled_sites
            if not (kind == "http" and site.server.header_versions)
        )
    return Artefact((File(name, text),), text, warnings)

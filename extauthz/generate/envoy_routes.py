"""Envoy's virtual hosts: which request goes where, and what it is asked about by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .filling import indented
from .plan import DOCUMENT_PATHS, DOCUMENT_TREES, Route, VirtualHost
from .yaml_text import scalar, sequence

_EXT_AUTHZ = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
_MCP = "type.googleapis.com/envoy.extensions.filters.http.mcp.v3.McpOverride"
_METHOD_OPTIONS = '{name: ":method", string_match: {exact: OPTIONS}}'
_PREFLIGHT = (
    _METHOD_OPTIONS,
    "{name: origin, present_match: true}",
    "{name: access-control-request-method, present_match: true}",
)

_ABOUT_STREAMS = """\
# Streams last. Where a server has `stream_lease: token`, extauthz's answer replaces
# `timeout`; a limit of your own belongs into `max_stream_duration`, which stays.
"""
_ABOUT_THE_REST = """\
# OAuth documents are answered by extauthz in its reply; Envoy asks it only where a
# route matches. What it lets through here is still no server's.
"""

_PASS = f"""\
envoy.filters.http.mcp:
  "@type": {_MCP}
  traffic_mode: PASS_THROUGH
"""
_UNASKED = f"""\
envoy.filters.http.ext_authz:
  "@type": {_EXT_AUTHZ}
  disabled: true
"""
_NAMED = f"""\
envoy.filters.http.ext_authz:
  "@type": {_EXT_AUTHZ}
  check_settings: {{context_extensions: {{mcp_server: {{}}}}}}
"""
_UNREAD = _NAMED.replace("{context", "{disable_request_body_buffering: true, context")
_NOT_THE_SERVERS = (
    "response_headers_to_remove: [access-control-allow-origin, access-control-expose-headers]"
)
_DOORS = "/auth"
_DOCUMENT_NAMES = ("resource_metadata", "authorization_server", "openid_configuration")
_PREVIOUS = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
ANOTHER_HOST = (
    "[{name: envoy.retry_host_predicates.previous_hosts, "
    f'typed_config: {{"@type": type.googleapis.com/{_PREVIOUS}}}}}]'
)
_TO_EXTAUTHZ = f"""\
route:
  cluster: extauthz_http
  timeout: 1s
  retry_policy:
    retry_on: connect-failure,reset
    num_retries: 2
    retry_host_predicate: {ANOTHER_HOST}
    host_selection_retry_max_attempts: 3
"""


@dataclass(frozen=True, slots=True)
class Asking:
    """How Envoy asks: over gRPC the route names the server, over HTTP nobody does.

    ``for_some``: messages are read for the servers that have rules for calls, and for no others.
    """

    names_server: bool
    mcp_filter: bool
    for_some: bool = False


class RouteWriter:
    """Writes virtual hosts. ``ids`` are the clusters by the servers' names."""

    def __init__(self, ids: Mapping[str, str], asking: Asking) -> None:
        self._ids = ids
        self._asking = asking

    def virtual_hosts(self, hosts: Sequence[VirtualHost]) -> str:
        """Every virtual host; what they have in common is explained in the first."""
        return "".join(self._virtual_host(host, index == 0) for index, host in enumerate(hosts))

    def _virtual_host(self, host: VirtualHost, first: bool) -> str:
        name = "mcp" if host.is_default else host.hosts[0]
        routes = "" if self._asking.names_server else self._documents() + self._doors(host)
        if self._asking.names_server and host.covers(*DOCUMENT_TREES, *DOCUMENT_PATHS):
            routes = self._unclaimed_documents()
        if host.routes and first:
            routes += _ABOUT_STREAMS
        taken: dict[str, int] = {}
        for route in host.routes:
            site = self._ids[route.site.name]
            taken[site] = taken.get(site, 0) + 1
            number = "" if taken[site] == 1 else f"_{taken[site]}"
            routes += "".join(self._site(route, site + number, site))
        routes += (_ABOUT_THE_REST if first and self._asking.names_server else "") + self._rest()
        return (
            f"- name: {scalar(name)}\n  domains: {_domains(host)}\n  routes:\n"
            f"{indented(routes, '  ')}\n"
        )

    def _site(self, route: Route, name: str, cluster: str) -> Iterator[str]:
        action = f"route: {{cluster: {cluster}, timeout: 0s, idle_timeout: 0s}}"
        match = _below(route.path)
        port = _port(route)
        if not self._asking.names_server:
            yield _route(f"{name}_preflight", match, (*port, *_PREFLIGHT), _TO_EXTAUTHZ, _UNASKED)
            yield _route(name, match, port, f"{action}\n{_NOT_THE_SERVERS}", "")
            return
        named, unread = (each.replace("{}", scalar(route.site.name)) for each in (_NAMED, _UNREAD))
        if self._asking.for_some and not route.site.server.has_call_rules:
            # Whatever comes is extauthz's to judge, so that whoever has no token is told.
            passed = _PASS + unread if self._asking.mcp_filter else unread
            yield _route(name, match, port, action, passed)
            return
        if self._asking.mcp_filter:
            for number, (path, exact) in enumerate(route.site.public_paths(route.path), start=1):
                public = f"path: {scalar(path)}" if exact else f"prefix: {scalar(path)}"
                yield _route(f"{name}_public_{number}", public, port, action, _PASS + unread)
            options = (*port, _METHOD_OPTIONS)
            yield _route(f"{name}_options", match, options, action, _PASS + named)
        yield _route(name, match, port, action, named)

    def _documents(self) -> str:
        """Over HTTP extauthz cannot answer in its reply: documents are fetched from it."""
        return "".join(
            _route(name, match, (), _TO_EXTAUTHZ, _UNASKED) for name, match in _document_matches()
        )

    @staticmethod
    def _doors(host: VirtualHost) -> str:
        """Preflights go to extauthz's HTTP listener, but never to where it is asked itself."""
        if not host.covers(_DOORS):
            return ""
        unclaimed = "direct_response: {status: 404}"
        return _route("doors", f"prefix: {_DOORS}/", _PREFLIGHT, unclaimed, _UNASKED)

    def _unclaimed_documents(self) -> str:
        """Ahead of a server whose path covers documents: they are nobody's but extauthz's."""
        unclaimed = "direct_response: {status: 404}"
        overrides = _PASS if self._asking.mcp_filter else ""
        return "".join(
            _route(name, match, (), unclaimed, overrides) for name, match in _document_matches()
        )

    def _rest(self) -> str:
        overrides = _PASS if self._asking.mcp_filter else ""
        return _route(
            "everything_else", "prefix: /", (), "direct_response: {status: 404}", overrides
        )


def _document_matches() -> Iterator[tuple[str, str]]:
    for name, tree in zip(_DOCUMENT_NAMES, DOCUMENT_TREES, strict=True):
        yield name, f"path_separated_prefix: {tree}"
    for path in DOCUMENT_PATHS:
        yield path.strip("/"), f"path: {path}"


def _route(name: str, match: str, headers: Sequence[str], action: str, overrides: str) -> str:
    lines = [f"- name: {name}"]
    if headers:
        lines += ["  match:", f"    {match}"]
        lines += ["    headers:", *(f"    - {header}" for header in headers)]
    else:
        lines.append(f"  match: {{{match}}}")
    lines.append(indented(action, "  "))
    if overrides:
        lines += ["  typed_per_filter_config:", indented(overrides, "    ")]
    return "\n".join(lines) + "\n"


def _below(path: str) -> str:
    return f"path_separated_prefix: {scalar(path)}" if path else "prefix: /"


def _port(route: Route) -> tuple[str, ...]:
    if route.port is None:
        return ()
    return (f'{{name: ":authority", string_match: {{suffix: ":{route.port}"}}}}',)


def _domains(host: VirtualHost) -> str:
    return sequence(host.hosts)

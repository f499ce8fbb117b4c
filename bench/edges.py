# ruff: noqa: E501  names of Envoy types are as long as they are
"""Real Envoy and real nginx with nothing behind them, so that only the question counts."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from running import accepts, free_port, program
from world import HOST, World

SEEN: Final = "/s0/mcp/seen"
"""Where both lead to a backend, that shows what it was sent; all else is answered at the edge."""

_ENVOY: Final = """\
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          normalize_path: true
          http_filters:
{filters}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - {{match: {{path: {seen}}}, route: {{cluster: backend}}}}
              - {{match: {{prefix: /}}, direct_response: {{status: 200}}}}
  clusters:
  - name: backend
    connect_timeout: 1s
    load_assignment:
      cluster_name: backend
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {backend}}}}}}}
  - name: authz
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{{protocol}: {{}}}}
    load_assignment:
      cluster_name: authz
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {authz}}}}}}}
"""

_GRPC: Final = """\
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              grpc_service: {envoy_grpc: {cluster_name: authz}, timeout: 1s}
              encode_raw_headers: true
"""

_HTTP: Final = """\
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              http_service:
                server_uri: {uri: "http://authz", cluster: authz, timeout: 1s}
                path_prefix: /auth/envoy
                authorization_response: {allowed_upstream_headers: {patterns: [{prefix: x-auth-}]}}
"""

_ASKING: Final = {
    "grpc": _GRPC,
    "grpc-map": _GRPC.replace("encode_raw_headers: true", "encode_raw_headers: false"),
    "http": _HTTP,
}

_JWT: Final = """\
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                corp:
                  issuer: %(issuer)s
                  audiences: ["%(audience)s"]
                  local_jwks: {filename: %(jwks)s}
                  claim_to_headers:
                  - {header_name: x-auth-subject, claim_name: sub}
                  - {header_name: x-auth-client-id, claim_name: client_id}
                  - {header_name: x-auth-token-id, claim_name: jti}
%(cache)s
              rules: [{match: {prefix: /}, requires: {provider_name: corp}}]
"""

_NGINX: Final = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000;
  upstream authz {{ server 127.0.0.1:{authz}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    root {folder}/site;
    location / {{ {question} try_files /page =404; }}
    location = {seen} {{
      {question}
      auth_request_set $subject $upstream_http_x_auth_subject;
      auth_request_set $client $upstream_http_x_auth_client_id;
      auth_request_set $token $upstream_http_x_auth_token_id;
      proxy_set_header x-auth-subject $subject;
      proxy_set_header x-auth-client-id $client;
      proxy_set_header x-auth-token-id $token;
      proxy_pass http://127.0.0.1:{backend};
    }}
    location = /_auth {{
      internal;
      proxy_pass http://authz{door};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header X-Original-URI $request_uri;
      proxy_set_header X-Original-Method $request_method;
      proxy_set_header X-Original-Host $http_host;
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Edge:
    """A running proxy."""

    port: int
    pid: int


def envoy_filter(kind: str, world: World) -> str:
    """The filter that asks: ``none``, ``jwt``, ``jwt-cached``, ``grpc``, ``http``, or
    ``grpc-map`` for those who read only the map of joined header lines.
    """
    if kind == "none":
        return ""
    if kind in _ASKING:
        return _ASKING[kind]
    cache = "                  jwt_cache_config: {jwt_cache_size: 1000}" if "cached" in kind else ""
    return _JWT % {
        "issuer": world.issuer(),
        "audience": world.resource(),
        "jwks": world.jwks(),
        "cache": cache,
    }


def envoy_path() -> str | None:
    """Envoy beside this Python, or on the PATH."""
    beside = Path(sys.executable).parent / "envoy"
    return str(beside) if beside.exists() else shutil.which("envoy")


def nginx_path() -> str | None:
    """The nginx of the system."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def envoy(
    world: World, kind: str, authz: int = 9, *, filters: str | None = None, backend: int = 9
) -> Iterator[Edge]:
    """An Envoy of one worker that asks the port ``authz``.

    ``filters`` replaces the filter that belongs to ``kind``.
    """
    port = free_port()
    protocol = "http2_protocol_options" if kind.startswith("grpc") else "http_protocol_options"
    file = world.folder / f"envoy-{kind}-{port}.yaml"
    filters = envoy_filter(kind, world) if filters is None else filters
    words = {"protocol": protocol, "filters": filters, "seen": SEEN, "backend": backend}
    file.write_text(_ENVOY.format(port=port, authz=authz, **words))
    command = [
        str(envoy_path()), "-c", str(file), "--concurrency", "1", "--log-level", "error",
        "--disable-hot-restart",
    ]  # fmt: skip
    with program(command, file.with_suffix(".log"), lambda: accepts(port)) as process:
        yield Edge(port, process.pid)


@contextlib.contextmanager
def nginx(
    world: World, authz: int | None, *, door: str = "/auth/nginx", backend: int = 9
) -> Iterator[Edge]:
    """An nginx of one worker that asks the port ``authz`` at ``door``, or nobody."""
    port = free_port()
    folder = world.folder / f"nginx-{port}"
    (folder / "site").mkdir(parents=True)
    (folder / "site" / "page").write_text("ok")
    folder.chmod(0o755)
    world.folder.chmod(0o755)
    question = "" if authz is None else "auth_request /_auth;"
    file = folder / "nginx.conf"
    words = {"question": question, "door": door, "seen": SEEN, "backend": backend}
    file.write_text(_NGINX.format(folder=folder, port=port, authz=authz or 9, **words))
    command = [str(nginx_path()), "-c", str(file), "-p", str(folder)]
    with program(command, folder / "log", lambda: accepts(port)) as process:
        yield Edge(port, process.pid)


def client_headers(token: str) -> dict[str, str]:
    """What an MCP client sends to the edge."""
    return {
        "host": HOST,
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2025-11-25",
        "authorization": f"Bearer {token}",
    }

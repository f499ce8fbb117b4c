"""Envoy's clusters: the MCP servers and extauthz; and TLS on either side."""

from __future__ import annotations

from collections.abc import Mapping

from extauthz.config.addresses import Address, TcpAddress
from extauthz.config.base import EdgeTlsSettings

from .filling import fill
from .plan import Door, Plan, Site, Upstream
from .yaml_text import envoy_address, scalar

EXTAUTHZ_GRPC = "extauthz_grpc"
EXTAUTHZ_HTTP = "extauthz_http"

SYSTEM_CAS = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian, Ubuntu and Alpine, and images made of them, keep the usual authorities."""

# A Python server behind uvicorn closes idle connections after 5 s: ours are closed before.
_HTTP_1 = """\
common_http_protocol_options: {idle_timeout: 4s}
explicit_http_config: {http_protocol_options: {}}
"""
_HTTP_2 = "explicit_http_config: {http2_protocol_options: {}}\n"

_CLUSTER = """\
{{note}}
- name: {{name}}
  type: {{type}}
  {{family}}
  connect_timeout: {{connect}}
  {{health}}
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      {{protocol}}
  {{tls}}
  load_assignment:
    cluster_name: {{name}}
    endpoints: [{lb_endpoints: [{{endpoints}}]}]
"""

_UPSTREAM_TLS = """\
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    {{sni}}
    common_tls_context:
      {{alpn}}
      {{certificate}}
      validation_context:
        # The authority that signed the certificate, if it is a private one.
        trusted_ca: {filename: {{authorities}}}
        match_typed_subject_alt_names:
        - san_type: {{san_type}}
          matcher: {exact: {{host}}}
"""

_LISTENER_TLS = """\
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
    common_tls_context:
      alpn_protocols: [h2, http/1.1]
      tls_certificates:
      - certificate_chain: {filename: {{cert_file}}}
        private_key: {filename: {{key_file}}}
"""

# A replica that stops says NOT_SERVING two seconds before it takes no more questions. Where none
# is healthy Envoy asks all of them.
_HEALTH = """\
health_checks:
- timeout: 1s
  interval: 0.5s
  no_traffic_interval: 0.5s
  unhealthy_threshold: 2
  healthy_threshold: 1
  {{how}}
# By default only three questions at a time may be asked again.
circuit_breakers: {thresholds: [{max_retries: 1024}]}
"""
_ASKED_HOW = {
    "grpc": "grpc_health_check: {service_name: envoy.service.auth.v3.Authorization}\n",
    "http": "# Whether somebody listens.\ntcp_health_check: {}\n",
}

_CLIENT_CERTIFICATE = """\
# PLACEHOLDER: extauthz demands a client certificate; put Envoy's own here.
# tls_certificates: [{certificate_chain: {filename: }, private_key: {filename: }}]
"""


def clusters(plan: Plan, ids: Mapping[str, str], *, grpc: bool) -> str:
    """A cluster for each MCP server, and the one that Envoy asks."""
    door = plan.grpc() if grpc else plan.http()
    return "".join(_site(site, ids[site.name]) for site in plan.sites) + _extauthz(door)


def listener_tls(tls: EdgeTlsSettings) -> str:
    """The listener's TLS, or nothing."""
    if tls.cert_file is None or tls.key_file is None:
        return ""
    return fill(_LISTENER_TLS, cert_file=scalar(tls.cert_file), key_file=scalar(tls.key_file))


def _site(site: Site, name: str) -> str:
    upstream = site.upstream
    note = "" if upstream.given else "# PLACEHOLDER: the server has no upstream in extauthz.yaml."
    tls = _upstream_tls(upstream.address, alpn="") if upstream.tls else ""
    where = (upstream.address,)
    return _cluster(name, where, note=note, connect="1s", health="", protocol=_HTTP_1, tls=tls)


def _extauthz(door: Door) -> str:
    is_grpc = door.name == "grpc"
    tls = ""
    if door.tls:
        alpn = "alpn_protocols: [h2]" if is_grpc else ""
        tls = _upstream_tls(TcpAddress(door.host, 0), alpn=alpn, certificate=door.certificate)
    return _cluster(
        EXTAUTHZ_GRPC if is_grpc else EXTAUTHZ_HTTP,
        door.addresses,
        note="",
        connect="0.25s",
        health=fill(_HEALTH, how=_ASKED_HOW[door.name]),
        protocol=_HTTP_2 if is_grpc else _HTTP_1,
        tls=tls,
    )


def _cluster(
    name: str,
    addresses: tuple[Address, ...],
    *,
    note: str,
    connect: str,
    health: str,
    protocol: str,
    tls: str,
) -> str:
    over_tcp = [address for address in addresses if isinstance(address, TcpAddress)]
    named = any(Upstream(address).is_name for address in over_tcp)
    return fill(
        _CLUSTER,
        note=note,
        name=name,
        type="STRICT_DNS" if over_tcp else "STATIC",
        family="dns_lookup_family: V4_PREFERRED" if named else "",
        connect=connect,
        health=health,
        protocol=protocol,
        tls=tls,
        endpoints=", ".join(
            f"{{endpoint: {{address: {envoy_address(address)}}}}}" for address in addresses
        ),
    )


def _upstream_tls(address: TcpAddress, *, alpn: str, certificate: bool = False) -> str:
    named = Upstream(address).is_name
    return fill(
        _UPSTREAM_TLS,
        sni=f"sni: {scalar(address.host)}" if named else "",
        alpn=alpn,
        certificate=_CLIENT_CERTIFICATE if certificate else "",
        authorities=SYSTEM_CAS,
        san_type="DNS" if named else "IP_ADDRESS",
        host=scalar(address.host),
    )

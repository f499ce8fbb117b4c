"""nginx with auth_request: one file for the inventory, four that it includes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from extauthz.config.addresses import Address

from .artefacts import Artefact, CannotWrite, File
from .cautions import cautions
from .envoy_clusters import SYSTEM_CAS
from .filling import comment, fill, indented, template
from .names import identifiers
from .nginx_text import below, token
from .plan import Door, Plan, Route, Site, VirtualHost

_INCLUDE = re.compile(r"^( *)include ([a-z-]+\.conf);$", re.MULTILINE)
_HEADER = re.compile(r"[a-z0-9_-]+")
_OWN_HEADERS = frozenset({"x-request-id"})

_UPSTREAM = """\
upstream {{name}} {
  {{note}}
  server {{address}};
  keepalive 32;
  keepalive_timeout 4s;
}
"""
_LOCATION = """\
location ~ {{pattern}} {
  set $mcp_server {{server}};
  include extauthz-location.conf;
  {{extra}}
  {{token}}
  {{tls}}
  proxy_pass {{upstream}};
}
"""
_VERIFIED = """\
proxy_ssl_server_name on;
proxy_ssl_name {{host}};
proxy_ssl_verify on;
# The authority that signed the certificate, if it is a private one.
proxy_ssl_trusted_certificate {{authorities}};
proxy_ssl_verify_depth 4;
"""
_SERVER = """\
server {
  listen {{listen}};
  {{server_name}}
  {{tls}}

  include extauthz-server.conf;

  {{locations}}

  location / {
    default_type application/json;
    return 404 '{"error":"not_found"}';
  }
}
"""


def write_nginx(plan: Plan) -> Artefact:
    """nginx.conf and what it includes. Raises CannotWrite."""
    door = plan.http()
    scheme = "https" if door.tls else "http"
    where = fill(
        template("extauthz-http.conf"),
        authz="\n".join(map(_replica, door.addresses)),
        tls=_authz_tls(door),
    )
    files = (
        File("nginx.conf", _main(plan)),
        File("extauthz-http.conf", where),
        File("extauthz-server.conf", fill(template("extauthz-server.conf"), scheme=scheme)),
        File("extauthz-location.conf", template("extauthz-location.conf")),
        File("extauthz-answer.conf", template("extauthz-answer.conf")),
    )
    warnings = (*door.warnings(), *cautions(plan))
    return Artefact(files, _alone(files), warnings)


def _replica(address: Address) -> str:
    return f"server {token(str(address))} max_fails=0;"


def _authz_tls(door: Door) -> str:
    if not door.tls:
        return ""
    lines = fill(_VERIFIED, host=token(door.host), authorities=SYSTEM_CAS)
    if door.certificate:
        lines += "# PLACEHOLDER: extauthz demands a certificate; put nginx's own here.\n"
        lines += "# proxy_ssl_certificate ; proxy_ssl_certificate_key ;\n"
    return lines


def _main(plan: Plan) -> str:
    ids = identifiers((site.name for site in plan.sites), reserved=("extauthz_http",))
    about = comment(
        "Written by `extauthz generate nginx`; change extauthz.yaml and write it again.",
        "",
        "nginx asks extauthz by auth_request about every request.",
        "",
        f"Asks: extauthz serve, HTTP on {plan.http()}. Clients: {plan.listen}.",
        'Run it: mkdir -p /tmp/edge && nginx -p /tmp/edge -c "$PWD/nginx.conf"',
    )
    return fill(
        template("nginx.conf"),
        about=about,
        sizes="\n".join(_sizes(plan)),
        upstreams="".join(_upstream(site, ids[site.name]) for site in plan.sites).rstrip(),
        servers="\n".join(_server(plan, host, ids) for host in plan.virtual_hosts).rstrip(),
    )


def _sizes(plan: Plan) -> Iterable[str]:
    """Room for long names and many: nginx does not start where its tables are too small."""
    hosts = [name for host in plan.virtual_hosts for name in host.hosts]
    longest = max(map(len, hosts), default=0)
    if longest > 40 or len(hosts) > 100:
        yield f"server_names_hash_bucket_size {_power_of_two(longest + 64)};"
        yield f"server_names_hash_max_size {_power_of_two(len(hosts) * 4 + 512)};"
    longest = max(map(len, plan.extra_headers), default=0)
    if longest > 20 or len(plan.extra_headers) > 100:
        yield f"variables_hash_bucket_size {_power_of_two(longest + 64)};"
        yield f"variables_hash_max_size {_power_of_two(len(plan.extra_headers) * 8 + 1024)};"


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


def _upstream(site: Site, name: str) -> str:
    note = "" if site.upstream.given else "# PLACEHOLDER: the server has no upstream."
    return fill(_UPSTREAM, name=name, note=note, address=token(str(site.upstream.address)))


def _server(plan: Plan, host: VirtualHost, ids: Mapping[str, str]) -> str:
    only = len(plan.virtual_hosts) == 1
    words = [token(str(plan.listen))]
    tls = ""
    if plan.tls.cert_file is not None and plan.tls.key_file is not None:
        words.append("ssl")
        tls = f"ssl_certificate {token(plan.tls.cert_file)};\n"
        tls += f"ssl_certificate_key {token(plan.tls.key_file)};\n"
        tls += "ssl_protocols TLSv1.2 TLSv1.3;"
    if host.is_default and not only:
        words.append("default_server")
    names = "" if host.is_default else f"server_name {' '.join(map(token, host.hosts))};"
    locations = (_location(plan, route, ids) for route in host.whatever_the_port())
    return fill(
        _SERVER,
        listen=" ".join(words),
        server_name=names,
        tls=tls,
        locations="\n".join(locations).rstrip(),
    )


def _location(plan: Plan, route: Route, ids: Mapping[str, str]) -> str:
    site = route.site
    upstream = site.upstream
    tls = ""
    if upstream.tls:
        tls = fill(_VERIFIED, host=token(upstream.address.host), authorities=SYSTEM_CAS)
    return fill(
        _LOCATION,
        pattern=below(route.path),
        server=token(site.name),
        extra="\n".join(
            _extra(name) if name in site.extra_headers else f'proxy_set_header {name.title()} "";'
            for name in plan.extra_headers
        ),
        token='proxy_set_header Authorization "";' if site.withholds_token else "",
        tls=tls,
        upstream=f"{'https' if upstream.tls else 'http'}://{ids[site.name]}",
    )


def _extra(name: str) -> str:
    """The two lines that keep a client's own copy of an extra header from the server."""
    if not _HEADER.fullmatch(name) or name in _OWN_HEADERS:
        raise CannotWrite(
            f"forward.headers: nginx cannot overwrite {name}; expected a name of letters, digits "
            "and dashes that is not nginx's own, such as x-user-email"
        )
    bare = name.replace("-", "_")
    variable = f"$extauthz_extra_{bare}"
    token(name)
    return (
        f"auth_request_set {variable} $upstream_http_{bare};\n"
        f"proxy_set_header {name.title()} {variable};"
    )


def _alone(files: tuple[File, ...]) -> str:
    """The main file with everything that it includes, at any depth, put in its place."""
    texts = {file.name: file.text for file in files}

    def put_in(text: str) -> str:
        return _INCLUDE.sub(
            lambda found: indented(put_in(texts[found[2]]), found[1]).rstrip("\n"), text
        )

    return put_in(files[0].text)

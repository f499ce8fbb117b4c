"""HAProxy, asking by a Lua action: haproxy.cfg, and extauthz.lua beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from extauthz.config.addresses import Address, TcpAddress
from extauthz.config.base import EdgeTlsSettings
from extauthz.core.identity import server_header
from extauthz.core.policy import IDENTITY_HEADERS

from .artefacts import Artefact, CannotWrite, File
from .audited import audited_matches
from .cautions import cautions
from .envoy_clusters import SYSTEM_CAS
from .filling import comment, fill, template
from .lookalikes import alike
from .names import identifiers
from .plan import Door, Plan, Site, Upstream

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+~\[\]-]+")

# HAProxy's HTTP client for Lua asks one address: HAProxy itself, which knows all replicas.
_OWN = "abns@extauthz_ask"
_ASK = """\
# Where extauthz.lua asks: the next replica in turn, and another one where that does not answer.
listen extauthz_ask
  bind abns@extauthz_ask
  timeout connect 250ms
  timeout server 1s
  retries 2
  option redispatch 1
  retry-on conn-failure empty-response
  {{authz}}
"""

_KEY_BESIDE = """\
# The key of x.crt is x.key; by itself HAProxy looks for x.crt.key.
ssl-load-extra-del-ext
"""

_BACKEND = """\
backend {{id}}
  {{note}}
  {{token}}
  {{server}}
"""


def write_haproxy(plan: Plan) -> Artefact:
    """haproxy.cfg and the Lua file that it loads. Raises CannotWrite."""
    door = plan.http()
    ids = identifiers(
        (site.name for site in plan.sites), reserved=("extauthz_http", "mcp", "nobody")
    )
    main = fill(
        template("haproxy.cfg"),
        about=_about(plan, door),
        beside=_KEY_BESIDE if _has_key_beside(plan.tls) else "",
        verify=f"httpclient.ssl.ca-file {SYSTEM_CAS}" if door.tls else "",
        bind=_bind(plan.listen, plan.tls),
        strip="\n".join(_strip(plan.extra_headers)),
        uses="\n".join(_uses(plan, ids)),
        authz="\n".join(_replicas(door)),
        ask=_ask(door),
        backends="\n".join(_backend(site, ids[site.name]) for site in plan.sites).rstrip(),
    )
    names = (*IDENTITY_HEADERS, *plan.extra_headers)
    host, where = _asked(door)
    scheme = "https" if door.tls and where != _OWN else "http"
    lua = fill(
        template("extauthz.lua"),
        url=lua_text(f"{scheme}://{host}/auth/forward"),
        where="nil" if where is None else lua_text(where),
        identity=", ".join(map(lua_text, names)),
    )
    files = (File("haproxy.cfg", main), File("extauthz.lua", lua))
    return Artefact(files, main, tuple(_warnings(plan, door)))


def _asked(door: Door) -> tuple[str, str | None]:
    """The host of the URL that Lua asks, and the socket where the host is not the place."""
    if len(door.addresses) > 1:
        return "extauthz", _OWN
    if isinstance(door.address, TcpAddress):
        return str(door.address), None
    return "localhost", f"unix@{door.address.path}"


def _ask(door: Door) -> str:
    if len(door.addresses) == 1:
        return ""
    return fill(_ASK, authz="\n".join(_replicas(door))) + "\n"


def _replicas(door: Door) -> Iterator[str]:
    tls = _tls(door.host) if door.tls else ""
    several = " check inter 1s rise 1 fall 2" if len(door.addresses) > 1 else ""
    for number, address in enumerate(door.addresses, start=1):
        name = "extauthz" if number == 1 else f"extauthz_{number}"
        yield f"server {name} {_address(address)}{tls}{several}"


def lua_text(text: str) -> str:
    """Text as a string of Lua, whatever it holds."""
    escaped = "".join(
        chr(octet) if 0x20 <= octet < 0x7F and chr(octet) not in '"\\' else f"\\{octet:03d}"
        for octet in text.encode()
    )
    return f'"{escaped}"'


def _about(plan: Plan, door: Door) -> str:
    return comment(
        "Written by `extauthz generate haproxy`; change extauthz.yaml and write it again.",
        "",
        "HAProxy (2.6 or later) asks extauthz about every request by the action in extauthz.lua,",
        "which has to lie beside this file: `extauthz generate haproxy --output FOLDER`.",
        "",
        f"Asks: extauthz serve, HTTP on {door}. Clients: {plan.listen}.",
        "Run it: haproxy -f haproxy.cfg",
        "",
        "Every setting is explained in docs/proxies/haproxy.md.",
    )


def _warnings(plan: Plan, door: Door) -> Iterator[str]:
    yield from cautions(plan)
    if door.certificate:
        yield (
            "listen.http_tls.client_ca_file: HAProxy's HTTP client for Lua shows no client "
            "certificate, so that it is never answered; use a Unix socket, or no client_ca_file"
        )
    cert, key = plan.tls.cert_file, plan.tls.key_file
    if cert is not None and key != f"{cert}.key" and not _has_key_beside(plan.tls):
        yield (
            f"edge.tls: HAProxy wants the key in the certificate's file, or as {cert}.key: "
            f"cat {cert} {key} > both.pem, and name that as the certificate"
        )


def _has_key_beside(tls: EdgeTlsSettings) -> bool:
    """Whether the key is ``x.key`` for the certificate ``x.crt``: HAProxy has to be told."""
    cert = tls.cert_file or ""
    return cert.endswith(".crt") and tls.key_file == f"{cert.removesuffix('.crt')}.key"


def _bind(listen: Address, tls: EdgeTlsSettings) -> str:
    words = [_address(listen)]
    if tls.cert_file is not None:
        words.append(f"ssl crt {_word(tls.cert_file)} alpn h2,http/1.1")
    return " ".join(words)


def _address(address: Address) -> str:
    return str(address) if isinstance(address, TcpAddress) else _word(f"unix@{address.path}")


def _strip(extra: tuple[str, ...]) -> Iterator[str]:
    for pattern in alike(extra):
        yield f"http-request del-header ^{pattern}$ -m reg"


def _uses(plan: Plan, ids: Mapping[str, str]) -> Iterator[str]:
    for site in plan.sites:
        ((_, value),) = server_header(site.server)
        said = f"{{ var(txn.extauthz_server) -m str {_word(value)} }}"
        yield f"use_backend {ids[site.name]} if {said}"
    for site, conditions in audited_matches(plan, _conditions):
        yield f"use_backend {ids[site.name]} if {conditions}"


def _conditions(hosts: tuple[str, ...], paths: tuple[str, ...]) -> str:
    """Only what extauthz let through comes here, and here without a server's name."""
    words = ["!{ var(txn.extauthz_server) -m found }"]
    words += [f"{{ req.hdr(host),field(1,:) -i -m str {host} }}" for host in hosts]
    words += [f"{{ path_reg ^{re.escape(path)}(/|$) }}" for path in paths]
    return " ".join(words)


def _backend(site: Site, name: str) -> str:
    upstream = site.upstream
    server = f"server {name} {_address(upstream.address)}"
    if upstream.tls:
        server += _tls(upstream.address.host)
    elif upstream.is_name:
        server += " init-addr last,libc,none"
    return fill(
        _BACKEND,
        id=name,
        note="" if upstream.given else "# PLACEHOLDER: the server has no upstream.",
        token="http-request del-header authorization" if site.withholds_token else "",
        server=server,
    )


def _tls(host: str) -> str:
    verified = f" ssl verify required ca-file {SYSTEM_CAS}"
    if Upstream(TcpAddress(host, 1)).is_name:
        verified += f" sni str({_word(host)}) verifyhost {_word(host)}"
    return verified


def _word(text: str) -> str:
    """Text as one word. Raises CannotWrite for what cannot be quoted."""
    if _PLAIN.fullmatch(text):
        return text
    if not text.isprintable() or "'" in text:
        raise CannotWrite(f"HAProxy cannot be told of {text!r}; expected no quotes in it")
    return f"'{text}'"

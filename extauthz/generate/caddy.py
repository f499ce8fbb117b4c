"""Caddy, asking by a reverse proxy of its own as ``forward_auth`` does.

Written out, since ``forward_auth`` of 2.6 sends a placeholder where the answer lacks a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from extauthz.config.addresses import EVERYWHERE, Address, TcpAddress
from extauthz.core.identity import server_header
from extauthz.core.policy import IDENTITY_HEADERS

from .artefacts import Artefact, CannotWrite, File
from .audited import audited_matches
from .cautions import cautions
from .filling import comment, fill, indented, template
from .names import identifiers
from .plan import DOCUMENT_PATHS, DOCUMENT_TREES, Door, Plan, Site

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+~\[\]-]+")
_HEADER = re.compile(r"[a-z0-9_-]+")

_COPY = """\
@{{id}} not vars {http.reverse_proxy.header.{{name}}} "" "<nil>"
request_header @{{id}} {{name}} {http.reverse_proxy.header.{{name}}}
"""
_TAKEN = """\
@no_{{id}} header !{{name}}
request_header @no_{{id}} {{name}} ""
"""
# Kept in a variable: by the time it is written, another answer may have taken its place.
_CORS = """\
@{{id}} not vars {http.reverse_proxy.header.{{name}}} "" "<nil>"
vars @{{id}} extauthz_{{id}} {http.reverse_proxy.header.{{name}}}
header @{{id}} {
	{{name}} {http.vars.extauthz_{{id}}}
	defer
}
"""
# A question is asked again of another replica; none is ever taken for dead.
_SEVERAL = """\
lb_policy round_robin
lb_try_duration 500ms
lb_try_interval 25ms
"""
_CORS_HEADERS = ("Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Vary")

_SERVER = """\
{{match}}
handle @{{id}} {
	{{token}}
	{{note}}
	reverse_proxy {{upstream}} {
		# Server-Sent Events, as written.
		flush_interval -1
		transport http {
			keepalive 4s
			{{tls}}
		}
	}
}
"""


def write_caddy(plan: Plan) -> Artefact:
    """The Caddyfile. Raises CannotWrite."""
    door = plan.http()
    ids = identifiers(
        (site.name for site in plan.sites), reserved=("documents", "preflight", "allowed")
    )
    extra = [_canonical(name) for name in plan.extra_headers]
    names = [*map(_canonical, IDENTITY_HEADERS), *extra]
    secured = plan.tls.cert_file is not None and plan.tls.key_file is not None
    servers = [_server(site, ids[site.name]) for site in plan.sites]
    servers += [
        _block(f"{ids[site.name]}_audited{number}", site, match)
        for number, (site, match) in enumerate(audited_matches(plan, _match), start=1)
    ]
    text = fill(
        template("Caddyfile"),
        about=_about(plan, door),
        https="auto_https disable_redirects" if secured else "auto_https off",
        site=_site_address(plan.listen, secured),
        bind=_bind(plan.listen),
        tls=f"tls {_word(plan.tls.cert_file)} {_word(plan.tls.key_file)}"
        if plan.tls.cert_file is not None and plan.tls.key_file is not None
        else "",
        documents=" ".join((*_trees(), *DOCUMENT_PATHS)),
        strip="\n".join(f"request_header -{name}" for name in extra),
        authz=" ".join(_upstream(address, tls=door.tls) for address in door.addresses),
        replicas=_SEVERAL if len(door.addresses) > 1 else "",
        authz_tls=_authz_tls(door),
        copy="".join(fill(_COPY, id=_id(name), name=name) for name in names),
        taken="".join(fill(_TAKEN, id=_id(name), name=name) for name in names),
        cors="".join(fill(_CORS, id=_id(name), name=name) for name in _CORS_HEADERS),
        servers="\n".join(servers),
    )
    warnings = (*door.warnings(), *cautions(plan))
    text = _with_tabs(text)
    return Artefact((File("Caddyfile", text),), text, warnings)


def _about(plan: Plan, door: Door) -> str:
    return comment(
        "Written by `extauthz generate caddy`; change extauthz.yaml and write it again.",
        "",
        "Caddy (2.6 or later) asks extauthz by forward-auth about every request.",
        "",
        f"Asks: extauthz serve, HTTP on {door}. Clients: {plan.listen}.",
        "Run it: caddy run --config Caddyfile",
        "",
        "Every setting is explained in docs/proxies/caddy.md.",
    )


def _trees() -> Iterator[str]:
    for tree in DOCUMENT_TREES:
        yield tree
        yield f"{tree}/*"


def _site_address(listen: Address, secured: bool) -> str:
    port = listen.port if isinstance(listen, TcpAddress) else 80
    return f"{'https' if secured else 'http'}://:{port}"


def _bind(listen: Address) -> str:
    if isinstance(listen, TcpAddress):
        return "" if listen.host in EVERYWHERE else f"bind {_word(listen.host)}"
    return f"bind {_word(f'unix/{listen.path}')}"


def _upstream(address: Address, *, tls: bool) -> str:
    if isinstance(address, TcpAddress):
        return f"{'https' if tls else 'http'}://{address}"
    return _word(f"unix/{address.path}")


def _authz_tls(door: Door) -> str:
    if not door.tls:
        return ""
    lines = [f"tls_server_name {_word(door.host)}"]
    if door.certificate:
        lines.append("# PLACEHOLDER: extauthz demands a certificate; put Caddy's own here:")
        lines.append("# tls_client_auth <cert_file> <key_file>")
    return "\n".join(lines)


def _server(site: Site, name: str) -> str:
    ((_, value),) = server_header(site.server)
    return _block(name, site, f"header X-Auth-Server {_word(value)}")


def _block(name: str, site: Site, match: str) -> str:
    upstream = site.upstream
    return fill(
        _SERVER,
        id=name,
        match=f"@{name} {match}",
        token="request_header -Authorization" if site.withholds_token else "",
        note="" if upstream.given else "# PLACEHOLDER: the server has no upstream.",
        upstream=_upstream(upstream.address, tls=upstream.tls),
        tls=f"tls_server_name {_word(upstream.address.host)}" if upstream.tls else "",
    )


def _match(hosts: tuple[str, ...], paths: tuple[str, ...]) -> str:
    # Not `header X-Auth-Server *`: where trailers may follow, the name is there, and empty.
    lines = ["not header_regexp X-Auth-Server ."]
    if hosts:
        lines.append(f"host {' '.join(hosts)}")
    if paths:
        lines.append(f"path {' '.join(f'{path} {path}/*' for path in paths)}")
    return "{\n" + indented("\n".join(lines), "\t") + "\n}"


def _id(name: str) -> str:
    return name.lower().replace("-", "_")


def _canonical(name: str) -> str:
    """A header's name as Go spells it, which is how Caddy's placeholders are named."""
    if not _HEADER.fullmatch(name):
        raise CannotWrite(
            f"forward.headers: Caddy could not be told of {name} safely; expected a name of "
            "letters, digits, dashes and underscores, such as x-user-email"
        )
    return "-".join(part[:1].upper() + part[1:] for part in name.split("-"))


def _word(text: str | None) -> str:
    """Text as one token. Raises CannotWrite for what Caddy would read something into."""
    text = text or ""
    if _PLAIN.fullmatch(text):
        return text
    if not text.isprintable() or any(char in text for char in '{}`"\\'):
        raise CannotWrite(
            f"Caddy would take a part of {text!r} for a placeholder or a quote; "
            "expected another name"
        )
    return f'"{text}"'


def _with_tabs(text: str) -> str:
    """Caddy's own formatter indents by tabs, and so do markers of several lines."""
    return re.sub(r"\n{3,}", "\n\n", text)

"""What is allowed but risky, and so said aloud."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from urllib.parse import urlsplit

from extauthz.core.documents import Documents
from extauthz.core.rules import Glob

from .addresses import UnixAddress
from .checks_server import KINDS, RULED_ELSEWHERE
from .issuer import IssuerSettings
from .model import ListenSettings, Settings
from .problems import Fault, Loc, quoted
from .reach import out_of_reach
from .server import RuleSettings, ServerSettings
from .urls import beyond_origin, exact_origin, is_plain_http

_LONG_LEEWAY = 300.0
_SHORT_COOLDOWN = 1.0
_OFFLINE = "offline_access"
_FIRST_WITH_HEADERS = "2026-07-28"


def risks(settings: Settings) -> Iterator[Fault]:
    """A warning for each risk in settings that are valid."""
    for position, network in enumerate(settings.listen.trusted_proxies):
        if network.prefixlen == 0:
            what = "every peer is trusted to say which request is judged; name the proxies instead"
            yield Fault(("listen", "trusted_proxies", position), what)
    yield from _unix_mode(settings.listen)
    for index, issuer in enumerate(settings.issuers):
        yield from _issuer(issuer, ("issuers", index))
    for index, server in enumerate(settings.servers):
        at: Loc = ("servers", index)
        yield from _server(server, at)
        yield from _rules(server, at)
        yield from _beyond_methods(server, at)
        if settings.listen.grpc is None and _has_rules(server) and not server.header_versions:
            what = "listen.grpc is off and few proxies send forward-auth the body; without it, "
            what += f"which tool is called is not known: every POST will be {_unverified(server)}"
            yield Fault(at, what)
    yield from out_of_reach(settings.servers)
    yield from _shared_audiences(settings)


def _unix_mode(listen: ListenSettings) -> Iterator[Fault]:
    at: Loc = ("listen", "unix_mode")
    addresses = (listen.grpc, listen.http, listen.admin)
    if listen.unix_mode is None:
        return
    if not any(isinstance(address, UnixAddress) for address in addresses):
        yield Fault(at, "no listener is a Unix socket, so that it has no effect")
    elif listen.unix_mode & stat.S_IWOTH:
        what = "everybody on this machine may connect, and whoever does is believed like a trusted "
        yield Fault(at, what + 'proxy; let a group in instead: "0660"')


def _unverified(server: ServerSettings) -> str:
    return "refused" if server.unverified_calls == "deny" else "allowed without its rules"


def _has_rules(server: ServerSettings) -> bool:
    return any(getattr(server, kind) for kind in KINDS)


def _issuer(issuer: IssuerSettings, at: Loc) -> Iterator[Fault]:
    urls = {"issuer": issuer.issuer, "jwks_uri": issuer.jwks_uri}
    for key, url in urls.items():
        if url and is_plain_http(url):
            what = f"{quoted(url)} is plain http: anyone on the way can forge the keys"
            yield Fault((*at, key), what)
    if issuer.allow_http_hosts:
        hosts = ", ".join(issuer.allow_http_hosts)
        what = f"plain http to {hosts}: anyone on the way can forge the keys"
        yield Fault((*at, "allow_http_hosts"), what)
    if issuer.leeway > _LONG_LEEWAY:
        what = f"expired tokens are taken for {issuer.leeway:g} s more; a minute is plenty"
        yield Fault((*at, "leeway"), what)
    if issuer.keys.cooldown < _SHORT_COOLDOWN:
        what = "made-up key ids can make this service ask the issuer more than once a second"
        yield Fault((*at, "keys", "cooldown"), what)


def _server(server: ServerSettings, at: Loc) -> Iterator[Fault]:
    usual = exact_origin(server.resource) + urlsplit(server.resource).path
    if server.resource != usual:
        what = f"clients write {quoted(usual)} and get tokens for that, which audiences compare "
        what += "byte for byte"
        yield Fault((*at, "resource"), what)
    if server.upstream and (beyond := beyond_origin(server.upstream)):
        yield Fault((*at, "upstream"), beyond)
    if server.mode == "audit":
        what = "audit: nothing is refused for this server, only logged"
        yield Fault((*at, "mode"), what)
    if server.unverified_calls == "allow_without_rules":
        what = "a POST whose call cannot be known passes without the rules for tools and others"
        what += "" if _has_rules(server) else ", once there are any"
        yield Fault((*at, "unverified_calls"), what)
    if server.header_versions:
        what = "Mcp-* headers are the client's word: they hold only if this backend refuses a "
        what += "body that differs"
        yield Fault((*at, "header_versions"), what)
    for position, version in enumerate(server.header_versions):
        if version < _FIRST_WITH_HEADERS:
            what = f"{version} knows no Mcp-* headers, so hardly any server compares them: "
            what += "a client can name one tool there and call another"
            yield Fault((*at, "header_versions", position), what)
    if server.origins == ("*",):
        what = "pages of any origin may call this server from a browser"
        yield Fault((*at, "origins"), what)
    if server.forward.token == "keep":
        what = "the MCP server gets the caller's token and can use it elsewhere"
        yield Fault((*at, "forward", "token"), what)
    yield from _paths(server, at)
    if _OFFLINE in server.scopes:
        yield _offline((*at, "scopes"))


def _paths(server: ServerSettings, at: Loc) -> Iterator[Fault]:
    for position, path in enumerate(server.public_paths):
        whole = path.removesuffix("/*")
        if whole != path and whole in server.paths:
            what = f"{quoted(path)} is all of {whole or '/'}: no token is asked for"
            yield Fault((*at, "public_paths", position), what)
        elif path.rstrip("/") in server.paths:
            what = f"{quoted(path)} is where clients call the server: no token is asked for"
            yield Fault((*at, "public_paths", position), what)
    for path in filter(Documents.concerns, server.paths):
        what = f"{quoted(path)} is answered by extauthz itself: no request gets to the server"
        yield Fault((*at, "match" if server.match.paths else "resource"), what)


def _rules(server: ServerSettings, at: Loc) -> Iterator[Fault]:
    for kind in KINDS:
        for key, rule in getattr(server, kind).items():
            loc = (*at, kind, key)
            if not isinstance(rule, RuleSettings):
                continue
            if rule.demands_nothing:
                what = "demands nothing, which is the same as allow; write allow or deny"
                yield Fault(loc, what)
            for word in ("allow", "deny"):
                if word in (*rule.scopes, *rule.any_scopes):
                    what = f"a scope named {word} is demanded; for the rule write {word} alone"
                    yield Fault(loc, what)
            if _OFFLINE in (*rule.scopes, *rule.any_scopes):
                yield _offline(loc)


def _beyond_methods(server: ServerSettings, at: Loc) -> Iterator[Fault]:
    """Calls that a glob in ``methods`` seems to rule, and that no rule of their own does."""
    for key, rule in server.methods.items():
        if "*" not in key or rule == "allow":
            continue
        glob = Glob.parse(key)
        free = {
            method: kind
            for method, kind in RULED_ELSEWHERE.items()
            if glob.matches(method) and not getattr(server, kind)
        }
        if free:
            kinds = ", ".join(dict.fromkeys(free.values()))
            what = (
                f"leaves {', '.join(free)} to the server's scopes: rules for them stand in {kinds}"
            )
            yield Fault((*at, "methods", key), what)


def _offline(loc: Loc) -> Fault:
    what = f"{_OFFLINE} asks for a refresh token and is in hardly any access token: "
    return Fault(loc, what + "demanding it may refuse everybody")


def _shared_audiences(settings: Settings) -> Iterator[Fault]:
    taken: dict[str, int] = {}
    for index, server in enumerate(settings.servers):
        for audience in server.accepted_audiences:
            first = taken.setdefault(audience, index)
            if first != index:
                other = settings.servers[first].name
                what = f"{quoted(audience)} is an audience of {other} too: "
                what += "a token for one of them is good for the other"
                yield Fault(("servers", index, "audiences"), what)

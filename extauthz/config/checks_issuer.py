"""What the settings of one issuer must not contradict among themselves."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.core.claims import claim_path
from extauthz.core.policy import GUID

from .issuer import IssuerSettings
from .parse import Entry
from .problems import Fault, Loc, path_text
from .urls import is_plain_http, split_url, url_host
from .values import shown


def check_issuer_settings(
    entry: Entry[IssuerSettings], at: Loc, *, without_file: bool = False
) -> Iterator[Fault]:
    """Every contradiction in one issuer; ``without_file`` as in ``checks.check``."""
    yield from _no_url(entry, at) if without_file else _key_source(entry, at)
    yield from _plain_http(entry, at, without_file)
    yield from _tenants(entry, at)


def _no_url(entry: Entry[IssuerSettings], at: Loc) -> Iterator[Fault]:
    """Without a file nothing else can say where clients log in."""
    issuer = entry.settings.issuer
    if split_url(issuer) is None and not entry.lacks("issuer"):
        likely = _with_scheme(issuer) or "the https URL of the issuer"
        what = f"{shown(issuer)} is no URL, so clients cannot be told where to log in"
        expected = f"{likely}, or a configuration file with advertised_issuer"
        yield Fault((*at, "issuer"), f"{what}; expected {expected}")


def _key_source(entry: Entry[IssuerSettings], at: Loc) -> Iterator[Fault]:
    issuer = entry.settings
    uri = issuer.jwks_uri or entry.lacks("jwks_uri")
    file = issuer.jwks_file or entry.lacks("jwks_file")
    given = uri or file
    if uri and file:
        what = "given beside jwks_uri; expected only one source of keys"
        yield Fault((*at, "jwks_file"), what)
    if issuer.discovery == "off" and not given:
        what = "off leaves no source of keys; expected jwks_uri or jwks_file beside it"
        yield Fault((*at, "discovery"), what)
    if split_url(issuer.issuer) is None and not entry.lacks("issuer"):
        likely = "" if given else _with_scheme(issuer.issuer)
        if not given:
            what = f"{shown(issuer.issuer)} is no URL, so there is no discovery"
            expected = "jwks_uri or jwks_file beside it"
            if likely:
                expected = f"{likely}; or, if it is the iss of tokens, jwks_uri or jwks_file, and "
                expected += "advertised_issuer, beside it"
            yield Fault((*at, "issuer"), f"{what}; expected {expected}")
        if issuer.advertised_issuer is None and not likely:
            what = "missing; the issuer is no URL, so expected the URL that clients log in at"
            yield Fault((*at, "advertised_issuer"), what)


def _with_scheme(text: str) -> str:
    """The URL that a host and path without a scheme most likely stand for; empty for others."""
    url = f"https://{text}"
    return url if not set("?#") & set(text) and "." in (url_host(url) or "") else ""


def _plain_http(entry: Entry[IssuerSettings], at: Loc, without_file: bool) -> Iterator[Fault]:
    issuer = entry.settings
    if entry.lacks("allow_http_hosts"):
        return  # what was meant may allow it
    urls: list[tuple[Loc, str | None]] = [
        ((*at, "issuer"), issuer.issuer),
        *(((*at, "accepted_issuers", i), v) for i, v in enumerate(issuer.accepted_issuers)),
        ((*at, "advertised_issuer"), issuer.advertised_issuer),
        ((*at, "jwks_uri"), issuer.jwks_uri),
    ]
    for loc, url in urls:
        host = (url_host(url or "") or "").strip("[]")
        if url and is_plain_http(url) and host not in issuer.allow_http_hosts:
            what = f"{shown(url)} is plain http, whose answers anyone on the way can forge"
            hosts = ", ".join((*issuer.allow_http_hosts, host))
            allowed = f"{path_text((*at, 'allow_http_hosts'))}: [{hosts}]"
            if without_file:
                allowed = "its host in allow_http_hosts of a configuration file"
            yield Fault(loc, f"{what}; expected https, or {allowed}")


def _tenants(entry: Entry[IssuerSettings], at: Loc) -> Iterator[Fault]:
    issuer = entry.settings
    if not issuer.templates:
        return
    conditions = {claim_path(name): (name, v) for name, v in issuer.required_claims.items()}
    if ("tid",) not in conditions:
        if entry.lacks("required_claims", "tid") or entry.lacks("required_claims", "/tid"):
            return
        what = "no tid; a template in accepted_issuers takes every tenant of the provider"
        yield Fault((*at, "required_claims"), f"{what}; expected tid: [the tenants that may call]")
        return
    name, tenants = conditions["tid",]
    for position, tenant in enumerate(tenants):
        if not isinstance(tenant, str) or not GUID.fullmatch(tenant):
            what = f"{shown(tenant)} is no tenant; expected a GUID"
            yield Fault((*at, "required_claims", name, position), what)

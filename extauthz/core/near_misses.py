"""What a refused token almost had: for ``explain``, never for an answer or a log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from .claims import ClaimPath, claim_at, claim_name, granted_scopes
from .model import Reason
from .policy import TENANT, Issuer, Server
from .token import UnverifiedToken, issuer_of

_ENTRA_V1 = re.compile(r"https://sts\.windows\.net/([0-9a-f-]{36})/?")
_ENTRA_V2 = re.compile(r"https://login\.microsoftonline\.com/([0-9a-f-]{36})/v2\.0/?")
_TYPE = (
    "typ is {!r}: an ID, logout or proof token is not an access token; if the issuer really "
    "marks access tokens so, write token_types: [{}]"
)
# Microsoft Graph, as access tokens of versions 2 and 1 name it.
_GRAPH = frozenset({"00000003-0000-0000-c000-000000000000", "https://graph.microsoft.com"})
_ID_TOKEN = (
    "it looks like an ID token, which tells a client who has logged in: the client must send "
    "the access token"
)
# OpenID Connect Core sections 2, 3.1.3.6 and 3.3.2.11.
_ID_TOKEN_CLAIMS = frozenset({"nonce", "at_hash", "c_hash"})
# Claims that hold a text of several words; of others only lists are looked through.
_WORDS = frozenset({"scope", "scp", "scopes", "permissions", "roles", "groups", "entitlements"})
_MAX_DEPTH = 4
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./+~-]*")
_SEPARATORS = ("/", ":", ".")


def near_misses(
    reason: Reason,
    server: Server,
    token: UnverifiedToken,
    wanted_scopes: tuple[str, ...],
    now: float,
    *,
    servers: Iterable[Server] = (),
) -> tuple[str, ...]:
    """Sentences that name what is nearly right about a token refused for ``reason``.

    ``wanted_scopes`` are the scopes of the operation; ``now`` is seconds since the epoch;
    ``servers`` are all that there are.
    """
    claims = token.shown_to_its_owner()
    if reason is Reason.UNKNOWN_ISSUER:
        return tuple(_issuer(server, token.issuer, claims))
    issuer = issuer_of(token, server.issuers)
    if issuer is None:
        return ()
    if reason in (Reason.WRONG_AUDIENCE, Reason.MISSING_CLAIM):
        left_out = _left_out(server, issuer, claims)
        return (*_audience(server, issuer, claims, servers), *left_out)
    if reason is Reason.INSUFFICIENT_SCOPE:
        scopes = _scopes(server, issuer, claims, wanted_scopes)
        return (*scopes, *_left_out(server, issuer, claims))
    if reason is Reason.DENIED_BY_RULE:
        return tuple(_left_out(server, issuer, claims))
    if reason in (Reason.TOKEN_EXPIRED, Reason.TOKEN_NOT_YET_VALID):
        return tuple(_times(claims, now))
    if reason is Reason.WRONG_TOKEN_TYPE:
        found = token.header.token_type
        return (_TYPE.format(found, _in_yaml(*sorted(issuer.token_types), found)),)
    return ()


def _issuer(server: Server, found: str, claims: Mapping[str, object]) -> Iterator[str]:
    for issuer in server.issuers:
        tenant = claims.get("tid")
        of_tenant = {t.replace(TENANT, tenant) for t in issuer.templates if isinstance(tenant, str)}
        if found in of_tenant and tenant not in issuer.tenants:
            yield f"its tenant is not listed: add {tenant} to required_claims.tid"
            continue
        listed = {t.replace(TENANT, name) for t in issuer.templates for name in issuer.tenants}
        for wanted in sorted(issuer.accepted | listed):
            yield from _one_issuer(found, wanted)


def _one_issuer(found: str, wanted: str) -> Iterator[str]:
    # Where keys and metadata are is read from the issuer, so it has to stay a URL.
    remedy = f"write issuer: {found}" if "://" in found else f"add accepted_issuers: [{found}]"
    of_found, of_wanted = _parts(found), _parts(wanted)
    if found.rstrip("/") == wanted.rstrip("/"):
        has = "has" if found.endswith("/") else "lacks"
        yield f"the token's iss {has} a final slash and the configuration differs: {remedy}"
    elif found.lower() == wanted.lower():
        yield f"iss differs only in upper and lower case: {remedy}"
    elif _without_scheme(found) == _without_scheme(wanted):
        yield f"iss differs only in the scheme: {remedy}"
    elif _ENTRA_V1.fullmatch(found) or _ENTRA_V1.fullmatch(wanted):
        yield from _entra(found, wanted)
    elif of_found[0] and of_found[0] == of_wanted[0]:
        yield "the host is right, the issuer is not: another tenant, realm or kind of token"
    elif len(of_found[1]) > 1 and of_found[1] == of_wanted[1]:
        yield "only the host differs: if it is the same issuer under two names, let it have one"


def _entra(found: str, wanted: str) -> Iterator[str]:
    versions = {"v1.0": _ENTRA_V1, "v2.0": _ENTRA_V2}
    of_found = {v: m[1] for v, p in versions.items() if (m := p.fullmatch(found))}
    of_wanted = {v: m[1] for v, p in versions.items() if (m := p.fullmatch(wanted))}
    if of_found and of_wanted and [*of_found] != [*of_wanted]:
        (found_version, tenant), (wanted_version, other) = (
            *of_found.items(),
            *of_wanted.items(),
        )
        if tenant == other:
            yield (
                f"a {found_version} token of the same Entra tenant, but {wanted_version} is "
                "configured: set accessTokenAcceptedVersion of the API registration, or add "
                f"accepted_issuers: [{found}]"
            )


def _audience(
    server: Server, issuer: Issuer, claims: Mapping[str, object], servers: Iterable[Server]
) -> Iterator[str]:
    value = claim_at(claims, issuer.audience_claim)
    found = [
        text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)
    ]
    if claims.get("token_use") == "id" or claims.get("typ") == "ID" or _ID_TOKEN_CLAIMS & {*claims}:
        yield _ID_TOKEN
    if server.audiences is None or not server.audiences.isdisjoint(found):
        return
    if _GRAPH & {text.rstrip("/") for text in found}:
        yield "it is for Microsoft Graph: the client must ask for a scope of this API, by full name"
    others = [one for one in servers if one.audiences and not one.audiences.isdisjoint(found)]
    for other in others:
        yield f"it is for the server {other.name}: the client must ask for a token for this one"
    if not others:
        yield from _nearly(server.audiences, found)
    for name in ("client_id", "azp", "cid", "appid", "resource"):
        if name in claims and claims[name] in [*server.audiences]:
            yield f"the expected audience is in the claim {name}: set audience_claim: {name}"


def _nearly(audiences: frozenset[str], found: Iterable[str]) -> Iterator[str]:
    for text in found:
        for wanted in sorted(audiences):
            difference = _difference(text, wanted)
            if difference:
                # The whole list, since the key replaces its default, which is the resource.
                both = ", ".join((*sorted(audiences), text))
                yield (
                    f"the token's audience differs from {wanted} only by {difference}: ask the "
                    f"issuer for {wanted}, or, if it means this server alone, write "
                    f"audiences: [{both}]"
                )


def _difference(found: str, wanted: str) -> str:
    if found.rstrip("/") == wanted.rstrip("/"):
        return "the final slash"
    if found.lower() == wanted.lower():
        return "upper and lower case"
    bare_found, bare_wanted = _without_scheme(found), _without_scheme(wanted)
    if bare_found.rstrip("/") == bare_wanted.rstrip("/"):
        schemes = (found.partition("://")[0], wanted.partition("://")[0])
        return "api://" if "api" in schemes else "the scheme"
    if urlsplit(wanted).netloc and found.rstrip("/") == _origin(wanted):
        return "the path (the token names the origin)"
    return ""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _parts(issuer: str) -> tuple[str, str]:
    """Host and path of an issuer that is a URL; empty texts otherwise."""
    try:
        parts = urlsplit(issuer)
    except ValueError:
        return "", ""
    return parts.netloc, parts.path


def _without_scheme(text: str) -> str:
    return text.partition("://")[2] or text


def _scopes(
    server: Server, issuer: Issuer, claims: Mapping[str, object], wanted: tuple[str, ...]
) -> Iterator[str]:
    elements = _elements(claims, issuer.scope_claims)
    lacking = [scope for scope in wanted if scope not in granted_scopes(elements, server.implies)]
    for scope in lacking:
        yield from _elsewhere(claims, scope, issuer)
        for element in elements:
            if element.lower() == scope.lower():
                yield f"{element} differs from {scope} only in upper and lower case"
            elif element.endswith(tuple(mark + scope for mark in _SEPARATORS)):
                yield f"{element} is {scope} with a prefix: write the scope with its prefix"
            elif scope.endswith(tuple(mark + element for mark in _SEPARATORS)):
                yield (
                    f"{element} is {scope} without its prefix: add "
                    f"scope_implies: {{{element}: [{scope}]}}"
                )


def _elsewhere(claims: Mapping[str, object], scope: str, issuer: Issuer) -> Iterator[str]:
    """Where else in the token the scope stands, nested claims included."""
    read = {issuer.audience_claim, *issuer.scope_claims}
    ahead: list[tuple[ClaimPath, object]] = [((name,), value) for name, value in claims.items()]
    while ahead:
        path, value = ahead.pop(0)
        if path in read:
            continue
        words = value.split(" ") if isinstance(value, str) and path[-1] in _WORDS else value
        name = claim_name(path)
        if isinstance(words, list) and scope in words:
            names = _in_yaml(*map(claim_name, issuer.scope_claims), name)
            yield f"{scope} is in the claim {name}: write scope_claims: [{names}] for the issuer"
        elif isinstance(value, dict) and len(path) < _MAX_DEPTH:
            if scope in value:
                where = claim_name((*path, scope))
                yield f"{scope} is a member of the claim {name}: write a rule for {where}"
            ahead += [((*path, member), inner) for member, inner in value.items()]


def _in_yaml(*texts: str) -> str:
    """Texts as the elements of a list in YAML, between its brackets."""
    return ", ".join(text if _PLAIN.fullmatch(text) else json.dumps(text) for text in texts)


def _left_out(server: Server, issuer: Issuer, claims: Mapping[str, object]) -> Iterator[str]:
    """Claims that are read here, and of which the token only says where they could be had."""
    elsewhere = claims.get("_claim_names")
    read = {condition.path[0] for condition in server.conditions}
    read.update(path[0] for path in issuer.scope_claims)
    for name in sorted(read.intersection(elsewhere if isinstance(elsewhere, dict) else ())):
        if name not in claims:
            yield (
                f"{name} is not in the token, as it would be too long (_claim_names): have the "
                "issuer put in fewer values, such as the groups assigned to the application"
            )


def _elements(claims: Mapping[str, object], paths: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    found: list[str] = []
    for path in paths:
        value = claim_at(claims, path)
        texts = value.split(" ") if isinstance(value, str) else value
        if isinstance(texts, list):
            found.extend(text for text in texts if isinstance(text, str) and text)
    return tuple(found)


def _times(claims: Mapping[str, object], now: float) -> Iterator[str]:
    expires = claims.get("exp")
    if isinstance(expires, int | float) and 0 <= now - expires < 300:
        yield f"it expired {now - expires:.0f} s ago: clocks may differ; see leeway"
    for name in ("nbf", "iat"):
        value = claims.get(name)
        if isinstance(value, int | float) and 0 < value - now < 300:
            yield f"{name} is {value - now:.0f} s ahead: clocks may differ; see leeway"

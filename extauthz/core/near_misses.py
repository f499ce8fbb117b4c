"""What a refused token almost had: for ``explain``, never for an answer or a log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from .claims import claim_at, granted_scopes
from .model import Reason
from .policy import Issuer, Server
from .token import UnverifiedToken, issuer_of

_ENTRA_V1 = re.compile(r"https://sts\.windows\.net/([0-9a-f-]{36})/?")
_ENTRA_V2 = re.compile(r"https://login\.microsoftonline\.com/([0-9a-f-]{36})/v2\.0/?")
_TYPE = (
    "typ is {!r}: an ID, logout or proof token is not an access token; if the issuer really "
    "marks access tokens so, add it to token_types"
)
_OTHER_SCOPE_CLAIMS = ("scope", "scp", "scopes", "permissions", "roles", "groups", "entitlements")


def near_misses(
    reason: Reason,
    server: Server,
    token: UnverifiedToken,
    wanted_scopes: tuple[str, ...],
    now: float,
) -> tuple[str, ...]:
    """Sentences that name what is nearly right about a token refused for ``reason``.

    ``wanted_scopes`` are the scopes of the operation; ``now`` is seconds since the epoch.
    """
    claims = token.shown_to_its_owner()
    if reason is Reason.UNKNOWN_ISSUER:
        return tuple(_issuer(server, token.issuer))
    issuer = issuer_of(token, server.issuers)
    if issuer is None:
        return ()
    if reason in (Reason.WRONG_AUDIENCE, Reason.MISSING_CLAIM):
        return tuple(_audience(server, issuer, claims))
    if reason is Reason.INSUFFICIENT_SCOPE:
        return tuple(_scopes(server, issuer, claims, wanted_scopes))
    if reason in (Reason.TOKEN_EXPIRED, Reason.TOKEN_NOT_YET_VALID):
        return tuple(_times(claims, now))
    if reason is Reason.WRONG_TOKEN_TYPE:
        return (_TYPE.format(token.header.token_type),)
    return ()


def _issuer(server: Server, found: str) -> Iterator[str]:
    for wanted in sorted(value for issuer in server.issuers for value in issuer.accepted):
        if found.rstrip("/") == wanted.rstrip("/"):
            has = "has" if found.endswith("/") else "lacks"
            yield (
                f"the token's iss {has} a final slash and the configuration differs: "
                f"write issuer: {found}"
            )
        elif found.lower() == wanted.lower():
            yield f"iss differs only in upper and lower case: write issuer: {found}"
        elif _without_scheme(found) == _without_scheme(wanted):
            yield f"iss differs only in the scheme: write issuer: {found}"
        else:
            yield from _entra(found, wanted)


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


def _audience(server: Server, issuer: Issuer, claims: Mapping[str, object]) -> Iterator[str]:
    value = claim_at(claims, issuer.audience_claim)
    found = [
        text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)
    ]
    for text in found:
        for wanted in sorted(server.audiences or ()):
            difference = _difference(text, wanted)
            if difference:
                yield (
                    f"the token's audience differs from {wanted} only by {difference}: ask the "
                    f"issuer for {wanted}, or add audiences: [{text}]"
                )
    for other in ("client_id", "azp", "cid", "appid", "resource"):
        if claims.get(other) in (server.audiences or ()):
            yield f"the expected audience is in the claim {other}: set audience_claim: {other}"


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


def _without_scheme(text: str) -> str:
    return text.partition("://")[2] or text


def _scopes(
    server: Server, issuer: Issuer, claims: Mapping[str, object], wanted: tuple[str, ...]
) -> Iterator[str]:
    read = {path[0] for path in issuer.scope_claims if len(path) == 1}
    elements = _elements(claims, issuer.scope_claims)
    lacking = [scope for scope in wanted if scope not in granted_scopes(elements, server.implies)]
    for scope in lacking:
        for name in _OTHER_SCOPE_CLAIMS:
            if name not in read and scope in _elements(claims, [(name,)]):
                yield f"{scope} is in the claim {name}: add it to scope_claims of the issuer"
        for element in elements:
            if element.lower() == scope.lower():
                yield f"{element} differs from {scope} only in upper and lower case"
            elif element.endswith(("/" + scope, ":" + scope, "." + scope)):
                yield f"{element} is {scope} with a prefix: write the scope with its prefix"


def _elements(claims: Mapping[str, object], paths: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    found: list[str] = []
    for path in paths:
        value = claim_at(claims, path)
        texts = value.split(" ") if isinstance(value, str) else value
        if isinstance(texts, list):
            found.extend(text for text in texts if isinstance(text, str))
    return tuple(found)


def _times(claims: Mapping[str, object], now: float) -> Iterator[str]:
    expires = claims.get("exp")
    if isinstance(expires, int | float) and 0 <= now - expires < 300:
        yield f"it expired {now - expires:.0f} s ago: clocks may differ; see leeway"
    for name in ("nbf", "iat"):
        value = claims.get(name)
        if isinstance(value, int | float) and 0 < value - now < 300:
            yield f"{name} is {value - now:.0f} s ahead: clocks may differ; see leeway"

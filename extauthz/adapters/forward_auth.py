"""HTTP auth sub-requests as pure functions: what nginx, Traefik, Caddy, HAProxy and Envoy ask.

docs/contract.md, section 7. Each flavour reads its own headers and no other's. A body, where
there is one, is the original request's; HTTP has no way of sending the beginning of one, so only
Envoy's word can say that it is not whole.
"""

from __future__ import annotations

from typing import Final

from extauthz.core.model import Reason, Refusal, Request

from .http_message import HttpRequest

_SERVER: Final = "x-mcp-server"
_METHOD: Final = "x-original-method"
_HOST: Final = "x-original-host"
_TARGET: Final = "x-original-uri"
_FORWARDED_METHOD: Final = "x-forwarded-method"
_FORWARDED_HOST: Final = "x-forwarded-host"
_FORWARDED_TARGET: Final = "x-forwarded-uri"
_FORWARDED_PROTO: Final = "x-forwarded-proto"
_PARTIAL_BODY: Final = "x-envoy-auth-partial-body"

_NGINX: Final = frozenset({_TARGET, _METHOD, _HOST})
_FORWARDED: Final = frozenset(
    {_FORWARDED_TARGET, _FORWARDED_METHOD, _FORWARDED_HOST, _FORWARDED_PROTO}
)

# Of the question, not of the request that is asked about.
_OWN: Final = frozenset(
    {
        _SERVER,
        *_NGINX,
        *_FORWARDED,
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "transfer-encoding",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-server",
        "x-original-proto",
        "x-original-url",
    }
)

_TWO_HOSTS: Final = Refusal(Reason.MALFORMED_REQUEST, "Host occurs twice")


def from_nginx(asked: HttpRequest) -> Request | Refusal:
    """What nginx's auth_request asks: the original request stands in ``X-Original-*``.

    It cannot remove headers by pattern, so look-alikes are refused.
    """
    headers = asked.headers
    if asked.repeated or not headers.keys() >= _NGINX:
        unclear = _unclear(asked, _NGINX, _SERVER)
        if unclear:
            return unclear
    return Request(
        method=headers[_METHOD],
        host=headers[_HOST],
        target=headers[_TARGET],
        server=headers.get(_SERVER),
        headers=_others(headers),
        repeated=asked.repeated,
        body=asked.body or None,
        refuse_lookalikes=True,
        in_band=False,
    )


def from_forwarder(asked: HttpRequest) -> Request | Refusal:
    """What Traefik, Caddy or HAProxy asks: the original stands in ``X-Forwarded-*``.

    Not all of them can remove headers by pattern, so look-alikes are refused.
    """
    headers = asked.headers
    if asked.repeated or not headers.keys() >= _FORWARDED:
        unclear = _unclear(asked, _FORWARDED)
        if unclear:
            return unclear
    return Request(
        method=headers[_FORWARDED_METHOD],
        host=headers[_FORWARDED_HOST],
        target=headers[_FORWARDED_TARGET],
        headers=_others(headers),
        repeated=asked.repeated,
        body=asked.body or None,
        refuse_lookalikes=True,
        in_band=False,
    )


def from_envoy(asked: HttpRequest, target: str) -> Request | Refusal:
    """What Envoy's ``http_service`` asks: the original request, less the path prefix.

    ``target`` is what follows the prefix. Envoy joins repeated lines before it asks. Where it is
    told to send bodies, it says of each whether it is a part of one.
    """
    request = _as_it_is(asked, target, joined=True, in_band=False)
    partial = asked.headers.get(_PARTIAL_BODY)
    if (asked.body or partial is not None) and isinstance(request, Request):
        request.body = asked.body
        request.body_truncated = partial not in (None, "false")
    return request


def from_client(asked: HttpRequest) -> Request | Refusal:
    """A request for a document, or a preflight: taken for what it is."""
    return _as_it_is(asked, asked.target, joined=False, in_band=True)


def _as_it_is(asked: HttpRequest, target: str, *, joined: bool, in_band: bool) -> Request | Refusal:
    if "host" in asked.repeated:
        return _TWO_HOSTS
    return Request(
        method=asked.method,
        host=asked.headers.get("host", ""),
        target=target,
        headers=_others(asked.headers),
        repeated=asked.repeated,
        joined=joined,
        in_band=in_band,
    )


def _unclear(asked: HttpRequest, needed: frozenset[str], *once: str) -> Refusal | None:
    lacking = needed.difference(asked.headers)
    if lacking:
        names = " and no ".join(sorted(lacking))
        return Refusal(Reason.MALFORMED_REQUEST, f"the proxy sends no {names}")
    twice = asked.repeated.intersection((*needed, *once))
    if twice:
        names = " and ".join(sorted(twice))
        return Refusal(Reason.MALFORMED_REQUEST, f"{names} occurs twice")
    return None


def _others(headers: dict[str, str]) -> dict[str, str]:
    """The headers of the original request, without those of the question."""
    others = headers.copy()
    for name in _OWN.intersection(headers):
        del others[name]
    return others

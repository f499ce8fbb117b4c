"""HTTP auth sub-requests as pure functions: what nginx, Traefik, Caddy, HAProxy and Envoy ask.

docs/contract.md, section 7. Each flavour reads its own headers and no other's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from extauthz.core.model import Reason, Refusal, Request

from .http_message import RawHeaders

_Read = tuple[dict[str, str], frozenset[str]]

_BLANKS: Final = " \t"
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ONCE: Final[frozenset[str]] = frozenset()
# Of the question, not of the request that is asked about.
_OWN: Final = ("host", "connection", "content-length", "transfer-encoding", "keep-alive")
_OWN_PREFIXES: Final = ("x-original-", "x-forwarded-")

_NGINX: Final = ("x-original-method", "x-original-host", "x-original-uri")
_FORWARDED: Final = ("x-forwarded-method", "x-forwarded-host", "x-forwarded-uri")
_FORWARDED_PROTO: Final = "x-forwarded-proto"
_SERVER: Final = "x-mcp-server"

_BAD_HEADER: Final = Refusal(Reason.MALFORMED_REQUEST, "a header holds a control character")
_TWO_HOSTS: Final = Refusal(Reason.MALFORMED_REQUEST, "Host occurs twice")


def from_nginx(lines: RawHeaders) -> Request | Refusal:
    """What nginx's auth_request asks: the original request stands in ``X-Original-*``.

    nginx cannot remove headers by pattern, so look-alikes are refused.
    """
    read = _read(lines)
    if isinstance(read, Refusal):
        return read
    headers, repeated = read
    unclear = _unclear(headers, repeated, _NGINX, (_SERVER,))
    if unclear:
        return unclear
    method, host, target = (headers[name] for name in _NGINX)
    server = headers.pop(_SERVER, None)
    _drop_own(headers)
    return Request(
        method=method,
        host=host,
        target=target,
        headers=headers,
        repeated=repeated,
        server=server,
        refuse_lookalikes=True,
        in_band=False,
    )


def from_forwarder(lines: RawHeaders) -> Request | Refusal:
    """Traefik's, Caddy's or HAProxy's question: the original stands in ``X-Forwarded-*``."""
    read = _read(lines)
    if isinstance(read, Refusal):
        return read
    headers, repeated = read
    unclear = _unclear(headers, repeated, (*_FORWARDED, _FORWARDED_PROTO))
    if unclear:
        return unclear
    method, host, target = (headers[name] for name in _FORWARDED)
    headers.pop(_SERVER, None)
    _drop_own(headers)
    return Request(
        method=method,
        host=host,
        target=target,
        headers=headers,
        repeated=repeated,
        in_band=False,
    )


def from_envoy(method: str, target: str, lines: RawHeaders) -> Request | Refusal:
    """Envoy's ``http_service``: the original request itself, less the path prefix.

    ``target`` is what follows the prefix. Envoy joins repeated lines before it asks.
    """
    return _as_it_is(method, target, lines, joined=True, in_band=False)


def from_client(method: str, target: str, lines: RawHeaders) -> Request | Refusal:
    """A request for a document, or a preflight: answered for what it is."""
    return _as_it_is(method, target, lines, joined=False, in_band=True)


def _as_it_is(
    method: str, target: str, lines: RawHeaders, *, joined: bool, in_band: bool
) -> Request | Refusal:
    read = _read(lines)
    if isinstance(read, Refusal):
        return read
    headers, repeated = read
    if "host" in repeated:
        return _TWO_HOSTS
    host = headers.get("host", "")
    headers.pop(_SERVER, None)
    _drop_own(headers)
    return Request(
        method=method,
        host=host,
        target=target,
        headers=headers,
        repeated=repeated,
        joined=joined,
        in_band=in_band,
    )


def _read(lines: RawHeaders) -> _Read | Refusal:
    """Headers by lower-case name, and the names that came more than once."""
    # One pass at the speed of a comprehension; what it may have got wrong is done again.
    headers = {str(name, "latin-1"): str(value, "latin-1").strip(_BLANKS) for name, value in lines}
    repeated = _ONCE
    if len(headers) != len(lines) or not "".join(headers).islower():
        headers, repeated = _joined(lines)
    everything = "".join(headers.values())
    if not everything.isprintable() and _CONTROL.search(everything):
        return _BAD_HEADER
    return headers, repeated


def _joined(lines: RawHeaders) -> _Read:
    headers: dict[str, str] = {}
    repeated: set[str] = set()
    for name, value in lines:
        key, text = str(name, "latin-1").lower(), str(value, "latin-1").strip(_BLANKS)
        if key in headers:
            repeated.add(key)
            text = f"{headers[key]},{text}"
        headers[key] = text
    return headers, frozenset(repeated)


def _unclear(
    headers: dict[str, str],
    repeated: frozenset[str],
    needed: Iterable[str],
    once: tuple[str, ...] = (),
) -> Refusal | None:
    for name in needed:
        if name not in headers:
            return Refusal(Reason.MALFORMED_REQUEST, f"the proxy sends no {name}")
    if repeated:
        for name in (*needed, *once):
            if name in repeated:
                return Refusal(Reason.MALFORMED_REQUEST, f"{name} occurs twice")
    return None


def _drop_own(headers: dict[str, str]) -> None:
    for name in _OWN:
        headers.pop(name, None)
    for name in [name for name in headers if name.startswith(_OWN_PREFIXES)]:
        del headers[name]

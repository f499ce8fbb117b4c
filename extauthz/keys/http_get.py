"""One bounded GET, by the HTTP library."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from functools import cache
from urllib.parse import urljoin

import httpcore
import httpx

from .addresses import Address, BadAddress, check_scheme
from .apart import apart
from .connecting import Connections
from .fetch import Fetched, FetchError, FetchLimits
from .rationed import TooMuchBesides

MAX_REDIRECTS = 3

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,256}"')
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?([0-9]{1,15})\"?\s*(?=,|$)", re.IGNORECASE)
_STATUS = re.compile(r"[0-9]{3}\b")
_SECONDS = re.compile(r"[0-9]{1,15}")
_HEADERS = {
    "Accept": "application/json, application/jwk-set+json",
    # What is not compressed cannot be a bomb.
    "Accept-Encoding": "identity",
    "User-Agent": "extauthz",
}


async def get(url: str, limits: FetchLimits, etag: str | None) -> Fetched:
    """As ``fetch``."""
    where = _shown(url) + (f" through {limits.egress_proxy}" if limits.egress_proxy else "")
    try:
        async with asyncio.timeout(limits.timeout):
            return await _get(url, limits, etag)
    except (BadAddress, TooMuchBesides) as fault:
        raise FetchError(f"{where}: {fault}") from None
    except (TimeoutError, httpx.TimeoutException):
        raise FetchError(
            f"{where}: no complete answer within {limits.timeout:g} s; check that the address is "
            "right and reachable from here"
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as fault:
        raise FetchError(f"{where}: {_explained(fault)}") from None


async def _get(url: str, limits: FetchLimits, etag: str | None) -> Fetched:
    address = Address.of(url)
    check_scheme(address, limits.allow_http_hosts)
    context = await _tls(address, limits.ca_file)
    async with (
        Connections() as connections,
        httpx.AsyncClient(
            transport=_Transport(context, connections, limits.egress_proxy),
            trust_env=False,
            follow_redirects=False,
            timeout=limits.timeout,
        ) as client,
    ):
        target = url
        headers = _HEADERS | ({"If-None-Match": etag} if etag else {})
        for _ in range(1 + MAX_REDIRECTS):
            async with client.stream("GET", target, headers=headers) as response:
                if response.status_code not in _REDIRECTS:
                    counted = connections.ration.content
                    return await _read(response, _shown(target), limits.max_bytes, etag, counted)
                target = _redirected(target, address, response)
    raise FetchError(f"{_shown(url)}: more than {MAX_REDIRECTS} redirects", answered=True)


class _Transport(httpx.AsyncHTTPTransport):
    """The library's own way of sending requests, over connections of ours."""

    def __init__(
        self, context: ssl.SSLContext, connections: Connections, egress_proxy: str | None
    ) -> None:
        super().__init__(verify=context, trust_env=False)
        # It has no argument for the connections.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            proxy=httpcore.Proxy(egress_proxy) if egress_proxy else None,
            network_backend=connections,
        )


def _redirected(target: str, address: Address, response: httpx.Response) -> str:
    location: str = response.headers.get("location", "")
    try:
        following = urljoin(target, location)
        elsewhere = not location or Address.of(following) != address
    except ValueError:
        elsewhere, following = True, ""
    if elsewhere:
        raise FetchError(
            f"{_shown(target)}: redirects elsewhere (status {response.status_code}), which is not "
            "followed; configure the final address",
            answered=True,
        )
    return following


async def _read(
    response: httpx.Response,
    where: str,
    max_bytes: int,
    sent_etag: str | None,
    counted: Callable[[int], None],
) -> Fetched:
    headers = response.headers
    status = response.status_code
    if status == 304 and sent_etag:
        return Fetched(max_age=_max_age(headers), etag=sent_etag, not_modified=True)
    if status != 200:
        raise FetchError(
            f"{where}: status {status} where 200 was expected; check the address",
            answered=True,
            retry_after=_retry_after(headers),
        )
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise FetchError(f"{where}: the answer is compressed, unasked", answered=True)
    too_large = FetchError(
        f"{where}: the answer is larger than {max_bytes} bytes (keys.max_bytes)", answered=True
    )
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > max_bytes:
        raise too_large
    body = bytearray()
    async for chunk in response.aiter_raw():
        counted(len(chunk))
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    tag = headers.get("etag", "")
    return Fetched(
        body=bytes(body),
        max_age=_max_age(headers),
        etag=tag if _ETAG.fullmatch(tag) else None,
        is_html="html" in headers.get("content-type", "").lower(),
    )


async def _tls(address: Address, ca_file: str | None) -> ssl.SSLContext:
    if address.scheme == "http":
        # Trusts nobody; a redirect cannot lead to https anyway.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # In a thread, since it takes some 20 ms.
    try:
        return await apart(_tls_context, ca_file)
    except OSError as fault:
        raise FetchError(
            f"ca_file {ca_file}: {fault.strerror or 'not readable'}; a PEM file of certificates "
            "was expected"
        ) from None


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    # The file is read anew each time, so that a renewed one counts.
    return _quick(ssl.create_default_context(cafile=ca_file)) if ca_file else _public_authorities()


@cache
def _public_authorities() -> ssl.SSLContext:
    return _quick(httpx.create_ssl_context(trust_env=False))


def _quick(context: ssl.SSLContext) -> ssl.SSLContext:
    """Without ephemeral Diffie-Hellman over a group that the other side chooses (TLS 1.2).

    With one of 10,000 bits a handshake takes a second, and requests wait for its end.
    """
    suites = [one["name"] for one in context.get_ciphers() if one["kea"] != "kx-dhe"]
    context.set_ciphers(":".join(suites))
    return context


def _max_age(headers: httpx.Headers) -> float | None:
    """RFC 9111 sections 4.2.1 and 5.2.2.1; of several values the least counts."""
    ages = [int(age) for age in _MAX_AGE.findall(headers.get("cache-control", ""))]
    if not ages:
        return None
    spent = headers.get("age", "")
    return float(max(0, min(ages) - (int(spent) if _SECONDS.fullmatch(spent) else 0)))


def _retry_after(headers: httpx.Headers) -> float | None:
    value = headers.get("retry-after", "")
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        # Both dates are the other side's, so our own clock does not matter.
        pause = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, pause.total_seconds())


def _shown(url: str) -> str:
    """The URL without its query, which may hold what is nobody's business; bounded."""
    text = url.partition("?")[0][:200]
    return text if text.isprintable() and "@" not in text else "the URL"


def _explained(fault: BaseException) -> str:
    for cause in _causes(fault):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not trusted ({cause.verify_message}); "
                "set ca_file if its authority is a private one"
            )
        if isinstance(cause, ssl.SSLError):
            return (
                f"TLS failed ({cause.reason or 'no reason given'}); "
                "check that this address speaks it, version 1.2 or later with ECDHE"
            )
        if isinstance(cause, socket.gaierror):
            return "its name does not resolve; check the address and the DNS seen from here"
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused; check that it is up and reachable from here"
    if isinstance(fault, httpx.ProxyError):
        status = _STATUS.match(str(fault))
        return f"the proxy did not let it through (status {status[0] if status else 'unknown'})"
    if isinstance(fault, httpx.ConnectError):
        return "no connection; check that it is up and reachable from here"
    if isinstance(fault, httpx.InvalidURL):
        return "not a usable URL"
    return f"the answer broke off or is not HTTP ({type(fault).__name__})"


def _causes(fault: BaseException | None, depth: int = 0) -> Iterator[BaseException]:
    if fault is None or depth > 8:
        return
    yield fault
    if isinstance(fault, BaseExceptionGroup):
        for inner in fault.exceptions:
            yield from _causes(inner, depth + 1)
    yield from _causes(fault.__cause__ or fault.__context__, depth + 1)

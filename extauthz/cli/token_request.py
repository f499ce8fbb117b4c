"""The conversation of ``extauthz token`` with an issuer: discovery, then the token endpoint.

Bounded: one deadline for all of it, no redirects, a cap on every answer.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import httpx

from extauthz.config.urls import is_plain_http, split_url, url_host
from extauthz.core.hosts import is_loopback
from extauthz.keys.apart import apart
from extauthz.keys.discovery import metadata_urls

TIMEOUT = 15.0
"""Seconds for discovery and token request together."""

MAX_BYTES = 1024 * 1024
"""Bytes that are read of an answer."""

_LONGEST_LIFE = 366 * 86_400
_B64TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1
_DIGITS = re.compile(r"[0-9]{1,9}")
_NOT_QUOTABLE = re.compile(r"[^ !#-\[\]-~]")  # RFC 6749 section 5.2, of error_description


class TokenError(Exception):
    """No token; the message says where it went wrong and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenQuestion:
    """What to ask which issuer for. ``issuer`` is its identifier, byte for byte."""

    issuer: str
    client_id: str
    scopes: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()

    def members(self) -> dict[str, object]:
        """All of it, for a cache key."""
        return {
            "issuer": self.issuer,
            "client_id": self.client_id,
            "scopes": self.scopes,
            "resources": self.resources,
        }


@dataclass(frozen=True, slots=True)
class GrantedToken:
    """An access token; ``lifetime`` is in seconds, None when the issuer did not say."""

    text: str
    lifetime: float | None


@dataclass(frozen=True, slots=True)
class Way:
    """How an issuer is reached.

    ``ca_file`` holds PEM certificates that are trusted instead of the usual ones. Without
    ``egress_proxy`` the proxies that the environment names are used.
    """

    ca_file: str | None = None
    egress_proxy: str | None = None


def request_token(question: TokenQuestion, secret: str, way: Way = Way()) -> GrantedToken:
    """Ask the issuer for a token. Raises `TokenError` when there is none to be had.

    Not from within an event loop.
    """
    exchange = _Exchange(question.issuer)
    try:
        return asyncio.run(_in_time(question, secret, way, exchange))
    except TimeoutError:
        raise TokenError(f"{exchange.url}: no whole answer within {TIMEOUT:g} s") from None


async def _in_time(
    question: TokenQuestion, secret: str, way: Way, exchange: _Exchange
) -> GrantedToken:
    async with asyncio.timeout(TIMEOUT):
        # A name server may hang too, or an issuer send a little at a time.
        return await apart(_requested, question, secret, way, exchange)


def _requested(question: TokenQuestion, secret: str, way: Way, exchange: _Exchange) -> GrantedToken:
    with _client(question.issuer, way) as exchange.client:
        metadata = _discover(question.issuer, exchange)
        return _grant(question, secret, metadata, exchange)


def _client(issuer: str, way: Way) -> httpx.Client:
    ca_file = way.ca_file
    try:
        verify = ssl.create_default_context(cafile=ca_file) if ca_file else True
    except (OSError, ssl.SSLError) as error:
        raise TokenError(f"cannot read certificates from {ca_file}: {error}") from error
    try:
        return httpx.Client(
            verify=verify,
            proxy=way.egress_proxy,
            follow_redirects=False,
            trust_env=not is_loopback(url_host(issuer) or ""),
            timeout=TIMEOUT,
            # What is not compressed cannot be a bomb.
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )
    except OSError as error:
        raise TokenError(
            "cannot read the file that SSL_CERT_FILE, or the folder that SSL_CERT_DIR names "
            f"({error.strerror or type(error).__name__}); expected certificates in PEM, or neither"
        ) from error
    except (ImportError, ValueError, httpx.InvalidURL):
        # Not told as it is: it may name a password.
        raise TokenError(
            "a proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names cannot be used; "
            "expected http://host:port, or the issuer's host in NO_PROXY"
        ) from None


class _Exchange:
    """Requests of one client. ``url`` is the last that was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client: httpx.Client

    def send(self, method: str, url: str, **parts: Any) -> tuple[int, bytes]:
        """Status and body. Raises `TokenError` when there is no whole answer."""
        self.url, body = url, b""
        try:
            with self.client.stream(method, url, **parts) as answer:
                for chunk in answer.iter_raw():
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise TokenError(f"{url}: the answer is longer than {MAX_BYTES} bytes")
                return answer.status_code, body
        except httpx.TimeoutException:
            raise TimeoutError from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            what = str(error) or type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in what:
                what += "; give --ca-file if its authority is a private one"
            raise TokenError(f"{url}: {what}") from error


def _discover(issuer: str, exchange: _Exchange) -> Mapping[str, object]:
    """The metadata of ``issuer``: the first that names it, byte for byte (RFC 8414, 3.3)."""
    found = []
    for url in client_metadata_urls(issuer):
        status, body = exchange.send("GET", url)
        metadata = _json_object(body) if status == 200 else None
        if metadata is not None and metadata.get("issuer") == issuer:
            return metadata
        if status != 200:
            found.append(f"{url}: status {status}")
        elif metadata is None:
            found.append(f"{url}: no JSON object")
        else:
            named = _quotable(str(metadata.get("issuer")))
            found.append(f"{url}: its `issuer` is {named}; --issuer must equal it byte for byte")
    raise TokenError("no metadata of this issuer:\n  " + "\n  ".join(found))


def client_metadata_urls(issuer: str) -> tuple[str, ...]:
    """Where metadata may be, in the order in which MCP clients look."""
    (oauth, *_), oidc = metadata_urls(issuer, "oauth"), metadata_urls(issuer, "oidc")
    return (oauth, *reversed(oidc))


def _grant(
    question: TokenQuestion, secret: str, metadata: Mapping[str, object], exchange: _Exchange
) -> GrantedToken:
    """The token request (RFC 6749 section 4.4.2) and its answer (section 5)."""
    url = metadata.get("token_endpoint")
    if not isinstance(url, str) or split_url(url) is None or is_plain_http(url):
        raise TokenError("the issuer's metadata names no https `token_endpoint`")
    form: dict[str, str | list[str]] = {"grant_type": "client_credentials"}
    if question.scopes:
        form["scope"] = " ".join(question.scopes)
    if question.resources:
        form["resource"] = list(question.resources)
    auth = None
    methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    if isinstance(methods, list) and "client_secret_basic" in methods:
        auth = httpx.BasicAuth(quote_plus(question.client_id), quote_plus(secret))
    elif isinstance(methods, list) and "client_secret_post" in methods:
        form |= {"client_id": question.client_id, "client_secret": secret}
    else:
        raise TokenError("the issuer takes neither client_secret_basic nor client_secret_post")
    status, body = exchange.send("POST", url, data=form, auth=auth)
    if status != 200:
        raise TokenError(f"{url} refused with status {status}{_oauth_error(body)}")
    answer = _json_object(body) or {}
    text, kind = answer.get("access_token"), answer.get("token_type")
    if not isinstance(text, str) or not _B64TOKEN.fullmatch(text):
        raise TokenError(f"{url}: no usable `access_token` in the answer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise TokenError(f"{url}: the token is of another type than Bearer")
    return GrantedToken(text, _seconds(answer.get("expires_in")))


def _json_object(body: bytes) -> Mapping[str, object] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _seconds(value: object) -> float | None:
    """A lifetime; None for anything that is no sensible number. Some issuers send it as text."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value <= _LONGEST_LIFE else None


def _oauth_error(body: bytes) -> str:
    """What RFC 6749 section 5.2 lets an issuer say about a refusal."""
    content = _json_object(body) or {}
    words = [content.get("error"), content.get("error_description")]
    return "".join(f": {_quotable(word)}" for word in words if isinstance(word, str))


def _quotable(text: str) -> str:
    return _NOT_QUOTABLE.sub("?", text[:200])

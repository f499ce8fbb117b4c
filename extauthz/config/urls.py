"""URLs of the configuration: issuers, resources, origins, what is fetched."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

from extauthz.core.hosts import is_loopback, split_host
from extauthz.core.paths import canonical_path

from .problems import names_user
from .values import shown, wrong

_VISIBLE = re.compile(r"[!-\[\]-~]+")  # visible ASCII without the backslash
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_USUAL_PORT = {"http": 80, "https": 443}


def split_url(text: str) -> SplitResult | None:
    """The parts of an absolute http(s) URL with a plain host; None for anything else."""
    if not _VISIBLE.fullmatch(text):
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    if parts.scheme not in _USUAL_PORT or split_host(parts.netloc) is None:
        return None
    return parts


def url_host(text: str) -> str | None:
    """The canonical host of an http(s) URL; None for text that is not one."""
    parts = split_url(text)
    where = split_host(parts.netloc) if parts else None
    return where[0] if where else None


def is_plain_http(text: str) -> bool:
    """Whether an http URL points at another machine than this one."""
    parts, host = split_url(text), url_host(text)
    return parts is not None and parts.scheme == "http" and not is_loopback(host or "")


def default_name(url: str) -> str:
    """Host and path of a URL, with the port on loopback; text that is no URL as it is."""
    parts = split_url(url)
    where = split_host(parts.netloc) if parts else None
    if parts is None or where is None:
        return url
    host, port = where
    at_port = f":{port}" if port is not None and is_loopback(host) else ""
    return f"{host}{at_port}{parts.path}".rstrip("/")


def exact_origin(url: str) -> str:
    """The origin of an http(s) URL as a browser writes it (RFC 6454 section 6.2).

    Raises ValueError when the URL has no usable host.
    """
    parts = urlsplit(url)
    where = split_host(parts.netloc)
    if where is None:
        raise ValueError("expected an absolute URL with a host")
    host, port = where
    at_port = "" if port in (None, _USUAL_PORT.get(parts.scheme)) else f":{port}"
    return f"{parts.scheme}://{host}{at_port}"


def beyond_origin(upstream: str) -> str:
    """What is wrong with a path in an upstream; empty where there is none."""
    parts = urlsplit(upstream)
    if parts.path in ("", "/"):
        return ""
    return (
        "has a path, but paths are passed on as the client wrote them; expected "
        f"{parts.scheme}://{parts.netloc}, and the MCP server at the path of its resource"
    )


def _check_no_user(text: str) -> None:
    if names_user(text):
        raise wrong(f"{shown(text)} holds a user name or password", "a URL without them")


def check_url(text: str) -> str:
    """An absolute http(s) URL without user, query or fragment."""
    expected = "an absolute URL such as https://host/path"
    _check_no_user(text)
    if split_url(text) is None:
        raise wrong(f"{shown(text)} is not an http(s) URL", expected)
    if "?" in text or "#" in text:
        raise wrong(f"{shown(text)} has a query or a fragment", expected)
    return text


def check_fetched_url(text: str) -> str:
    """An absolute http(s) URL to fetch; it may have a query (Entra's ``?appid=``)."""
    _check_no_user(text)
    if split_url(text) is None or "#" in text:
        expected = "an absolute URL without fragment"
        raise wrong(f"{shown(text)} is not an http(s) URL", expected)
    return text


def check_egress_proxy(text: str) -> str:
    """A proxy that connections to the outside go through (RFC 9110 section 9.3.6)."""
    expected = "http://host:port of the proxy"
    _check_no_user(text)
    parts = split_url(text)
    if parts is None or parts.scheme != "http":
        raise wrong(f"{shown(text)} is not an http URL", expected)
    if parts.path not in {"", "/"} or "?" in text or "#" in text:
        raise wrong(f"{shown(text)} is more than a host and a port", expected)
    return text


def check_issuer(text: str) -> str:
    """The ``iss`` of tokens: a URL without query or fragment (RFC 8414 section 2), or a text.

    Some providers name themselves without a scheme; those need their keys given.
    """
    if not _VISIBLE.fullmatch(text):
        raise wrong(f"{shown(text)} is not an issuer", "the exact iss of its tokens")
    if "{" in text or "}" in text:
        raise wrong(f"{shown(text)} is a template", "one issuer; accepted_issuers takes templates")
    return check_url(text) if "://" in text else text


def check_resource(text: str) -> str:
    """The public URL of an MCP server (RFC 8707 section 2, RFC 9728 section 1.2)."""
    check_url(text)
    if is_plain_http(text):
        expected = "the https URL that clients use, even where TLS ends before the proxy; "
        raise wrong(f"{shown(text)} is plain http", f"{expected}http is for loopback only")
    parts = urlsplit(text)
    path = parts.path or "/"
    canonical = canonical_path(path)
    if canonical is None:
        expected = "a path without //, dot segments, ; or escapes of such"
        raise wrong(f"the path of {shown(text)} has more than one meaning", expected)
    if canonical != path:
        exact = f"{parts.scheme}://{parts.netloc}{canonical}"
        raise wrong(f"{shown(text)} escapes characters without need", exact)
    return text


def check_origin(text: str) -> str:
    """A serialized origin (RFC 6454 section 6.2), or ``*``."""
    if text == "*":
        return text
    _check_no_user(text)
    scheme, separator, rest = text.partition("://")
    try:
        exact = exact_origin(text.removesuffix("/"))
    except ValueError:
        exact = ""
    if not separator or not _SCHEME.fullmatch(scheme) or not exact or "/" in rest[:-1]:
        expected = 'an origin such as https://app.example.com, or "*"'
        raise wrong(f"{shown(text)} is not an origin", expected)
    if text != exact:
        raise wrong(f"{shown(text)} is not how a browser writes it", exact)
    return text


Url = Annotated[str, AfterValidator(check_url)]
EgressProxy = Annotated[str, AfterValidator(check_egress_proxy)]
FetchedUrl = Annotated[str, AfterValidator(check_fetched_url)]
IssuerText = Annotated[str, AfterValidator(check_issuer)]
Resource = Annotated[str, AfterValidator(check_resource)]
Origin = Annotated[str, AfterValidator(check_origin)]

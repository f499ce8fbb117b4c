"""Hosts: read once from a request or a pattern, compared lower-case without final dot."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from .policy import HostPattern

_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*")
_ADDRESS6 = re.compile(r"\[[0-9a-f:.]{2,45}\]")


def split_host(text: str) -> tuple[str, int | None] | None:
    """Split ``host[:port]`` into a canonical host and its port.

    None for anything else: an empty host, two hosts joined by a comma, user information,
    a name with odd characters (RFC 9110 section 7.2, RFC 3986 section 3.2.2).
    """
    if not text.isascii():
        return None  # some letters outside ASCII have an ASCII lower case
    host, colon, port_text = text.lower().rpartition(":")
    if not colon or "]" in port_text:
        host, port_text = text.lower(), ""
    elif not (port_text.isascii() and port_text.isdigit() and len(port_text) <= 5):
        return None
    host = host.removesuffix(".")
    if len(host) > 253 or not (_NAME.fullmatch(host) or _ADDRESS6.fullmatch(host)):
        return None
    if not port_text:
        return host, None
    port = int(port_text)
    return (host, port) if 0 < port < 65536 else None


def parse_host_pattern(text: str) -> HostPattern:
    """Parse a host of ``match.hosts``: ``host``, ``host:port``, ``*.suffix`` or ``*``.

    Raises ValueError that says what was expected.
    """
    if text == "*":
        return HostPattern("*")
    wildcard = text.startswith("*.")
    parts = split_host(text[2:] if wildcard else text)
    if parts is None:
        raise ValueError("expected a host such as mcp.example.com, with :port if it counts")
    host, port = parts
    return HostPattern(f"*.{host}" if wildcard else host, port)


_ADDRESS = re.compile(r"\[.*\]|[0-9]{1,3}(?:\.[0-9]{1,3}){3}")


def may_be_in_dns(host: str) -> bool:
    """Whether a canonical host is a name that anybody may own: no address, and of several labels.

    Whoever owns a name decides what it resolves to, and may change that at any time. Names under
    ``localhost`` are nobody's (RFC 6761 section 6.3).
    """
    return "." in host and not (_ADDRESS.fullmatch(host) or host.endswith(".localhost"))


_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]")


def is_loopback(host: str) -> bool:
    """Whether a canonical host names this machine and no other."""
    return _LOOPBACK.fullmatch(host) is not None


def resource_host(resource: str) -> HostPattern:
    """The host of a resource URL; its port counts on loopback only (contract, section 2).

    Raises ValueError when the URL has no usable host.
    """
    parts = split_host(urlsplit(resource).netloc)
    if parts is None:
        raise ValueError("expected an absolute URL with a host")
    host, port = parts
    return HostPattern(host, port if is_loopback(host) else None)

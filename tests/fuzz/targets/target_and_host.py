"""A target or host that is taken has one meaning, for every reader, and stays as it is."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote_to_bytes

from extauthz.core.hosts import split_host
from extauthz.core.paths import canonical_path

SEEDS = (
    b"/notes/mcp?x=1", b"/notes/%70ublic/x", b"/notes/%2e%2e/x", b"//x", b"/a/../b", b"/a;b",
    b"/a\\b", b"/%zz", b"*", b"http://x/y", b"/caf\xc3\xa9", b"mcp.example.com:443",
    b"[::1]:8080", b"MCP.example.com.", b"a,b", b"user@host", b"1.2.3.4:0", b"/a%25b",
    b"/%41%c3%a9", b"/%c0%ae%c0%ae", b"/%C2%85",
)  # fmt: skip

CHANGES_MEANING = b"/\\.%;?#"


def one(data: bytes) -> None:
    """Raise where the invariant is broken."""
    text = data.decode("utf-8", "surrogateescape")
    _path(text)
    _host(text)


def _path(text: str) -> None:
    path = canonical_path(text)
    if path is None:
        return
    sent = text.partition("?")[0]
    assert path.startswith("/")
    assert path.isascii()
    assert path.isprintable()
    assert " " not in path
    assert canonical_path(path) == path
    assert canonical_path(path + "?anything#at/../all") == path
    # Read once or twice, decoded or not, it leads to the same place.
    assert unquote_to_bytes(path) == unquote_to_bytes(sent)
    assert unquote_to_bytes(unquote_to_bytes(path)) == unquote_to_bytes(path)
    decoded = unquote_to_bytes(path)
    assert not any("\x7f" <= character <= "\x9f" for character in decoded.decode("utf-8"))
    assert decoded.count(b"/") == sent.count("/")
    assert not {b".", b".."} & set(decoded.split(b"/"))
    assert posixpath.normpath(path) in (path, path.rstrip("/") or "/")
    for byte in CHANGES_MEANING:
        assert decoded.count(bytes([byte])) == sent.encode().count(bytes([byte])) - (
            sent.count("%") if byte == ord("%") else 0
        )


def _host(text: str) -> None:
    where = split_host(text)
    if where is None:
        return
    host, port = where
    assert host == host.lower()
    assert host.isascii()
    assert not host.endswith(".")
    assert not set(host) & set(",@/\\?# \t%")
    assert port is None or 0 < port < 65536
    assert split_host(host) == (host, None)
    assert split_host(f"{host}:{port or 80}") == (host, port or 80)

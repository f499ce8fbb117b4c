"""Values as YAML, so that every parser reads the same text back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from extauthz.config.addresses import Address, TcpAddress

from .artefacts import CannotWrite

# Plain scalars that no version of YAML takes for anything but text.
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*|[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
_ESCAPED = {'"': '\\"', "\\": "\\\\"}


def scalar(text: str) -> str:
    """Text as a scalar: plain where that is safe, else in double quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    code = ord(char)
    if 0x20 <= code < 0x7F:
        return _ESCAPED.get(char, char)
    if 0xD800 <= code < 0xE000 or code < 0x20:
        raise CannotWrite(f"a value holds the character U+{code:04X}, which YAML text cannot")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def sequence(texts: Iterable[str]) -> str:
    """Texts as a sequence on one line."""
    return "[" + ", ".join(map(scalar, texts)) + "]"


def envoy_address(address: Address) -> str:
    """An address as Envoy writes it."""
    if isinstance(address, TcpAddress):
        where = f"address: {scalar(address.host)}, port_value: {address.port}"
        return f"{{socket_address: {{{where}}}}}"
    return f"{{pipe: {{path: {scalar(address.path)}}}}}"


Node = str | int | bool | Mapping[str, "Node"] | Sequence["Node"]
"""What a YAML document is made of here."""


def block(node: Node, depth: int = 0) -> str:
    """A document over several lines, mappings in the order they are given."""
    pad = "  " * depth
    if isinstance(node, Mapping):
        if not node:
            return f"{pad}{{}}\n"
        return "".join(f"{pad}{scalar(key)}:{_inside(value, depth)}" for key, value in node.items())
    if isinstance(node, Sequence) and not isinstance(node, str):
        if not node:
            return f"{pad}[]\n"
        return "".join(f"{pad}- {block(item, depth + 1)[len(pad) + 2 :]}" for item in node)
    return f"{pad}{_plain(node)}\n"


def _inside(value: Node, depth: int) -> str:
    if isinstance(value, str | int) or not value:
        return f" {block(value).lstrip()}"
    # A sequence may stand as deep as the key that it belongs to.
    return "\n" + block(value, depth + isinstance(value, Mapping))


def _plain(value: Node) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else scalar(str(value))

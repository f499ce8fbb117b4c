"""Values as YAML, so that every parser reads the same text back."""

from __future__ import annotations

import re
from collections.abc import Iterable

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

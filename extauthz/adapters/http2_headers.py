"""Headers of HTTP/2: HPACK (RFC 7541), and what a request must bring (RFC 9113, section 8)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Generic, TypeVar, cast

from hpack import Decoder, HPACKError
from hpack.table import HeaderTable

from .http2_service import Headers

Read = TypeVar("Read")

_REMEMBERED: Final = 8
_SHORT: Final = 1024
_RESIZES: Final = 0x20
_PSEUDO: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
_WANTED: Final = frozenset({b":method", b":scheme", b":path"})
_OF_CONNECTIONS: Final = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
_NAME: Final = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+")
_LENGTH: Final = re.compile(rb"\d{1,18}")
_NOT_IN_VALUES: Final = re.compile(rb"[\0\r\n]")


class BrokenHeaders(Exception):
    """A block that cannot be read. None that follows it can be, either."""


class HeaderReader(Generic[Read]):
    """Reads the blocks of one connection and gives what ``make`` makes of each.

    A block that comes again, and refers to the same, is not read again: a proxy's calls are
    alike but for their messages. ``max_bytes`` is how large a block may become, reckoned as in
    RFC 9113, section 6.5.2.
    """

    __slots__ = ("_decode", "_known", "_make", "_table")

    def __init__(self, make: Callable[[Headers], Read], *, max_bytes: int) -> None:
        decoder = Decoder(max_header_list_size=max_bytes)
        self._table = decoder.header_table = _Table()
        self._decode = decoder.decode
        self._make = make
        self._known: dict[bytes, Read] = {}

    def read(self, block: bytes) -> Read:
        """What a block holds. Raises BrokenHeaders, after which there is no going on."""
        known = self._known.get(block)
        if known is not None:
            return known
        table = self._table
        table.changed = False
        try:
            headers = cast(Headers, self._decode(block, raw=True))
        except HPACKError as fault:
            raise BrokenHeaders(type(fault).__name__) from None
        read = self._make(headers)
        if table.changed or (block and block[0] & 0xE0 == _RESIZES):
            self._known.clear()
        elif len(block) <= _SHORT and _length(headers) <= 2 * _SHORT:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[block] = read
        return read


def _length(headers: Headers) -> int:
    return sum(len(name) + len(value) for name, value in headers)


class _Table(HeaderTable):
    """Tells whether something was added."""

    changed: bool

    def add(self, name: bytes, value: bytes) -> None:
        self.changed = True
        super().add(name, value)


def malformed(headers: Headers) -> bool:
    """Whether these cannot be the headers of a request (RFC 9113, sections 8.2 and 8.3)."""
    seen: set[bytes] = set()
    regular = False
    for name, value in headers:
        if not _NAME.fullmatch(name) or _NOT_IN_VALUES.search(value):
            return True
        if value.strip(b" \t") != value:
            return True
        if name.startswith(b":"):
            if regular or name in seen or name not in _PSEUDO:
                return True
            seen.add(name)
            continue
        regular = True
        if name in _OF_CONNECTIONS or (name == b"te" and value != b"trailers"):
            return True
        if name == b"content-length" and not _LENGTH.fullmatch(value):
            return True
    return not seen >= _WANTED or not dict(headers)[b":path"]

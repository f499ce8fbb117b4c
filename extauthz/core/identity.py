"""Identity headers: claims as header text, and which inbound headers look like them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii
from urllib.parse import quote

from .claims import MISSING, claim_at
from .model import Headers, Reason, Refusal
from .policy import IDENTITY_HEADERS, Encoding, Server
from .verified import TokenFacts

MAX_TOTAL_BYTES = 16 * 1024
_MAX_USUAL = MAX_TOTAL_BYTES - sum(map(len, IDENTITY_HEADERS))
PREFIX = "x-auth-"
_MAX_KNOWN_NAMES = 256
_MAX_KNOWN_LENGTH = 64
_MAX_NEW_NAMES = 64

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Visible ASCII without %, and no space at either end: most claims are sent as they are.
_USUAL = re.compile(r"[!-$&-~](?:[ -$&-~]*[!-$&-~])?")
_NEEDS_CARE = re.compile(r"[^\x21-\x24\x26-\x7e]")
_NOT_WORD = re.compile(r"[^a-z0-9]")

_CONTROL_REFUSAL = Refusal(
    Reason.MALFORMED_TOKEN, "a claim to be forwarded holds a control character"
)
TOO_LARGE = Refusal(Reason.DENIED_BY_RULE, "the identity headers exceed 16 KiB")


class _ControlCharacterError(Exception):
    pass


def folded(name: str) -> str:
    """A header name as a careless backend may read it: lower-case, all else as ``-``."""
    return _NOT_WORD.sub("-", name.lower())


def header_names(server: Server) -> tuple[str, ...]:
    """The names of all headers that ``server`` may be sent."""
    return (*IDENTITY_HEADERS, *(extra.header for extra in server.forwarded))


class Lookalikes:
    """Tells which inbound headers could be taken for identity headers with these ``names``."""

    __slots__ = ("_folded", "_harmless", "names")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._folded = frozenset(map(folded, names))
        self._harmless = set(names)

    def among(self, headers: Mapping[str, str]) -> tuple[str, ...]:
        """The look-alikes among lower-case header names, the exact names left out."""
        # Proxies send the same few names all day: known ones cost one comparison of sets.
        if headers.keys() <= self._harmless:
            return ()
        found = tuple(
            name for name in headers if name not in self._harmless and self.is_lookalike(name)
        )
        new = {name for name in headers if len(name) <= _MAX_KNOWN_LENGTH} - set(found)
        if len(new) <= _MAX_NEW_NAMES:
            if len(self._harmless) > _MAX_KNOWN_NAMES:
                self._harmless = set(self.names)  # a caller of odd names may not fill it for good
            self._harmless |= new
        return found

    def is_lookalike(self, name: str) -> bool:
        """Whether a name equals an identity name after folding, or has its prefix."""
        bare = folded(name)
        return bare in self._folded or bare.startswith(PREFIX)


def identity_headers(facts: TokenFacts, server: Server) -> Headers | Refusal:
    """The headers that tell ``server`` who is calling; absent claims send nothing.

    Refuses claims that hold control characters (``malformed_token``) and more than 16 KiB
    in total (``denied_by_rule``).
    """
    usual = _usual_values(facts, server)
    if usual is not None and not server.forwarded:
        return usual
    try:
        pairs = list(usual or _careful_values(facts, server))
        for extra in server.forwarded:
            value = claim_at(facts.claims, extra.claim)
            if value is not MISSING:
                pairs.append((extra.header, _encoded(value, extra.encoding)))
    except _ControlCharacterError:
        return _CONTROL_REFUSAL
    headers = tuple([pair for pair in pairs if pair[1]])
    if sum([len(name) + len(value) for name, value in headers]) > MAX_TOTAL_BYTES:
        return TOO_LARGE
    return headers


def _usual_values(facts: TokenFacts, server: Server) -> Headers | None:
    """The headers where every claim is sent as it is: one look at them all instead of nine."""
    audiences, scopes = facts.aud, facts.scopes
    expires, issued_at = facts.expires, facts.issued_at
    values = (
        facts.subject or "",
        facts.issuer_value,
        facts.client_id or "",
        " ".join(scopes),
        audiences[0] if len(audiences) == 1 else " ".join(audiences),
        facts.token_id or "",
        "" if issued_at is None else str(int(issued_at)),
        str(int(expires)),
        server.name,
    )
    # Each line end adds one to the length of the JSON text, and so would anything in the values
    # that is not printable ASCII, a quote or a backslash. Without empty elements there is no blank
    # at an end if there are no others than those between elements.
    together = "\n".join(values)
    if (
        len(together) > _MAX_USUAL
        or len(encode_basestring_ascii(together)) != len(together) + len(values) + 1
        or "%" in together
        or "" in audiences
        or "" in scopes
        or together.count(" ") != (len(scopes) or 1) + (len(audiences) or 1) - 2
    ):
        return None
    headers = tuple(zip(IDENTITY_HEADERS, values, strict=True))
    return headers if all(values) else tuple([pair for pair in headers if pair[1]])


def _careful_values(facts: TokenFacts, server: Server) -> Headers:
    values = (
        _text(facts.subject),
        _text(facts.issuer_value),
        _text(facts.client_id),
        _joined(facts.scopes, " "),
        _joined(facts.aud, " "),
        _text(facts.token_id),
        _whole(facts.issued_at),
        _whole(facts.expires),
        _text(server.name),
    )
    return tuple(zip(IDENTITY_HEADERS, values, strict=True))


def server_header(server: Server) -> Headers:
    """The one header that also a public path carries."""
    return (("x-auth-server", _text(server.name)),)


def _whole(seconds: float | None) -> str:
    return "" if seconds is None else str(int(seconds))


def _text(value: str | None) -> str:
    if value is None or _USUAL.fullmatch(value):
        return value or ""
    return _ends(_safe(value))


def _joined(elements: Sequence[str], separator: str) -> str:
    text = separator.join(elements)
    if _USUAL.fullmatch(text) and text.count(separator) == len(elements) - 1:
        return text
    escaped = {" ": "%20", ",": "%2C"}[separator]
    return _ends(separator.join(_safe(element).replace(separator, escaped) for element in elements))


def _safe(value: str) -> str:
    if _NEEDS_CARE.search(value) is None:
        return value
    if _CONTROL.search(value):
        raise _ControlCharacterError
    return quote(value, safe=_VISIBLE)


def _ends(value: str) -> str:
    """Percent-encode spaces at either end, which HTTP would take for padding."""
    inner = value.strip(" ")
    if len(inner) == len(value):
        return value
    if not inner:
        return "%20" * len(value)
    before = len(value) - len(value.lstrip(" "))
    after = len(value) - len(value.rstrip(" "))
    return "%20" * before + inner + "%20" * after


_VISIBLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def _encoded(value: object, encoding: Encoding) -> str:
    if encoding is Encoding.TEXT:
        if isinstance(value, list):
            elements = [_scalar(element) for element in value if element is not None]
            texts = [text for text in elements if text is not None]
            return _joined(texts, ",") if len(texts) == len(elements) else ""
        return _ends(_safe(_scalar(value) or ""))
    _refuse_control(value)
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    if encoding is Encoding.BASE64JSON:
        return base64.b64encode(text.encode("ascii")).decode("ascii")
    return text


def _scalar(value: object) -> str | None:
    """A scalar as text; None for what text cannot carry (objects, nested arrays)."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return None


def _refuse_control(value: object) -> None:
    if isinstance(value, str):
        if _CONTROL.search(value):
            raise _ControlCharacterError
    elif isinstance(value, list):
        for element in value:
            _refuse_control(element)
    elif isinstance(value, Mapping):
        for name, element in value.items():
            _refuse_control(name)
            _refuse_control(element)

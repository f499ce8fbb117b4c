"""A compact JWS taken apart (RFC 7515 section 3.1), without believing a word of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pybase64 import b64decode

from . import strict_json
from .model import Reason, Refusal
from .policy import SUPPORTED_ALGORITHMS

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_UNSIGNED = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.")
_MAX_KID = 1024


@dataclass(frozen=True, slots=True)
class TokenHeader:
    """The JOSE header members that count (RFC 7515 section 4.1); absent ``typ`` reads JWT."""

    algorithm: str
    kid: str | None
    token_type: str


# Headers of one issuer hardly ever differ; what they say is worth parsing once.
_HEADERS: dict[str, TokenHeader] = {}
_MAX_HEADERS = 1024
_MAX_HEADER_LENGTH = 512
_NOT_BASE64 = Refusal(Reason.MALFORMED_TOKEN, "not base64url")
_NOT_VERIFIED = Refusal(Reason.UNSUPPORTED_ALGORITHM, "header alg is not one that is verified here")
_STRIPPED = Refusal(Reason.MALFORMED_TOKEN, "the signature is missing")
_SHARED_SECRET = Refusal(
    Reason.UNSUPPORTED_ALGORITHM, "signed with a shared secret, which is never accepted"
)


class Parts(NamedTuple):
    """What a compact JWS with a JSON object in it is made of. Nobody vouches for any of it."""

    header: TokenHeader
    claims: Mapping[str, object]
    signing_input: bytes
    signature: bytes


def take_apart(text: str, max_bytes: int) -> Parts | Refusal:
    """The parts of a token; ``max_bytes`` is checked before anything else looks at the text."""
    if len(text) > max_bytes:
        return Refusal(Reason.TOKEN_TOO_LARGE, "longer than tokens.max_bytes")
    # From both ends, which is several times faster than splitting it.
    signed, _, signature_part = text.rpartition(".")
    header_part, _, claims_part = signed.partition(".")
    if not (header_part and claims_part and signature_part) or "." in claims_part:
        return _misshapen(text)
    header = _HEADERS.get(header_part) or _header(header_part)
    if isinstance(header, Refusal):
        return header if header is not _NOT_BASE64 else _misshapen(text)
    try:
        claims = strict_json.parse(_decode(claims_part))
        signature = _decode(signature_part)
    except strict_json.NotStrictJson as fault:
        return Refusal(Reason.MALFORMED_TOKEN, f"claims: {fault}")
    except ValueError:
        return _misshapen(text)
    if not isinstance(claims, dict):
        return Refusal(Reason.MALFORMED_TOKEN, "the claims are not an object")
    return Parts(header, claims, signed.encode("ascii"), signature)


def _misshapen(text: str) -> Refusal:
    if _COMPACT.fullmatch(text):
        return _NOT_BASE64
    if _UNSIGNED.fullmatch(text):
        header = _header(text.partition(".")[0])
        return header if isinstance(header, Refusal) else _STRIPPED
    if text.count(".") == 4:
        return Refusal(Reason.MALFORMED_TOKEN, "an encrypted token (JWE); it must be signed")
    if text.count(".") < 2:
        return Refusal(Reason.MALFORMED_TOKEN, "an opaque token; a JWT is needed")
    return Refusal(Reason.MALFORMED_TOKEN, "not three base64url parts")


def _header(part: str) -> TokenHeader | Refusal:
    try:
        header = strict_json.parse(_decode(part))
    except strict_json.NotStrictJson as fault:
        return Refusal(Reason.MALFORMED_TOKEN, f"header: {fault}")
    except ValueError:
        return _NOT_BASE64
    if not isinstance(header, dict):
        return Refusal(Reason.MALFORMED_TOKEN, "the header is not an object")
    algorithm, kid, token_type = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str):
        return Refusal(Reason.MALFORMED_TOKEN, "header alg is not a string")
    if algorithm not in SUPPORTED_ALGORITHMS:
        return _SHARED_SECRET if algorithm.startswith("HS") else _NOT_VERIFIED
    # RFC 7515 section 4.1.11: what we do not understand and is critical, we refuse; that
    # covers b64 (RFC 7797), which is only honoured when it is critical.
    if "crit" in header or "b64" in header:
        return Refusal(Reason.MALFORMED_TOKEN, "header has crit or b64")
    if "kid" not in header:
        kid = None
    elif not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID:
        return Refusal(Reason.MALFORMED_TOKEN, "header kid is not a string of usable length")
    if not isinstance(token_type, str):
        return Refusal(Reason.WRONG_TOKEN_TYPE, "header typ is not a string")
    parsed = TokenHeader(algorithm, kid, token_type)
    if len(part) <= _MAX_HEADER_LENGTH:
        if len(_HEADERS) >= _MAX_HEADERS:
            _HEADERS.clear()
        _HEADERS[part] = parsed
    return parsed


def _decode(part: str) -> bytes:
    """The bytes of base64url without padding (RFC 7515 section 2). Raises ValueError."""
    # Spare bits must be zero, so that one signature has one spelling (RFC 4648 section 3.5).
    spare = len(part) % 4
    if part[-1] not in _LAST[spare]:
        raise ValueError("impossible length or spare bits set")
    # The decoder takes these two of the other alphabet as well.
    if "+" in part or "/" in part:
        raise ValueError("base64, but not base64url")
    return b64decode(part + _PADDING[spare], "-_", validate=True)


_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LAST = (
    frozenset(_ALPHABET),
    frozenset[str](),
    frozenset(_ALPHABET[::16]),
    frozenset(_ALPHABET[::4]),
)
_PADDING = ("", "", "==", "=")

"""Finding the bearer token of a request (RFC 6750 section 2.1, RFC 9110 section 11)."""

from __future__ import annotations

import re

from .model import Reason, Refusal, Request
from .paths import split_target

_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_TOKEN68_OCTETS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
_JOINED = re.compile(r",[ \t]*bearer(?:[ \t,]|$)", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")

# The name as it is, or with any of its characters percent-encoded.
_TOKEN_PARAMETER = re.compile(
    "(?:^|&)" + "".join(f"(?:{letter}|%(?i:{ord(letter):02x}))" for letter in "access_token") + "="
)
_USUAL = frozenset({"Bearer ", "bearer "})

MISSING = Refusal(Reason.MISSING_TOKEN)
_TWO = Refusal(Reason.MALFORMED_REQUEST, "more than one credential in Authorization")
_IN_QUERY = Refusal(Reason.MALFORMED_REQUEST, "a token in the query beside the header")
_ODD = Refusal(Reason.MALFORMED_TOKEN, "what follows Bearer is not a token")


def usual_bearer(request: Request) -> str | None:
    """What follows ``Bearer `` in a request without oddities, to be looked up, not believed."""
    value = request.headers.get("authorization")
    if (
        value is None
        or value[:7] not in _USUAL
        or "authorization" in request.repeated
        or ("?" in request.target and _in_query(request.target))
    ):
        return None
    return value[7:]


def bearer_token(request: Request) -> str | Refusal:
    """The token text of the Authorization header, or why there is none to judge.

    The query, the body and cookies are never looked at for a token; one in the query
    beside the header refuses the request (RFC 6750 section 2: one method only).
    """
    value = request.headers.get("authorization")
    if value is None:
        return MISSING
    if "authorization" in request.repeated:
        return _TWO
    scheme, blank, token = value.partition(" ")
    if "," in value and (scheme.lower() == "bearer" or _JOINED.search(value)):
        return _TWO
    if scheme.lower() != "bearer":
        if not value or _SCHEME.fullmatch(scheme):
            return MISSING
        return _ODD
    token = token.strip(" ") if blank else ""
    if not token:
        return MISSING
    if not _is_token68(token):
        return _ODD
    if _in_query(request.target):
        return _IN_QUERY
    return token


def _is_token68(text: str) -> bool:
    # Most tokens hold nothing else: then nothing is left without these characters, which is
    # told in a fraction of the time.
    if text.isascii() and not text.encode("ascii").translate(None, _TOKEN68_OCTETS):
        return True
    return _TOKEN68.fullmatch(text) is not None


def _in_query(target: str) -> bool:
    return _TOKEN_PARAMETER.search(split_target(target)[1]) is not None

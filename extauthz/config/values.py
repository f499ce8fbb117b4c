"""Single values of the configuration: durations, sizes, names, scopes, claims, hosts.

Each parser takes what the file holds and raises PydanticCustomError with a sentence that
says what is wrong and what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, PlainValidator, WithJsonSchema, WrapValidator
from pydantic_core import PydanticCustomError

from extauthz.core.claims import claim_path
from extauthz.core.hosts import parse_host_pattern, split_host
from extauthz.core.paths import canonical_path
from extauthz.core.policy import MCP_VERSION, NAME, SUPPORTED_ALGORITHMS

from .problems import quoted

FAULT: Final = "config_fault"
"""The type of our own validation errors, whose message is already the whole text."""


def wrong(what: str, expected: str) -> PydanticCustomError:
    """A validation error in the two parts that every problem has."""
    return PydanticCustomError(
        FAULT, "{what}; expected {expected}", {"what": what, "expected": expected}
    )


def shown(value: object) -> str:
    """How a value is named to the reader."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int | float):
        return f"the number {value}"
    return "a mapping" if isinstance(value, dict) else "a list"


def text_of(value: object, expected: str) -> str:
    """The value if it is text; else an error that says so."""
    if not isinstance(value, str):
        raise wrong(f"found {shown(value)}", expected)
    return value


_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)")
_SIZE = re.compile(r"([0-9]{1,9})(KiB|MiB)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"KiB": 1024, "MiB": 1024 * 1024}
_A_DURATION = "a duration such as 500ms, 30s, 10m or 24h"
_A_SIZE = "a size such as 16KiB or 1MiB"


def parse_duration(value: object) -> float:
    """``500ms``, ``30s``, ``10m``, ``24h`` as seconds."""
    match = _DURATION.fullmatch(text_of(value, _A_DURATION))
    if match is None:
        raise wrong(f"{shown(value)} is not a duration", _A_DURATION)
    return float(match[1]) * _SECONDS[match[2]]


def parse_size(value: object) -> int:
    """``16KiB``, ``1MiB`` as bytes."""
    match = _SIZE.fullmatch(text_of(value, _A_SIZE))
    if match is None:
        raise wrong(f"{shown(value)} is not a size", _A_SIZE)
    return int(match[1]) * _BYTES[match[2]]


_N = TypeVar("_N", int, float)


def within(least: str, most: str, parse: Callable[[object], _N]) -> WrapValidator:
    """Bounds, written as the reader would write the value."""

    def check(value: object, read: Callable[[object], _N]) -> _N:
        number = read(value)
        if not parse(least) <= number <= parse(most):
            raise wrong(f"{shown(value)} is out of range", f"{least} to {most}")
        return number

    return WrapValidator(check)


def _pattern(expression: re.Pattern[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{expression.pattern}$"})


Duration = Annotated[
    float,
    PlainValidator(parse_duration),
    _pattern(_DURATION),
]
Size = Annotated[
    int,
    PlainValidator(parse_size),
    _pattern(_SIZE),
]

MAX_NAME: Final = 253
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+(?:/[A-Za-z0-9!#$&^_.+-]+)?")
_PLAIN_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f]+")


def check_name(text: str) -> str:
    """A name that is safe in a header, a metric label and a proxy's configuration."""
    if not NAME.fullmatch(text):
        expected = "letters, digits and ._~:/@%+- (write a name where the default has others)"
        raise wrong(f"{shown(text)} cannot be a name", expected)
    return text


def check_text(text: str) -> str:
    """Text that is not empty and holds no control character."""
    if not _PLAIN_TEXT.fullmatch(text):
        raise wrong(f"{shown(text)} is empty or holds a control character", "plain text")
    return text


def check_scope(text: str) -> str:
    """A scope token (RFC 6749 section 3.3)."""
    if not _SCOPE.fullmatch(text):
        expected = "one scope: visible ASCII without space, double quote or backslash"
        raise wrong(f"{shown(text)} is not a scope", expected)
    return text


def check_claim(text: str) -> str:
    """A claim's name, or a JSON Pointer to a nested one (RFC 6901)."""
    try:
        claim_path(text)
    except ValueError as error:
        what = f"{shown(text)} names no claim ({error})"
        raise wrong(what, "a claim's name or a JSON Pointer such as /realm_access/roles") from None
    return text


def check_algorithm(text: str) -> str:
    """A signature algorithm that is asymmetric and supported (RFC 7518, RFC 8037, RFC 9864)."""
    if text not in SUPPORTED_ALGORITHMS:
        what = f"{shown(text)} is not supported"
        if text.startswith("HS"):
            what = f"{shown(text)} signs with a shared secret, which is never accepted"
        raise wrong(what, "one of " + ", ".join(SUPPORTED_ALGORITHMS))
    return text


def check_token_type(text: str) -> str:
    """A JOSE ``typ`` (RFC 7515 section 4.1.9)."""
    if not _TYPE.fullmatch(text):
        raise wrong(f"{shown(text)} is not a token type", "a JOSE typ such as at+jwt or JWT")
    return text


def check_version(text: str) -> str:
    """A protocol version of MCP."""
    if not MCP_VERSION.fullmatch(text):
        raise wrong(f"{shown(text)} is not a version of MCP", "a date such as 2026-07-28")
    return text


def check_host_pattern(text: str) -> str:
    """A host to match: exact, with a port, ``*.suffix`` or ``*``."""
    try:
        parse_host_pattern(text)
    except ValueError as error:
        expected = str(error).removeprefix("expected ")
        raise wrong(f"{shown(text)} is not a host", f"{expected}; or *.suffix, or *") from None
    return text


def check_exact_host(text: str) -> str:
    """One host without port or wildcard; lower-case, and IPv6 without brackets."""
    where = split_host(text)
    if where is None or where[1] is not None:
        raise wrong(f"{shown(text)} is not a host", "one exact host, without scheme and port")
    return where[0].strip("[]")


def check_path(text: str) -> str:
    """An absolute path with one meaning only, without query."""
    canonical = canonical_path(text)
    if canonical is None or "?" in text or "*" in text:
        expected = "an absolute path without query, star, //, dot segments or ;"
        raise wrong(f"{shown(text)} is not a plain path", expected)
    if canonical != text:
        raise wrong(f"{shown(text)} escapes characters without need", canonical)
    return text


def check_public_path(text: str) -> str:
    """An absolute path, or a prefix of paths that ends in ``/*``."""
    check_path(text.removesuffix("*") if text.endswith("/*") else text)
    return text


Name = Annotated[str, AfterValidator(check_name), _pattern(NAME)]
Text = Annotated[str, AfterValidator(check_text)]
Scope = Annotated[str, AfterValidator(check_scope), _pattern(_SCOPE)]
ClaimName = Annotated[str, AfterValidator(check_claim)]
Algorithm = Annotated[
    str,
    AfterValidator(check_algorithm),
    WithJsonSchema({"type": "string", "enum": list(SUPPORTED_ALGORITHMS)}),
]
TokenType = Annotated[str, AfterValidator(check_token_type)]
McpVersion = Annotated[str, AfterValidator(check_version), _pattern(MCP_VERSION)]
HostText = Annotated[str, AfterValidator(check_host_pattern)]
ExactHost = Annotated[str, AfterValidator(check_exact_host)]
PathText = Annotated[str, AfterValidator(check_path)]
PublicPath = Annotated[str, AfterValidator(check_public_path)]

"""URIs of resources: a rule holds however the client spells what the server will read.

MCP servers make of a URI what its text does not say: the URL classes of Python and JavaScript
resolve dot segments and fold schemes, templates decode escapes and match without the query. So
a rule is looked for by the text and by its meaning, and the two have to be one.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from .model import Reason, Refusal
from .rules import Glob, Rule, RuleMap

LONGEST: Final = 8000
"""Characters of a URI that is judged (RFC 9110 section 4.1); to look at a megabyte takes long."""

_TIMES_DECODED: Final = 4
_STAR: Final = "%2A"
_ESCAPED_STAR: Final = re.compile(r"%2a", re.IGNORECASE)
_SPECIAL: Final = {"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21", "file": ""}
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_END: Final = re.compile(r"[/?#]")
_ODD: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_DOTS: Final = re.compile(r"(?:\A|[/:])\.\.?(?=[/?#]|\Z)")
_QUERY: Final = re.compile(r"[?#]")
_EMPTY_PART: Final = re.compile(r"\A:?@|:@|:(?:0[0-9]*)?\Z")
_NUMBER: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)
_IPV4: Final = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})(?:\.(?!\Z)|\Z)){4}")

_UNCLEAR: Final = Refusal(Reason.MALFORMED_REQUEST, "params.uri is not spelled in the usual way")
_TOO_LONG: Final = Refusal(
    Reason.MALFORMED_REQUEST, f"params.uri is longer than {LONGEST} characters"
)
_AMBIGUOUS: Final = Refusal(
    Reason.MALFORMED_REQUEST, "params.uri is under one rule by its text and another by its meaning"
)


class UriRules:
    """The rules for resources of one server, by the texts of their keys and by their meaning."""

    def __init__(self, rules: RuleMap) -> None:
        self._rules = rules
        self._meant = RuleMap(
            {_key_meaning(key): rule for key, rule in rules.exact.items()},
            tuple(
                (Glob.parse(_key_meaning("*".join(glob.parts))), rule) for glob, rule in rules.globs
            ),
        )

    def refusal(self, uri: str) -> Refusal | None:
        """Why a server may read another resource in ``uri`` than the rule for it is about."""
        if not self._rules:
            return None
        if len(uri) > LONGEST:
            return _TOO_LONG
        meaning = _meaning(uri)
        if meaning is None:
            return _UNCLEAR
        rule = self._rules.find(uri)
        if self._meant.find(meaning) is not rule:
            return _AMBIGUOUS
        bare = _QUERY.split(meaning, 1)[0]
        if bare != meaning and not _tells_query(rule) and self._meant.find(bare) is not rule:
            return _AMBIGUOUS
        return None


def _tells_query(rule: Rule | None) -> bool:
    """Whether the key of a rule was written for URIs with a query or a fragment."""
    return rule is not None and _QUERY.search(_key_meaning(rule.key)) is not None


def _meaning(uri: str) -> str | None:
    """One spelling for all that servers take for the same URI; None where that is a guess."""
    text, path = _decoded(uri), _decoded(_QUERY.split(uri, 1)[0])
    if text is None or path is None or uri != uri.strip():
        return None
    # In a query many things are usual, and servers may take it for a part of the path.
    if _ODD.search(uri) or _ODD.search(path) or _DOTS.search(text):
        return None
    # In a key an escaped star stands for itself; so it does here, for want of another.
    return _folded(text.replace("*", _STAR))


def _decoded(text: str) -> str | None:
    """The text without any escapes, also such as another decoding would bring forth."""
    for _ in range(_TIMES_DECODED):
        text, before = unquote(text), text
        if text == before:
            return text
    return None


def _key_meaning(key: str) -> str:
    # A star that is an escape must not become one that matches anything.
    parts = (_decoded(part) or part for part in _ESCAPED_STAR.split(key))
    return _folded(_STAR.join(parts)) or key


def _folded(text: str) -> str | None:
    match = _SCHEME.fullmatch(text)
    if match is None:
        return text
    scheme, rest = match[1].lower(), match[2]
    if scheme in _SPECIAL:
        # However many slashes there are: URL classes read over them.
        rest = "//" + rest.lstrip("/")
    if not rest.startswith("//"):
        return f"{scheme}:{rest}"
    end = _END.search(rest, 2)
    host, path = (rest[2 : end.start()], rest[end.start() :]) if end else (rest[2:], "")
    if _EMPTY_PART.search(host):
        return None
    if scheme == "file":
        # A host is taken for the first part of the path, but for the one that means none.
        return f"file:///{path.lstrip('/') if host.lower() == 'localhost' else host + path}"
    return _web(scheme, host, path) if scheme in _SPECIAL else f"{scheme}:{rest}"


def _web(scheme: str, host: str, path: str) -> str | None:
    host = host.rpartition("@")[2].lower().removesuffix(f":{_SPECIAL[scheme]}")
    if not host.isascii():
        return None
    name = host.partition(":")[0].removesuffix(".")
    if _NUMBER.fullmatch(name.rpartition(".")[2]) and not _IPV4.fullmatch(name):
        return None
    # After a star there may be more of the host, and the path.
    root = "" if path.startswith("/") or host.endswith("*") else "/"
    return f"{scheme}://{host}{root}{path}"

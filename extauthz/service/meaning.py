"""What a configuration means: a digest that is the same however the file was written.

Only what no variable and no flag can change is in it, issuers and servers, so that two processes
started in different surroundings with the same file agree.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from functools import cache
from typing import Any, Final

from extauthz.core.policy import Policy, Server
from extauthz.keys.source import IssuerSource

_DIGITS: Final = 12


def meaning_of(policy: Policy, sources: Iterable[IssuerSource]) -> str:
    """The first digits of a SHA-256 over issuers, where their keys are, and servers.

    Comments, the order of keys, issuers and servers, defaults written out, ``upstream`` and
    settings outside ``issuers`` and ``servers`` make no difference. What has its default is left
    out, so that a version that knows more settings comes to the same, as long as they are not used.
    """
    whole = {
        "issuers": sorted(map(_text, policy.issuers)),
        # What clients are told stands with the issuers already.
        "keys": sorted(_text(replace(source, advertised=None)) for source in sources),
        "servers": sorted(map(_server, policy.servers)),
    }
    return hashlib.sha256(_text(whole).encode()).hexdigest()[:_DIGITS]


def _server(server: Server) -> str:
    # Whole issuers stand in each server; there may be thousands.
    names = [issuer.name for issuer in server.issuers]
    return _text([names, replace(server, issuers=())])


def _text(value: object) -> str:
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | int | float):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        named = ((name, getattr(value, name), usual) for name, usual in _defaults(type(value)))
        return {name: _plain(inner) for name, inner, usual in named if inner != usual}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, frozenset):
        return sorted(map(_text, value))
    if isinstance(value, list | tuple):
        plain = [_plain(inner) for inner in value]
        # What was a map in the file has no order that counts; a list of texts has: a challenge
        # names the first.
        return plain if all(isinstance(one, str) for one in plain) else sorted(plain, key=_text)
    raise TypeError(f"{type(value).__name__} has no form of its own here")


@cache
def _defaults(kind: type[Any]) -> tuple[tuple[str, object], ...]:
    """The fields of a data class, each with its default or a mark that equals nothing."""
    return tuple((field.name, _default(field)) for field in fields(kind))


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()

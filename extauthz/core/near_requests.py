"""What is nearly right about a refused request itself: for ``explain``, never for an answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .bearer import bearer_token
from .hosts import split_host
from .matching import ServerIndex
from .model import Reason, Refusal, Request
from .paths import canonical_path
from .policy import Server

_NAMED_AT_MOST = 10
_BLANK = re.compile(r"\s")
_HEADER = re.compile(r"(?:authorization:\s*)?bearer\s+", re.IGNORECASE)


def token_alone(pasted: str) -> str:
    """The token in what a person pastes: a header copied whole is as good as the token in it."""
    text = pasted.strip()
    header = _HEADER.match(text)
    return text[header.end() :] if header else text


def near_requests(reason: Reason, request: Request, servers: tuple[Server, ...]) -> tuple[str, ...]:
    """Sentences that name what is nearly right about a request refused for ``reason``."""
    if reason is Reason.NO_MATCHING_SERVER:
        return tuple(_elsewhere(request, servers))
    if isinstance(bearer_token(request), Refusal):
        pasted = request.headers.get("authorization", "").partition(" ")[2]
        return tuple(copied_along(pasted.strip()))
    return ()


def _elsewhere(request: Request, servers: tuple[Server, ...]) -> Iterator[str]:
    where, path = split_host(request.host), canonical_path(request.target)
    if where is None or path is None:
        return
    index = ServerIndex(servers)
    meant = index.find(*where, path)
    if meant is not None and request.server is not None:
        yield f"host and path are those of the server {meant.name}: let the proxy name that one"
    elif here := index.on_host(*where):
        listed = _some(f"{p or '/'} ({s.name})" for s in here for p in s.paths)
        yield f"the host is right, the path is not: on it there are {listed}"
    else:
        listed = _some(str(pattern) for server in servers for pattern in server.hosts)
        yield f"no server has this host; there are {listed}: add it to match.hosts if it is meant"


def _some(texts: Iterable[str]) -> str:
    found = list(dict.fromkeys(texts))
    more = len(found) - _NAMED_AT_MOST
    return ", ".join(found[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def copied_along(text: str) -> Iterator[str]:
    """What people copy along with a token, if anything, in a sentence without the token."""
    if text.startswith("{"):
        yield "it is JSON, as the issuer answers: the token is the value of access_token in it"
    elif text[:1] in ("'", '"') or text[-1:] in ("'", '"'):
        yield "the token stands in quotes: leave them out"
    elif _BLANK.search(text):
        yield "there are blanks or line breaks within the token: it is one line without any"

"""What is asked of an issuer's addresses, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

from .apart import apart

_imported: list[ModuleType] = []


class FetchError(Exception):
    """The document could not be had: what from, what went wrong, what to do.

    ``answered`` tells whether the other side answered at all. ``retry_after`` is how many
    seconds it asked us to wait (RFC 9110 section 10.2.3), None when it did not. The
    message holds nothing of the answer's body.
    """

    def __init__(
        self, message: str, *, answered: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.answered = answered
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """Bounds of one fetch: seconds from connecting to the last byte, bytes of the body.

    ``egress_proxy`` is the URL of the proxy that it goes through, if any.
    """

    timeout: float
    max_bytes: int
    ca_file: str | None = None
    egress_proxy: str | None = None
    allow_http_hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """An answer of status 200, or of 304 (``not_modified``, without a body).

    ``max_age`` is the freshness left, in seconds (RFC 9111 section 4.2), None when not said.
    """

    body: bytes = b""
    max_age: float | None = None
    etag: str | None = None
    not_modified: bool = False
    is_html: bool = False


class Fetcher(Protocol):
    """Gets one document; ``fetch`` is the real one."""

    async def __call__(self, url: str, limits: FetchLimits, *, etag: str | None = None) -> Fetched:
        """As ``fetch``."""


async def fetch(url: str, limits: FetchLimits, *, etag: str | None = None) -> Fetched:
    """GET one document, however the other side behaves.

    With ``etag`` the answer may be 304. Redirects are followed at most three times
    and never away from the same scheme, host and port. Proxy settings of the environment
    are not used, but ``limits.egress_proxy`` is. Raises FetchError.
    """
    fetched: Fetched = await (await http_library()).get(url, limits, etag)
    return fetched


async def http_library() -> Any:
    """What does it. Importing it takes a while, of which no issuer's time should go.

    Whose keys are in files never needs it. In a thread, since requests must not wait.
    """
    if not _imported:
        _imported.append(await apart(import_module, ".http_get", __package__))
    return _imported[0]

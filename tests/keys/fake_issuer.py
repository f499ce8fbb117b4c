"""An issuer without a network: what it answers, and what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from extauthz.keys.fetch import Fetched, FetchError, FetchLimits

from .fake_time import FakeTime
from .issuer_keys import ed_key, jwk

ISSUER = "https://idp.example.com/realms/acme"
JWKS_URI = "https://idp.example.com/keys"
METADATA_URL = ISSUER + "/.well-known/openid-configuration"


def document(*kids: str, **members: Any) -> bytes:
    """A JWK set with a key of each id."""
    keys = [jwk(ed_key(kid), kid=kid) for kid in kids]
    return json.dumps({"keys": keys, **members}).encode()


def metadata(issuer: str = ISSUER, jwks_uri: str = JWKS_URI, **members: Any) -> bytes:
    return json.dumps({"issuer": issuer, "jwks_uri": jwks_uri, **members}).encode()


@dataclass
class Asked:
    at: float
    url: str
    etag: str | None


Answer = bytes | Fetched | FetchError | Exception | Callable[[str | None], Any]


@dataclass
class FakeIssuer:
    """Answers by URL, after ``delay`` seconds; ``gate`` holds every answer back while cleared.

    After ``hold`` an answer is what was published when it was asked for, however late it comes.
    """

    time: FakeTime
    pages: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    delay: float = 0.0
    answers_at_once: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    def hold(self) -> None:
        """Answer, but let no answer arrive before ``gate`` is set."""
        self.answers_at_once = True
        self.gate.clear()

    def publish(self, *kids: str, url: str = JWKS_URI, **members: Any) -> None:
        self.pages[url] = Fetched(body=document(*kids), **members)

    def fail(self, url: str = JWKS_URI, message: str = "down", **members: Any) -> None:
        self.pages[url] = FetchError(f"{url}: {message}", **members)

    def times_asked(self, url: str = JWKS_URI) -> list[float]:
        return [asked.at for asked in self.asked if asked.url == url]

    async def fetch(self, url: str, limits: FetchLimits, *, etag: str | None = None) -> Fetched:
        self.asked.append(Asked(self.time.now, url, etag))
        answer = self.pages.get(url)
        await self.gate.wait()
        if self.delay:
            await self.time.sleep(min(self.delay, limits.timeout))
        if self.delay >= limits.timeout:
            raise FetchError(f"{url}: no complete answer")
        if not self.answers_at_once:
            answer = self.pages.get(url)
        if callable(answer):
            answer = answer(etag)
        if answer is None:
            raise FetchError(f"{url}: status 404", answered=True)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Fetched) else Fetched(body=answer)

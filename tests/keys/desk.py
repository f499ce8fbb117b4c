"""A key store in which nothing happens by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from extauthz.keys.source import IssuerSource
from extauthz.keys.status import IssuerStatus, RefreshResult
from extauthz.keys.store import KeyStore

from .fake_issuer import ISSUER, JWKS_URI, FakeIssuer
from .fake_time import FakeTime, settle


@dataclass
class Observed:
    results: list[tuple[str, RefreshResult, float]] = field(default_factory=list)

    def refreshed(self, issuer: str, result: RefreshResult, seconds: float) -> None:
        self.results.append((issuer, result, seconds))


@dataclass
class Desk:
    """One issuer ``corp`` with an explicit key address, and everything around it."""

    time: FakeTime
    issuer: FakeIssuer
    observed: Observed
    stores: list[KeyStore] = field(default_factory=list)

    def source(self, name: str = "corp", **members: Any) -> IssuerSource:
        return IssuerSource(**{"name": name, "issuer": ISSUER, "jwks_uri": JWKS_URI, **members})

    async def open(self, *sources: IssuerSource, snapshot_dir: Path | None = None) -> KeyStore:
        """A started store; every attempt that can end without waiting has ended."""
        store = KeyStore(
            sources or (self.source(),),
            clock=self.time.clock,
            wall=self.time.wall,
            sleep=self.time.sleep,
            random=lambda: 0.0,
            fetcher=self.issuer.fetch,
            snapshot_dir=snapshot_dir,
            observer=self.observed,
        )
        self.stores.append(store)
        await store.start()
        await settle()
        return store


def kids(store: KeyStore, name: str = "corp") -> list[str] | None:
    """The ids of the usable keys, None when there is no usable set."""
    key_set = store.snapshot().get(name)
    return None if key_set is None else sorted(key.kid or "" for key in key_set.keys)


def status(store: KeyStore, name: str = "corp") -> IssuerStatus:
    return next(status for status in store.status() if status.name == name)

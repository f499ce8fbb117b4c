"""A provider as its documents and tokens look, and what extauthz makes of them.

Nothing here comes from a provider's machines: documents and tokens are look-alikes of the
documented shapes, with made-up tenants and keys of our own. Everything else is the real
thing: the configuration is the one on the provider's page, its metadata and keys go through
discovery, and each token through the engine and ``explain``.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from extauthz.cli.explain import _print_text
from extauthz.config.compile import compile_policy
from extauthz.config.load import Loaded, load
from extauthz.core.engine import Engine
from extauthz.core.explain import Explanation, explain, question
from extauthz.core.keyset import KeySet
from extauthz.core.model import Allow, Answer, Reason
from extauthz.demo.minting import SigningKey, signed
from extauthz.keys.fetch import Fetched, FetchError, FetchLimits
from extauthz.keys.load import load_keys
from extauthz.service.sources import issuer_sources
from tests.tokens import ABSENT, NOW, present, renamed, signer

PAGES = Path(__file__).parents[2] / "docs" / "providers"
RESOURCE = "https://mcp.example.com/notes/mcp"
_YAML = re.compile(r"```yaml\n(version: 1\n.*?)```", re.DOTALL)

__all__ = [
    "ABSENT",
    "NOW",
    "PAGES",
    "RESOURCE",
    "Provider",
    "configurations",
    "jwk",
    "load_configuration",
    "page_text",
    "renamed",
    "signer",
]


def page_text(page: str) -> str:
    return (PAGES / f"{page}.md").read_text(encoding="utf-8")


def configurations(page: str) -> list[str]:
    """The configurations on a page, in order."""
    return _YAML.findall(page_text(page))


def load_configuration(text: str) -> Loaded:
    def read(path: str) -> bytes:
        if path != "extauthz.yaml":
            raise FileNotFoundError(path)
        return text.encode()

    return load("extauthz.yaml", environ={}, read=read)


def jwk(key: SigningKey, **changes: object) -> dict[str, Any]:
    """The public key as a provider publishes it: with changes, ABSENT for what it leaves out."""
    return present(key.public_jwk() | changes)


@dataclass(kw_only=True)
class Provider:
    """One configuration of a provider's page, beside the documents that it leads to.

    ``documents`` are JSON by URL. ``claims`` and ``header`` are those of a good token.
    ``edit`` maps text of the configuration to what somebody wrote instead.
    """

    page: str
    documents: Mapping[str, object]
    claims: Mapping[str, object]
    header: Mapping[str, object] = field(default_factory=dict)
    key: SigningKey = field(default_factory=lambda: signer("RS256"))
    config: int = 0
    edit: Mapping[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def edited(self, old: str, new: str) -> Provider:
        """The same provider where somebody wrote ``new`` for ``old`` in the configuration."""
        return replace(self, edit={**self.edit, old: new}, asked=[])

    @cached_property
    def loaded(self) -> Loaded:
        text = configurations(self.page)[self.config]
        for old, new in self.edit.items():
            assert old in text
            text = text.replace(old, new)
        return load_configuration(text)

    @cached_property
    def engine(self) -> Engine:
        return Engine(compile_policy(self.loaded))

    @cached_property
    def _fetched(self) -> tuple[dict[str, KeySet], dict[str, str]]:
        """What the real loading makes of the documents: key sets, and why there are none."""

        async def loading() -> tuple[dict[str, KeySet], dict[str, str]]:
            keys, failed = {}, {}
            for source in issuer_sources(self.loaded):
                try:
                    keys[source.name] = (await load_keys(source, fetcher=self._fetch)).key_set
                except FetchError as fault:
                    failed[source.name] = str(fault)
            return keys, failed

        return asyncio.run(loading())

    @property
    def keys(self) -> KeySet:
        """The keys of the only issuer."""
        (keys,) = self._fetched[0].values()
        return keys

    async def _fetch(self, url: str, limits: FetchLimits, *, etag: str | None = None) -> Fetched:
        self.asked.append(url)
        if url not in self.documents:
            raise FetchError(f"{url}: status 404 where 200 was expected", answered=True)
        return Fetched(body=json.dumps(self.documents[url]).encode())

    def token(
        self,
        *,
        key: SigningKey | None = None,
        header: Mapping[str, object] | None = None,
        **changes: object,
    ) -> str:
        """The good token with changes to its claims and header; ABSENT takes one away."""
        times: dict[str, object] = {"iat": int(NOW) - 10, "exp": int(NOW) + 3590}
        claims = present({**self.claims, **times, **changes})
        members = {"typ": "JWT", **self.header, **(header or {})}
        return self.signed(claims, key, members)

    def signed(
        self,
        claims: Mapping[str, object],
        key: SigningKey | None = None,
        header: Mapping[str, object] | None = None,
    ) -> str:
        """Another kind of token of the same provider."""
        times = {"iat": int(NOW) - 10, "exp": int(NOW) + 3590}
        members = {name: None if v is ABSENT else v for name, v in (header or {}).items()}
        return signed(key or self.key, times | dict(claims), {"typ": "JWT"} | members)

    def explained(self, token: str | None, *, path: str, tool: str | None) -> Explanation:
        keys, failed = self._fetched
        return explain(
            self.engine,
            question(host="mcp.example.com", path=path, tool=tool, token=token),
            keys,
            now=NOW,
            failing=failed,
        )

    def allowed(
        self, token: str, *, tool: str | None = None, path: str = "/notes/mcp"
    ) -> dict[str, str]:
        """The identity headers for a token that passes; what stopped it, if it does not."""
        told = self.explained(token, path=path, tool=tool)
        assert isinstance(told.decision, Allow), self._said(told)
        return {name.removeprefix("x-auth-"): value for name, value in told.decision.headers}

    def refused(
        self, token: str, *, tool: str | None = None, path: str = "/notes/mcp"
    ) -> tuple[Reason | None, str]:
        """Why a token is refused: the reason, and what ``explain`` prints of it."""
        told = self.explained(token, path=path, tool=tool)
        return told.reason, self._said(told)

    def on_page(self, token: str, **asked: Any) -> Reason | None:
        """Why a token is refused, of which the page shows exactly what ``explain`` prints."""
        reason, text = self.refused(token, **asked)
        assert f"```text\n{text}```\n" in page_text(self.page), text
        return reason

    def challenge(self, path: str = "/notes/mcp") -> str:
        """What a client without a token is told."""
        told = self.explained(None, path=path, tool=None)
        return dict(told.decision.headers)["www-authenticate"]

    def metadata(self, path: str = "/notes/mcp") -> dict[str, Any]:
        """The resource metadata that clients read."""
        where = "/.well-known/oauth-protected-resource" + path
        told = self.explained(None, path=where, tool=None)
        assert isinstance(told.decision, Answer)
        document: dict[str, Any] = json.loads(told.decision.body)
        return document

    def _said(self, told: Explanation) -> str:
        """What ``explain`` prints of the check that failed and of the outcome."""
        failed = tuple(step for step in told.steps if not step.passed)
        out = io.StringIO()
        with redirect_stdout(out):
            _print_text(replace(told, steps=failed), self._fetched[1])
        return out.getvalue().partition("\nanswer:")[0]

"""An answer of the edge, and what can be told from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

_REASON = re.compile(r"[a-z_]{1,40}")
_PARAMETER = re.compile(r'([a-z_]+)="([^"]*)"')


_URL = re.compile(r"https?://[!-~]+")


def split_url(text: object) -> SplitResult | None:
    """The parts of an http or https URL that somebody else wrote; None if it is none."""
    if not isinstance(text, str) or _URL.fullmatch(text) is None:
        return None
    try:
        return urlsplit(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. Status 0: the connection was closed without one. Names are lower-case."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def get(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def ok(self) -> bool:
        """Whether the request was answered well, by whomever."""
        return 200 <= self.status < 300

    @property
    def broken(self) -> bool:
        """Whether the edge itself failed: a 5xx that is no refusal of extauthz's."""
        return self.status >= 500 and self.reason is None

    @property
    def reason(self) -> str | None:
        """The reason that extauthz gave for a refusal."""
        found = self.refusal.get("reason")
        return found if isinstance(found, str) and _REASON.fullmatch(found) else None

    @property
    def refusal(self) -> Mapping[str, object]:
        """The body of extauthz's refusal, plain or within a JSON-RPC error."""
        document = self.json()
        if not isinstance(document, dict):
            return {}
        error = document.get("error")
        data = error.get("data") if isinstance(error, dict) else document
        return data if isinstance(data, dict) and "reason" in data else {}

    def json(self) -> object:
        """The body as JSON; None if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def challenge(self) -> dict[str, str] | None:
        """The parameters of the Bearer challenge (RFC 6750 section 3); None without one."""
        for name, value in self.headers:
            if name == "www-authenticate" and value.lower().startswith("bearer"):
                return dict(_PARAMETER.findall(value))
        return None

    def messages(self) -> Iterator[dict[str, object]]:
        """The JSON-RPC messages of an MCP answer, plain or as Server-Sent Events."""
        texts = [self.body]
        if (self.get("content-type") or "").startswith("text/event-stream"):
            lines = self.body.replace(b"\r\n", b"\n").split(b"\n")
            texts = [line[5:] for line in lines if line.startswith(b"data:")]
        for text in texts:
            try:
                message = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(message, dict):
                yield message

    def __str__(self) -> str:
        if self.status == 0:
            return "the connection was closed without an answer"
        return f"{self.status} {self.reason}" if self.reason else str(self.status)

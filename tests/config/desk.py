"""Loads configurations from text, with an environment and files of the test's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from extauthz.config.load import Loaded, load
from extauthz.config.problems import ConfigError

SMALLEST = """\
version: 1
issuers:
  - issuer: https://idp.example.com/realms/acme
servers:
  - resource: https://mcp.example.com/calculator/mcp
"""

HEAD = "version: 1\nissuers:\n  - issuer: https://a.example\n"
TAIL = "servers:\n  - resource: https://m.example/x\n"
SERVERS = HEAD + TAIL


def at_issuer(lines: str) -> str:
    """A good file with these lines in its issuer, from line 4."""
    return HEAD + "".join(f"    {line}\n" for line in lines.split("\n")) + TAIL


def at_server(lines: str) -> str:
    """A good file with these lines in its server, from line 6."""
    return SERVERS + "".join(f"    {line}\n" for line in lines.split("\n"))


@dataclass
class Desk:
    """Files and variables that stand in for the machine's own."""

    files: dict[str, str | bytes | OSError] = field(default_factory=dict)

    def read(self, path: str) -> bytes:
        found = self.files.get(path, FileNotFoundError(2, "No such file or directory"))
        if isinstance(found, OSError):
            raise found
        return found.encode() if isinstance(found, str) else found

    def load(
        self,
        text: str | bytes | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        flags: Mapping[str, str] | None = None,
        config: str | None = None,
    ) -> Loaded:
        if text is not None:
            self.files["./extauthz.yaml"] = text
        return load(config, environ=environ or {}, flags=flags, read=self.read)

    def problems(
        self,
        text: str | bytes | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        flags: Mapping[str, str] | None = None,
        config: str | None = None,
    ) -> list[str]:
        """The problems as people see them; the file's name left out."""
        with pytest.raises(ConfigError) as caught:
            self.load(text, environ=environ, flags=flags, config=config)
        return [str(one).removeprefix("./extauthz.yaml:") for one in caught.value.problems]

    def warnings(
        self, text: str | None = None, *, environ: Mapping[str, str] | None = None
    ) -> list[str]:
        warnings = self.load(text, environ=environ).warnings
        return [str(one).removeprefix("./extauthz.yaml:") for one in warnings]

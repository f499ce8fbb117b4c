"""Where everything of the demo listens, and the files that say so."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from extauthz.config.load import Loaded, load
from extauthz.generate.proxies import Choices, generate

from .serving import LOOPBACK, free_port, is_free

CLIENT_ID = "demo-client"
"""The one OAuth client of the demo's issuer."""

SCOPES = ("calculator.use", "notes.read", "notes.write")
"""Every scope that the demo's issuer grants."""


class DemoError(Exception):
    """The demo cannot go on; the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """TCP ports on 127.0.0.1. The defaults are those of the shipped proxy files."""

    edge: int = 10000
    envoy_admin: int = 9901
    calculator: int = 8001
    notes: int = 8002
    grpc: int = 9191
    http: int = 8080
    admin: int = 9090
    issuer: int = 9000

    @classmethod
    def free(cls, free_port: Callable[[], int] = free_port) -> Ports:
        """Ports that nobody listens on now, all different."""
        found: set[int] = set()
        while len(found) < len(asdict(cls())):
            found.add(free_port())
        return cls(**dict(zip(asdict(cls()), found, strict=True)))

    def resource(self, server: str) -> str:
        """The public URL of an MCP server behind the edge."""
        return f"http://{LOOPBACK}:{self.edge}/{server}/mcp"

    def all_free(self) -> None:
        """Raise `DemoError` when somebody listens on one of the ports."""
        for name, port in asdict(self).items():
            if not is_free(port):
                raise DemoError(f"port {port} ({name}) is taken; leave out --fixed-ports")

    @property
    def issuer_url(self) -> str:
        """The issuer identifier."""
        return f"http://{LOOPBACK}:{self.issuer}"


@dataclass(frozen=True, slots=True)
class WorkDirectory:
    """The folder that holds all that the demo writes."""

    path: Path

    @property
    def extauthz_file(self) -> Path:
        """The configuration of ``extauthz serve``."""
        return self.path / "extauthz.yaml"

    @property
    def envoy_file(self) -> Path:
        """The configuration of Envoy."""
        return self.path / "envoy.yaml"

    @property
    def secret_file(self) -> Path:
        """The client secret, readable by its owner only."""
        return self.path / "client-secret"

    def log(self, name: str) -> Path:
        """The file that the output of a program goes to."""
        return self.path / f"{name}.log"

    def write(self, ports: Ports, client_secret: str) -> None:
        """Write all three files. Raises `DemoError` when that cannot be done."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.extauthz_file.write_text(extauthz_yaml(ports))
            self.envoy_file.write_text(envoy_yaml(load(str(self.extauthz_file), environ={}), ports))
            self.secret_file.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(self.secret_file, flags, 0o600), "w") as file:
                file.write(client_secret)
        except OSError as error:
            raise DemoError(
                f"cannot write to {self.path}: {error.strerror}; name a folder with --work-dir"
            ) from error


def extauthz_yaml(ports: Ports) -> str:
    """The configuration file that the demo's ``extauthz serve`` reads."""
    return f"""\
# Written by `extauthz demo`; the next run writes it anew.
version: 1

listen:
  grpc: {LOOPBACK}:{ports.grpc}    # Envoy asks here
  http: {LOOPBACK}:{ports.http}
  admin: {LOOPBACK}:{ports.admin}   # /readyz, /metrics, /status

issuers:
  - name: demo
    issuer: {ports.issuer_url}

servers:
  - name: calculator
    resource: {ports.resource("calculator")}
    scopes: [calculator.use]
    upstream: http://{LOOPBACK}:{ports.calculator}

  - name: notes
    resource: {ports.resource("notes")}
    upstream: http://{LOOPBACK}:{ports.notes}
    tools:
      list_notes: [notes.read]
      add_note: [notes.read, notes.write]
      danger_*: deny

edge: {{listen: "{LOOPBACK}:{ports.edge}"}}
"""


def envoy_yaml(loaded: Loaded, ports: Ports) -> str:
    """What ``extauthz generate envoy`` writes for ``loaded``, with the admin port of ``ports``."""
    old, new = (f"port_value: {each.envoy_admin}" for each in (Ports(), ports))
    return generate("envoy", loaded, Choices()).alone.replace(old, new, 1)

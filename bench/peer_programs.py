"""Those who are compared: how each is started. Their configuration is in the folder ``peers``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from kubernetes_stub import kubernetes
from peer_packages import GoPackage
from running import accepts, free_port, program, service
from world import HOST, Setup, World

from extauthz.demo.issuer import Issuer

_PEERS: Final = Path(__file__).parent / "peers"
Door = Literal["grpc", "http", "edge"]
NATIVE: Final = "extauthz, native"
HTTP: Final = "extauthz, HTTP"


@dataclass(frozen=True, slots=True)
class Site:
    """Where one program runs: an issuer, and a folder of its own in ``world``."""

    world: World
    issuer: Issuer

    def apart(self, name: str) -> Site:
        """The same with another folder."""
        folder = self.world.folder / name
        folder.mkdir()
        return dataclasses.replace(self, world=dataclasses.replace(self.world, folder=folder))

    def text(self, name: str, **more: object) -> str:
        """A file of the folder ``peers`` with its places filled in."""
        words = {
            "host": HOST,
            "issuer": self.world.issuer(),
            "audience": self.world.resource(),
            "jwks_url": self.issuer.jwks_uri,
            "keys": json.dumps(self.issuer.jwks()),
            **more,
        }
        text = (_PEERS / name).read_text()
        for word, value in words.items():
            text = text.replace(f"@{word.upper()}@", str(value))
        return text

    def file(self, name: str, **more: object) -> Path:
        """The same, written to this site's folder."""
        file = self.world.folder / name
        file.write_text(self.text(name, **more))
        return file

    @property
    def log(self) -> Path:
        """Where the program's output goes."""
        return self.world.folder / "log"


@dataclass(frozen=True, slots=True)
class Running:
    """A program that answers at ``port``."""

    port: int
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One who is compared."""

    name: str
    door: Door
    """Asked by gRPC, by HTTP, or not at all because the edge decides by itself."""
    start: Callable[[Site, Path], AbstractContextManager[Running]] | None = None
    package: GoPackage | None = None
    path: str = ""
    """What is asked for at an HTTP door."""
    raw_headers: bool = False
    """Whether Envoy is to send header lines raw, which keeps them apart."""

    @property
    def beside(self) -> str:
        """Which of ours it is compared with."""
        return HTTP if self.door == "http" else NATIVE


def _ours(
    transport: str, door: Literal["grpc", "http"], cache_entries: int = 100_000
) -> Callable[[Site, Path], AbstractContextManager[Running]]:
    @contextlib.contextmanager
    def start(site: Site, _: Path) -> Iterator[Running]:
        setup = Setup(transport=transport, cache_entries=cache_entries, issuer_url=site.issuer.url)
        with service(site.world, setup) as ours:
            yield Running(ours.ports[door], ours.process.pid)

    return start


@contextlib.contextmanager
def _opa(site: Site, binary: Path) -> Iterator[Running]:
    port = free_port()
    command: list[str | Path] = [
        binary,
        "run",
        "--server",
        f"--addr=127.0.0.1:{free_port()}",
        "--log-level=error",
        "--disable-telemetry",
        f"--config-file={site.file('opa.yaml', port=port)}",
        site.file("opa.rego"),
    ]
    with program(command, site.log, lambda: accepts(port)) as process:
        yield Running(port, process.pid)


@contextlib.contextmanager
def _heimdall(site: Site, binary: Path) -> Iterator[Running]:
    port = free_port()
    rules = site.file("heimdall-rules.yaml")
    config = site.file("heimdall.yaml", port=port, other=free_port(), rules=rules)
    for file in (config, rules):
        file.chmod(0o600)
    command: list[str | Path] = [
        binary,
        "serve",
        "decision",
        "--envoy-grpc",
        "--insecure-skip-ingress-tls-enforcement",
        "--insecure-skip-egress-tls-enforcement",
        f"--config={config}",
    ]
    with program(command, site.log, lambda: accepts(port)) as process:
        yield Running(port, process.pid)


@contextlib.contextmanager
def _authorino(site: Site, binary: Path) -> Iterator[Running]:
    port = free_port()
    config = json.loads(site.text("authorino.json"))
    with kubernetes(config) as api:
        access = site.file("authorino-kubeconfig.yaml", port=api.port)
        command: list[str | Path] = [
            "env",
            f"KUBECONFIG={access}",
            binary,
            "server",
            "--watch-namespace=bench",
            "--log-level=error",
            f"--ext-auth-grpc-port={port}",
            f"--ext-auth-http-port={free_port()}",
            f"--oidc-http-port={free_port()}",
            "--health-probe-addr=0",
            "--metrics-addr=0",
            "--pprof-bind-address=0",
        ]
        with program(command, site.log, api.in_force.is_set) as process:
            yield Running(port, process.pid)


@contextlib.contextmanager
def _oauth2_proxy(site: Site, binary: Path) -> Iterator[Running]:
    port = free_port()
    command: list[str | Path] = [
        binary,
        f"--config={site.file('oauth2-proxy.cfg')}",
        f"--alpha-config={site.file('oauth2-proxy.yaml', port=port)}",
    ]
    with program(command, site.log, lambda: accepts(port)) as process:
        yield Running(port, process.pid)


CONTENDERS: Final = (
    Contender(name=NATIVE, door="grpc", start=_ours("native", "grpc"), raw_headers=True),
    Contender(
        name="extauthz, native, remembering no token",
        door="grpc",
        start=_ours("native", "grpc", 0),
        raw_headers=True,
    ),
    Contender(
        name="extauthz, grpcio", door="grpc", start=_ours("grpcio", "grpc"), raw_headers=True
    ),
    Contender(
        name="OPA-Envoy",
        door="grpc",
        start=_opa,
        package=GoPackage(
            "github.com/open-policy-agent/opa-envoy-plugin", "v1.19.1-envoy", "cmd/opa-envoy-plugin"
        ),
    ),
    Contender(
        name="heimdall",
        door="grpc",
        start=_heimdall,
        package=GoPackage("github.com/dadrus/heimdall", "v0.17.18"),
    ),
    Contender(
        name="Authorino",
        door="grpc",
        start=_authorino,
        package=GoPackage("github.com/kuadrant/authorino", "v0.27.0"),
    ),
    Contender(name="Envoy jwt_authn and RBAC, no authorizer", door="edge"),
    Contender(name=HTTP, door="http", start=_ours("native", "http"), path="/auth/nginx"),
    Contender(
        name="oauth2-proxy",
        door="http",
        start=_oauth2_proxy,
        package=GoPackage("github.com/oauth2-proxy/oauth2-proxy/v7", "v7.15.6"),
        path="/oauth2/auth?allowed_groups=mcp.read",
    ),
)

"""Two replicas that share one file, as a ConfigMap is shared, the proxies and all behind them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from extauthz.demo.minting import SigningKey, signed
from tests.e2e.edges import Edge, Wiring
from tests.e2e.processes import accepts, free_port, program
from tests.generate.edges import generated

from .inventory import STEADY, Version, inventory, issuer

PATIENCE = 60.0


class TooLate(AssertionError):
    """Something did not come about in time."""


def until(holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until ``holds()`` is true."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TooLate(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.02)


class ConfigMap:
    """A folder as the kubelet fills it: its files are links, and one link is swapped."""

    def __init__(self, folder: Path, standins: int) -> None:
        self.file = folder / "extauthz.yaml"
        self._folder = folder
        self._standins = standins
        self._number = 0
        folder.mkdir()
        self.swap(self.text("A"))
        self.file.symlink_to("..data/extauthz.yaml")

    def text(self, version: Version) -> str:
        """The file of that version."""
        return json.dumps(inventory(version, self._standins))

    def swap(self, text: str) -> None:
        """Put another file in place, in one step."""
        before = (self._folder / "..data").resolve() if self._number else None
        self._number += 1
        content = self._folder / f"..{self._number}"
        content.mkdir()
        (content / "extauthz.yaml").write_text(text)
        link = self._folder / "..data_tmp"
        link.symlink_to(content.name)
        link.replace(self._folder / "..data")
        if before is not None:
            (before / "extauthz.yaml").unlink()
            before.rmdir()


@dataclass
class Replica:
    """One ``extauthz serve``, which may be ended and started again."""

    name: str
    file: Path
    log: Path
    environ: dict[str, str]
    ports: dict[str, int] = field(
        default_factory=lambda: {door: free_port() for door in ("grpc", "http", "admin")}
    )
    starts: int = 0
    most_open_files: int = 0
    most_memory: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, without waiting for anything."""
        listen = {f"EXTAUTHZ_LISTEN_{n.upper()}": f"127.0.0.1:{p}" for n, p in self.ports.items()}
        command = [sys.executable, "-m", "extauthz", "serve", "--config", str(self.file)]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **listen, **self.environ},
            )
        self.starts += 1

    def wait_until_ready(self) -> None:
        """Wait for /readyz."""
        until(lambda: self._get("/readyz")[0] == 200, f"{self.name} is ready; see {self.log}")

    def hang_up(self) -> None:
        """Send SIGHUP, unless the process has only just begun."""
        if self.process is not None and self.process.poll() is None and self._get("/healthz")[0]:
            self.process.send_signal(signal.SIGHUP)

    def stop(self) -> float:
        """Send SIGTERM, as Kubernetes does, and wait; the seconds it took."""
        process = self.process
        if process is None:
            return 0.0
        self.look()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise TooLate(f"{self.name} did not end") from None
        if code:
            raise AssertionError(f"{self.name} ended with {code}; see {self.log}")
        return time.monotonic() - began

    def status(self) -> dict[str, Any] | None:
        """The status page as JSON, None while nobody answers."""
        code, body = self._get("/status", Accept="application/json")
        return json.loads(body) if code == 200 else None

    def takes(self, digest: str) -> bool:
        """Whether the configuration of that digest is in force."""
        told = self.status()
        return told is not None and digest.startswith(told["health"]["config"]["digest"])

    def problems(self) -> list[str]:
        """Why the newest file was not taken."""
        told = self.status()
        return [] if told is None else told["health"]["config"]["problems"]

    def kids(self) -> set[str]:
        """The key ids held of the main issuer."""
        told = self.status()
        if told is None:
            return set()
        main = [one["keys"] for one in told["health"]["issuers"] if one["name"] == "main"]
        return {key["kid"] for keys in main for key in keys}

    def look(self) -> None:
        """Note what the process holds at the moment."""
        if self.process is None:
            return
        proc = Path("/proc") / str(self.process.pid)
        try:
            pages = int((proc / "statm").read_text().split()[1])
            files = len(list((proc / "fd").iterdir()))
        except OSError:
            return
        self.most_memory = max(self.most_memory, pages * os.sysconf("SC_PAGE_SIZE"))
        self.most_open_files = max(self.most_open_files, files)

    def _get(self, path: str, **headers: str) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.ports["admin"], timeout=5)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException):
            return 0, b""
        finally:
            connection.close()


class Keys:
    """The issuers' keys, published as files that the stand-ins serve."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.steady = SigningKey.generate("RS256")
        self.publish("steady", self.steady)

    def publish(self, name: str, *keys: SigningKey) -> None:
        """Have the issuer serve these keys, and no other, in one step."""
        file = self._folder / f"{name}.json"
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps({"keys": [key.public_jwk() for key in keys]}))
        fresh.replace(file)


@dataclass
class Stage:
    """Everything that runs."""

    folder: Path
    standins: int
    keys: Keys
    config: ConfigMap
    replicas: list[Replica]
    edges: dict[str, Edge]

    def steady_token(self) -> str:
        """A token that stays good throughout."""
        now = int(time.time())
        claims = {
            "iss": issuer(self.standins, "steady"),
            "sub": "steady",
            "aud": STEADY,
            "scope": "steady",
            "iat": now,
            "exp": now + 7200,
        }
        return signed(self.keys.steady, claims, {"typ": "at+jwt"})


@contextmanager
def running(folder: Path, first: SigningKey, *, patient: bool) -> Iterator[Stage]:
    """The stage, until the block ends. ``patient`` proxies wait longer than shipped ones do."""
    port = free_port()
    keys = Keys(folder)
    keys.publish("main", first)
    config = ConfigMap(folder / "config", port)
    replicas = [
        Replica("one", config.file, folder / "one.log", {}),
        Replica("two", config.file, folder / "two.log", {"EXTAUTHZ_WORKERS": "2"}),
    ]
    command = [sys.executable, "-m", "tests.endurance.standins", str(folder), str(port)]
    with ExitStack() as stack:
        stack.enter_context(program(command, folder / "standins.log", lambda: accepts(port)))
        for replica in replicas:
            replica.start()
            stack.callback(_end, replica)
        for replica in replicas:
            replica.wait_until_ready()
        written = inventory("A", port)
        written["edge"] = {
            f"authz_{door}": [f"127.0.0.1:{replica.ports[door]}" for replica in replicas]
            for door in ("grpc", "http")
        }
        edges = {
            proxy: stack.enter_context(
                generated(
                    proxy,
                    written,
                    Wiring(port, port, 1, 1),
                    folder / proxy,
                    edit=_longer if patient else None,
                )
            )
            for proxy in ("envoy", "envoy-http", "nginx")
        }
        yield Stage(folder, port, keys, config, replicas, edges)


def _longer(_name: str, text: str) -> str:
    """Ten times the time limits; whom Envoy takes for healthy stays as it is."""
    for shipped, longer in (
        (" timeout: 1s\n", " timeout: 10s\n"),
        ("max_interval: 0.5s", "max_interval: 5s"),
        ("_timeout 1s;", "_timeout 10s;"),
        ("proxy_connect_timeout 250ms;", "proxy_connect_timeout 2500ms;"),
        ("connect_timeout: 0.25s", "connect_timeout: 2.5s"),
    ):
        text = text.replace(shipped, longer)
    return text


def _end(replica: Replica) -> None:
    process = replica.process
    if process is not None and process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

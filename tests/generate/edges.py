"""Real proxies, started from what `generate` writes for the inventory of the scene."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from extauthz.config.load import load, read_file
from extauthz.generate.artefacts import File
from extauthz.generate.proxies import Choices, generate
from tests.e2e.edges import Edge, Wiring
from tests.e2e.processes import (
    accepts,
    built_with_go,
    envoy_path,
    free_port,
    nginx_path,
    program,
    required,
)
from tests.generate.checkers import write
from tests.generate.envoy_gateway import translated

Edit = Callable[[str, str], str]
"""Changes a file before it is used: takes its name and its text, gives its text."""

NEW_CADDY = "new-caddy"
"""A Caddy of the last years, where ``caddy`` is a distribution's. Its clients may ask for more."""


def caddy_with_http2(_: str, text: str) -> str:
    """The edit for a Caddy that speaks HTTP/2 without TLS; other proxies' files it leaves alone."""
    return text.replace("\tservers {\n", "\tservers {\n\t\tprotocols h1 h2c\n")


def commands(proxy: str, main: Path) -> list[str | Path]:
    """What starts a proxy from its main file."""
    if proxy.startswith("envoy"):
        quiet = ["--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
        return [envoy_path(), "-c", main, *quiet]
    if proxy == "nginx":
        prefix = main.parent / "prefix"
        prefix.mkdir(exist_ok=True)
        return [nginx_path(), "-e", "stderr", "-p", prefix, "-c", main]
    if proxy == "caddy":
        caddy = required("caddy", "apt-get install caddy")
        return [caddy, "run", "--adapter", "caddyfile", "--config", main]
    if proxy == NEW_CADDY:
        caddy = built_with_go(NEW_CADDY)
        allowed = ["env", "GODEBUG=http2xconnect=1"]
        return [*allowed, caddy, "run", "--adapter", "caddyfile", "--config", main]
    if proxy == "traefik":
        return [
            "env",
            f"--chdir={main.parent}",
            built_with_go("traefik"),
            "--configFile=traefik.yml",
        ]
    return [required("haproxy", "apt-get install haproxy"), "-f", main]


def _routes(port: int) -> bool:
    """Whether Traefik has read its routes, which it does after it has begun to listen."""
    if not accepts(port):
        return False
    document = f"http://127.0.0.1:{port}/.well-known/oauth-protected-resource"
    try:
        return httpx.get(document, timeout=1).text != "404 page not found\n"
    except httpx.TimeoutException:
        return True


@contextmanager
def generated(
    proxy: str,
    config: dict[str, Any],
    wiring: Wiring,
    folder: Path,
    *,
    name: str = "",
    port: int | None = None,
    edit: Edit | None = None,
    choices: Choices | None = None,
) -> Iterator[Edge]:
    """The proxy with its configuration for ``config``, reached on ``port`` or a free one."""
    folder.mkdir(parents=True, exist_ok=True)
    port, admin = port or free_port(), free_port()
    ports = {"calculator": wiring.calculator, "notes": wiring.notes}
    servers = [
        {"upstream": f"http://127.0.0.1:{ports[one['name']]}", **one}
        if one.get("name") in ports
        else one
        for one in config["servers"]
    ]
    edge = {
        "listen": f"127.0.0.1:{port}",
        "authz_grpc": f"127.0.0.1:{wiring.grpc}",
        "authz_http": f"127.0.0.1:{wiring.http}",
    }
    if proxy == "envoy-gateway":
        # There everything has the name of a Service.
        for number, one in enumerate(servers):
            there = one.get("upstream", ":1").rpartition(":")[2]
            servers[number] = {**one, "upstream": f"http://server-{number}:{there}"}
        edge = {
            "listen": f"0.0.0.0:{port}",
            "authz_grpc": f"extauthz:{wiring.grpc}",
            "authz_http": f"extauthz:{wiring.http}",
        }
    inventory = {
        "version": 1,
        **config,
        "servers": servers,
        "edge": {**edge, **config.get("edge", {})},
    }
    file = folder / "extauthz.yaml"
    file.write_text(json.dumps(inventory))
    kind = "caddy" if proxy == NEW_CADDY else proxy
    artefact = generate(kind, load(str(file), environ={}, read=read_file), choices or Choices())
    if proxy == "envoy-gateway":
        main = folder / "envoy.json"
        if edit is not None:
            files = tuple(File(each.name, edit(each.name, each.text)) for each in artefact.files)
            artefact = replace(artefact, files=files)
        main.write_text(json.dumps(translated(artefact, folder)))
        log = folder / f"{proxy}.log"
        with program(commands("envoy", main), log, lambda: accepts(port)):
            yield Edge(name or proxy, port, log)
        return
    main = write(artefact, folder / proxy)
    for written in (folder / proxy).iterdir():
        text = written.read_text().replace("port_value: 9901", f"port_value: {admin}")
        text = text.replace("grace_period 5s", "grace_period 100ms")
        written.write_text(text if edit is None else edit(written.name, text))
    log = folder / f"{proxy}.log"
    routes = partial(_routes, port) if proxy == "traefik" else partial(accepts, port)
    with program(commands(proxy, main), log, routes):
        yield Edge(name or kind, port, log)

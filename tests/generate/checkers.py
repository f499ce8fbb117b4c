"""The proxies' own checkers: what each says to a written configuration."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

from extauthz.generate.artefacts import Artefact
from tests.e2e.processes import (
    DEADLINE,
    answers,
    built_with_go,
    envoy_path,
    free_port,
    nginx_path,
    program,
    required,
)


def _run(*command: str | Path) -> str:
    """What a checker complains of; empty when it is content."""
    done = subprocess.run(
        list(command), capture_output=True, text=True, timeout=30, check=False, errors="replace"
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def parsed(text: str) -> list[dict[str, Any]]:
    """The documents in a text of YAML."""
    return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each is not None]


def write(artefact: Artefact, folder: Path) -> Path:
    """Write every file; the path of the main one."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in artefact.files:
        (folder / file.name).write_text(file.text)
    return folder / artefact.files[0].name


def envoy(artefact: Artefact, folder: Path) -> str:
    file = write(artefact, folder)
    return _run(envoy_path(), "--mode", "validate", "-l", "critical", "-c", file)


def envoy_document(document: dict[str, Any], folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "envoy.json"
    file.write_text(json.dumps(document))
    return _run(envoy_path(), "--mode", "validate", "-l", "critical", "-c", file)


def nginx(artefact: Artefact, folder: Path) -> str:
    prefix = folder / "prefix"
    prefix.mkdir(parents=True, exist_ok=True)
    check = (nginx_path(), "-t", "-q", "-e", "stderr", "-p", prefix, "-c")
    alone = folder / "alone.conf"
    alone.write_text(artefact.alone)
    return _run(*check, write(artefact, folder)) or _run(*check, alone)


def caddy(artefact: Artefact, folder: Path) -> str:
    caddy = required("caddy", "apt-get install caddy")
    return _run(caddy, "validate", "--adapter", "caddyfile", "--config", write(artefact, folder))


def haproxy(artefact: Artefact, folder: Path) -> str:
    return _run(required("haproxy", "apt-get install haproxy"), "-c", "-f", write(artefact, folder))


def traefik(artefact: Artefact, folder: Path) -> str:
    """Traefik has no checker: it runs, and is asked what it thinks of what it has read."""
    path = built_with_go("traefik")
    main = write(artefact, folder)
    admin, static = free_port(), folder / "traefik.yml"
    (settings,) = parsed(static.read_text())
    settings["entryPoints"] = {
        name: {"address": f"127.0.0.1:{free_port()}"} for name in settings["entryPoints"]
    }
    settings["entryPoints"]["traefik"] = {"address": f"127.0.0.1:{admin}"}
    settings["api"] = {"insecure": True}
    static.write_text(json.dumps(settings))
    log = folder / "traefik.log"
    command = ["env", f"--chdir={folder}", path, "--configFile=traefik.yml"]
    api = f"http://127.0.0.1:{admin}/api/http"
    with program(command, log, lambda: answers(f"{api}/routers")):
        (dynamic,) = parsed(main.read_text())
        faults = _of_traefik(api, dynamic["http"], log)
    return "\n".join([*faults, *(line for line in log.read_text().splitlines() if " ERR " in line)])


def _of_traefik(api: str, dynamic: dict[str, Any], log: Path) -> list[str]:
    """What of ``dynamic`` it has not taken, once it has read it."""
    kinds = ("routers", "middlewares", "services")
    wanted = [f"{kind}/{name}@file" for kind in kinds for name in dynamic[kind]]
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline and " ERR " not in log.read_text():
        found = {
            f"{kind}/{each['name']}": f"{each['status']} {each.get('error', '')}".strip()
            for kind in kinds
            for each in httpx.get(f"{api}/{kind}?per_page=1000").json()
        }
        if found.keys() >= set(wanted):
            return [f"{name}: {found[name]}" for name in wanted if found[name] != "enabled"]
        time.sleep(0.05)
    return ["the routes were not taken"]

"""The proxies' own checkers: what each says to a written configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path

from extauthz.generate.artefacts import Artefact
from tests.e2e.processes import envoy_path, nginx_path, required


def _run(*command: str | Path) -> str:
    """What a checker complains of; empty when it is content."""
    done = subprocess.run(
        list(command), capture_output=True, text=True, timeout=30, check=False, errors="replace"
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def write(artefact: Artefact, folder: Path) -> Path:
    """Write every file; the path of the main one."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in artefact.files:
        (folder / file.name).write_text(file.text)
    return folder / artefact.files[0].name


def envoy(artefact: Artefact, folder: Path) -> str:
    file = write(artefact, folder)
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

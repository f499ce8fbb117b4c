"""Builds what tests run and no package registry has ready, where there is Go.

egctl, the command line of Envoy Gateway, and a Caddy newer than that of distributions are built as
anybody would. Of Traefik its own code is untouched; what only its repository has is written here
(the folder of its dashboard, an empty extension), and the DNS providers of ACME, which need
hundreds of modules, are left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_EGCTL: Final = "github.com/envoyproxy/gateway/cmd/egctl@v1.9.1"
_CADDY: Final = "github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9"
_TRAEFIK: Final = "github.com/traefik/traefik/v3@v3.7.13"
_LEGO: Final = "github.com/go-acme/lego/v5"
# The fork that this version asks for is not everywhere; this one has the same functions.
_AUTH: Final = "github.com/abbot/go-http-auth=github.com/containous/go-http-auth"
_AUTH_VERSION: Final = "v0.4.1-0.20200324110947-a37a7636d23e"
_EXTENSION: Final = """package ext

type HTTP struct{}

type Router struct{}
"""
_NO_PROVIDERS: Final = """package dns

import (
	"fmt"

	"github.com/go-acme/lego/v5/challenge"
)

func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	return nil, fmt.Errorf("no DNS provider was built in: %s", name)
}
"""
_ENVIRONMENT: Final = {**os.environ, "GOFLAGS": "-mod=mod -buildvcs=false", "GOTOOLCHAIN": "local"}


def _go(*arguments: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        ["go", *arguments],
        cwd=folder,
        env={**_ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def _copied(module: str, home: Path, to: Path) -> Path:
    """A copy of a module that may be written to; ``home`` is where its version is asked for."""
    told = json.loads(_go("mod", "download", "-json", module, folder=home))
    shutil.copytree(told["Dir"], to, copy_function=shutil.copyfile)
    # Go lets nobody write to the folders of modules.
    for folder in (to, *filter(Path.is_dir, to.rglob("*"))):
        folder.chmod(0o755)
    return to


def _written(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _traefik(program: Path, work: Path) -> None:
    _written(work / "go.mod", "module traefik\n")
    source = _copied(_TRAEFIK, work, work / "traefik")
    _written(source / "webui" / "static" / "none", "")
    extension = source / "pkg" / "config" / "dynamic" / "ext"
    _written(extension / "ext.go", _EXTENSION)
    _written(extension / "go.mod", "module github.com/traefik/traefik/dynamic/ext\n")
    _go("mod", "edit", f"-replace={_AUTH}@{_AUTH_VERSION}", folder=source)
    version = _go("list", "-m", "-f", "{{.Version}}", _LEGO, folder=source).strip()
    lego = _copied(f"{_LEGO}@{version}", work, work / "lego")
    providers = lego / "providers" / "dns"
    for file in providers.glob("*.go"):
        file.unlink()
    _written(providers / "none.go", _NO_PROVIDERS)
    _go("mod", "edit", f"-replace={_LEGO}={lego}", folder=source)
    _go("build", "-ldflags=-s -w", "-o", str(program), "./cmd/traefik", folder=source)


def _egctl(program: Path, work: Path) -> None:
    _go("install", "-ldflags=-s -w", _EGCTL, folder=work, GOBIN=str(program.parent))


def _caddy(program: Path, work: Path) -> None:
    _go("install", "-ldflags=-s -w", _CADDY, folder=work, GOBIN=str(work))
    shutil.move(work / "caddy", program)


_BUILT: Final = {"traefik": _traefik, "egctl": _egctl, "new-caddy": _caddy}


def main(program: Path) -> int:
    """Build the program of that name, or say why not; minutes, and gigabytes of Go's cache."""
    if not shutil.which("go"):
        print(f"There is no Go here: the tests that need {program.name} say that they are skipped.")
        return 1
    print(f"Building {program.name} (once; some minutes)", flush=True)
    try:
        with TemporaryDirectory() as work:
            _BUILT[program.name](program.resolve(), Path(work))
    except subprocess.CalledProcessError as fault:
        print(f"{program.name} could not be built: {fault.cmd[:3]} ended with {fault.returncode}.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""Where the programs of others come from: the PATH, or their usual way of installation."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BIN: Final = Path(__file__).parent.parent / ".bench" / "bin"
_PATIENCE: Final = 1200.0


@dataclass(frozen=True, slots=True)
class GoPackage:
    """A program that ``go install`` brings."""

    module: str
    """The module's path."""
    version: str
    folder: str = ""
    """Where in the module the program is."""

    def __str__(self) -> str:
        return f"go install {self._package()}@{self.version}"

    def find(self) -> Path | None:
        """The program, where it has been installed; not another one of the same name."""
        for place in (None, str(BIN)):
            found = shutil.which(self._name(), path=place)
            if found and self._is(Path(found)):
                return Path(found)
        return None

    def told(self, program: Path) -> str:
        """What a program was built from, as far as it can be known."""
        built = _built(program)
        return f"`{self.module}` {built[0]}, {built[1]}" if built else f"`{self._name()}`"

    def install(self) -> Path | None:
        """Find the program, or else install it into ``.bench/bin`` with the Go that is here."""
        found = self.find()
        if found or not shutil.which("go"):
            return found
        print(f"{self} (once; this can take minutes)", flush=True)
        BIN.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(
                ["go", "install", f"{self._package()}@{self.version}"],
                env={**os.environ, "GOBIN": str(BIN)},
                timeout=_PATIENCE,
                check=True,
            )
        except (subprocess.SubprocessError, OSError) as fault:
            print(f"it could not be installed: {type(fault).__name__}", flush=True)
        return self.find()

    def _is(self, program: Path) -> bool:
        return not shutil.which("go") or self.module in (_built(program) or ())

    def _package(self) -> str:
        return f"{self.module}/{self.folder}" if self.folder else self.module

    def _name(self) -> str:
        """As Go names the program: the last part that is not a major version."""
        return [part for part in self._package().split("/") if not re.fullmatch(r"v\d+", part)][-1]


def _built(program: Path) -> tuple[str, str, str] | None:
    """The version of its module, of Go, and the module's path, if a Go program was built so."""
    if not shutil.which("go"):
        return None
    told = subprocess.run(
        ["go", "version", "-m", str(program)], capture_output=True, text=True, check=False
    ).stdout
    lines = [line.split() for line in told.splitlines()]
    for kind, *rest in lines[1:]:
        if kind == "mod":
            return rest[1], lines[0][-1], rest[0]
    return None

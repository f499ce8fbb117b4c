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
        """The program, where it has been installed."""
        name = self._name()
        found = shutil.which(name) or shutil.which(name, path=str(BIN))
        return Path(found) if found else None

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

    def _package(self) -> str:
        return f"{self.module}/{self.folder}" if self.folder else self.module

    def _name(self) -> str:
        """As Go names the program: the last part that is not a major version."""
        return [part for part in self._package().split("/") if not re.fullmatch(r"v\d+", part)][-1]

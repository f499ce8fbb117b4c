"""Output that cannot go where it should: an exit code and one line at most, no noise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.policies import document

SPEAKING = [["version"], ["--help"], ["schema"], ["serve", "--help"]]


def run(
    *arguments: str, stdout: int, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "extauthz", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "", **(environ or {})},
    )


@pytest.mark.parametrize("command", SPEAKING, ids=" ".join)
def test_a_reader_that_has_gone_is_exit_code_1_and_silence(command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(*command, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("command", SPEAKING, ids=" ".join)
def test_a_full_disk_is_exit_code_1_and_one_line(command: list[str]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = run(*command, stdout=full)
    finally:
        os.close(full)
    assert done.returncode == 1
    assert done.stderr == "extauthz: cannot write the output: No space left on device\n"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="a folder of Linux")
def test_closed_descriptors_are_not_left_to_what_is_opened_next() -> None:
    """Lines of the log would go into whatever connection has the number of standard output."""
    script = (
        "import os, sys\n"
        "from extauthz.cli import main\n"
        "assert main(['version']) == 0\n"
        "found = [os.readlink(f'/proc/self/fd/{number}') for number in range(3)]\n"
        "inherited = all(map(os.get_inheritable, range(3)))\n"
        "sys.exit(found != ['/dev/null'] * 3 or not inherited)\n"
    )
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", script]
    assert subprocess.run(shell, timeout=60, check=False).returncode == 0


def test_a_difference_that_nobody_can_take_is_no_fault_of_the_file_compared(
    tmp_path: Path,
) -> None:
    inventory = tmp_path / "extauthz.yaml"
    inventory.write_text(json.dumps(document()))
    deployed = tmp_path / "Caddyfile"
    deployed.write_text("respond 404\n")
    reading, writing = os.pipe()
    os.close(reading)
    command = ("generate", "caddy", "--config", str(inventory), "--check", str(deployed))
    try:
        done = run(*command, stdout=writing, environ={"PYTHONUNBUFFERED": "1"})
    finally:
        os.close(writing)
    assert done.returncode == 1
    assert "cannot read" not in done.stderr


def test_what_an_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    file = tmp_path / "extauthz.yaml"
    file.write_text("version: 1\ngrüße: 1\n", encoding="utf-8")
    done = run(
        "validate",
        "--config",
        str(file),
        stdout=subprocess.PIPE,
        environ={"PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 1
    assert "gr\\xfc\\xdfe" in done.stdout
    assert done.stdout.endswith("not usable: 3 problems\n")
    assert done.stderr == ""

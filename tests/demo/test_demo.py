"""``extauthz demo`` as a person starts it: real Envoy, real service, real MCP client."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from extauthz.demo.children import accepts

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("envoy"), pytest.mark.timeout(120)]

DEADLINE = 60.0

# The demo, but with a rule that lets through what the journey expects to be refused.
SABOTAGED = """
import os, sys
from pathlib import Path
from extauthz.demo import layout, run
good = layout.extauthz_yaml
layout.extauthz_yaml = lambda ports: good(ports).replace("danger_*: deny", "danger_*: allow")
sys.exit(run.run(run.Options(work_directory=Path(sys.argv[1])), os.environ))
"""


def demo(work: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "extauthz", "demo", "--work-dir", str(work), *options]


def listeners(work: Path) -> list[int]:
    """Every port that the demo's programs were told to listen on."""
    written = (work / "extauthz.yaml").read_text() + (work / "envoy.yaml").read_text()
    return [int(port) for port in re.findall(r"(?:127\.0\.0\.1:|port_value: )(\d+)", written)]


@contextmanager
def running(command: list[str], until: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``command`` in the background until it has said ``until``."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    assert process.stdout is not None
    said, deadline = "", time.monotonic() + DEADLINE
    try:
        while until not in said:
            left = deadline - time.monotonic()
            assert select.select([process.stdout], [], [], max(left, 0))[0], said
            chunk = os.read(process.stdout.fileno(), 65_536).decode()
            assert chunk, f"ended too early: {said}"
            said += chunk
        yield process, said
    finally:
        process.terminate()
        process.wait(DEADLINE)
        process.stdout.close()


def test_every_step_goes_as_expected_and_nothing_is_left_behind(tmp_path: Path) -> None:
    outcome = subprocess.run(
        demo(tmp_path), capture_output=True, text=True, check=False, timeout=DEADLINE
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert outcome.stderr == ""
    assert re.search(r"^All \d\d steps went as expected\.$", outcome.stdout, re.MULTILINE)
    assert "WRONG" not in outcome.stdout
    assert not any(map(accepts, listeners(tmp_path)))


@pytest.mark.long
@pytest.mark.slow
def test_a_step_that_goes_wrong_shows_in_table_exit_code_and_logs(tmp_path: Path) -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", SABOTAGED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    assert re.search(r"a tool that the rules deny .* WRONG$", outcome.stdout, re.MULTILINE)
    assert outcome.stdout.count("WRONG") == 1
    assert "1 of 15 steps did not go as expected." in outcome.stdout
    for name in ("calculator", "notes", "extauthz", "envoy"):
        assert str(tmp_path / f"{name}.log") in outcome.stderr
        assert (tmp_path / f"{name}.log").exists()


def shell(commands: str) -> tuple[list[str], str]:
    """The HTTP statuses that the commands printed, and all of it."""
    bash = shutil.which("bash")
    assert bash is not None
    outcome = subprocess.run(
        [bash, "-e"], input=commands, capture_output=True, text=True, check=False, timeout=DEADLINE
    )
    said = outcome.stdout + outcome.stderr
    return re.findall(r"^HTTP/1.1 (\d+)", said, re.MULTILINE), said


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="NOT TESTED: there is no curl here")
def test_with_stay_all_keeps_running_and_what_is_printed_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The printed lines run in a shell, and one signal ends everything, well."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with running(demo(tmp_path / "work", "--stay"), "until Ctrl-C.") as (process, said):
        script = said.split("in another shell:")[1].split("Everything keeps running")[0]
        before, after = script.split("# new keys")
        rotation, doctor = after.split("# the edge")
        statuses, printed = shell(before)
        assert statuses == ["401", "200", "200", "401", "403"], printed
        assert printed.count('"structuredContent":{"result":5.0}') == 1
        assert '"x-auth-subject":"demo-client"' in printed
        assert "admin" not in printed
        statuses, printed = shell(f"# {rotation}")
        # The journey had its own rotation a moment ago: these keys wait for the cooldown.
        again = rotation[rotation.index("TOKEN=") :].replace(" --fresh", "")
        deadline = time.monotonic() + DEADLINE
        while statuses != ["200"]:
            assert time.monotonic() < deadline, printed
            statuses, printed = shell(again)
        fresh = again[: again.index("\n")]
        assert "requests, 0 problems, 0 notes" in shell(f"{fresh}\n# {doctor}")[1]
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
    assert not any(map(accepts, listeners(tmp_path / "work")))


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_any_time_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    with running(demo(tmp_path), "edge (Envoy)") as (process, _):
        assert any(map(accepts, listeners(tmp_path)))
        process.send_signal(number)
        assert process.wait(DEADLINE) == 130
    assert [port for port in listeners(tmp_path) if accepts(port)] == []


def test_a_folder_that_cannot_be_used_is_a_plain_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = subprocess.run(
        demo(tmp_path / "file"), capture_output=True, text=True, check=False, timeout=DEADLINE
    )
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("extauthz demo: cannot write to ")
    assert outcome.stderr.count("\n") == 1


def test_what_is_not_installed_is_named_with_the_extra(tmp_path: Path) -> None:
    code = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "mcp" else found(name, *rest)
from extauthz.cli import main
sys.exit(main(["demo", "--work-dir", sys.argv[1]]))
"""
    outcome = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 1
    assert outcome.stderr == (
        "extauthz demo: not installed: mcp; in a clone: pip install '.[demo]'\n"
    )

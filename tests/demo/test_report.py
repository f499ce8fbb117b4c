"""What the demo prints can be read by people and typed into a shell."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from extauthz.demo import report
from extauthz.demo.journey import Row
from extauthz.demo.layout import Ports, WorkDirectory

GOOD = Row("add 2 and 3", "5", "5")
BAD = Row("an expired token that somebody found in a drawer", "401 token_expired", "allowed: 5")


def test_a_row_shows_what_was_tried_expected_and_got() -> None:
    assert report.row(GOOD).split() == ["add", "2", "and", "3", "5", "5", "ok"]
    first, second = report.row(BAD).splitlines()
    assert first.split()[-4:] == ["token_expired", "allowed:", "5", "WRONG"]
    assert second == "found in a drawer"


def test_columns_stand_under_their_headings() -> None:
    heading, _ = report.heading().splitlines()
    assert report.row(GOOD).index("5") == heading.index("expected")
    assert report.row(GOOD).rindex("5") == heading.index("got")


def test_the_summary_counts_what_went_wrong() -> None:
    assert report.summary([GOOD, GOOD]) == "All 2 steps went as expected."
    assert report.summary([GOOD, BAD]) == "1 of 2 steps did not go as expected."


def test_what_asks_for_an_unknown_key_comes_after_the_rotation() -> None:
    """Doctor does: a key that is new within the cooldown after it would not be asked for."""
    script = report.suggestions(Ports(), WorkDirectory(Path(".demo")), ["extauthz"])
    assert 0 < script.index("/rotate") < script.index("extauthz doctor")


@pytest.mark.parametrize("folder", [".demo", "/with space/and 'quote'"])
def test_what_to_try_is_a_shell_script(folder: str) -> None:
    script = report.suggestions(Ports(), WorkDirectory(Path(folder)), ["python 3", "-m", "x"])
    lines = script.split("another shell:", 1)[1].split("Everything", 1)[0].splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert all(
        shlex.split(line)[0].startswith(("curl", "echo", "TOKEN=", "NOTES=")) for line in commands
    )
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n"], input="\n".join(commands), text=True, check=True)

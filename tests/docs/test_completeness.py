"""Every metric, reason, setting and command appears in the documents, and nothing that is gone.

Metrics have tests of their own (tests/telemetry/test_metrics.py), and so have the settings of
the file (tests/config/test_schema_and_docs.py).
"""

from __future__ import annotations

import argparse
import importlib
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from extauthz.cli import COMMANDS
from extauthz.config import names
from extauthz.core.model import Reason

ROOT = Path(__file__).parents[2]
REASONS = ROOT / "docs/guides/reasons.md"
COMMAND_GUIDE = ROOT / "docs/guides/commands.md"


def rows() -> dict[str, list[str]]:
    """The cells of the reasons' tables, by reason."""
    found: dict[str, list[str]] = {}
    for line in REASONS.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 4:
            reason = cells[0].strip("`")
            assert reason not in found, reason
            found[reason] = cells
    return found


def test_every_reason_has_a_line_that_says_what_it_means_and_what_to_do() -> None:
    found = rows()
    assert set(found) == {str(reason) for reason in Reason}
    for reason, (_, means, usual, mend) in found.items():
        assert means, reason
        assert usual, reason
        assert mend, reason


def test_every_reason_is_somebodys_to_mend() -> None:
    text = REASONS.read_text().split("## Who mends it")[1].split("\n## ")[0]
    named = re.findall(r"`(\w+)`", text)
    assert sorted(named) == sorted(Reason)


def test_every_command_has_a_section_and_no_other() -> None:
    sections = re.findall(r"^## `(\w+)`$", COMMAND_GUIDE.read_text(), re.MULTILINE)
    assert sections == list(COMMANDS)


def options(command: str) -> set[str]:
    """The long options of a command, but for the flags that stand for settings."""
    parser = argparse.ArgumentParser()
    importlib.import_module(f"extauthz.cli.{command}").add_options(parser)
    flags = {"--" + name.replace(".", "-").replace("_", "-") for name in names.SETTINGS}
    found = {
        option
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
    }
    return found - flags - {"--help"}


@pytest.mark.parametrize(
    "command", [name for name in COMMANDS if find_spec(f"extauthz.cli.{name}") is not None]
)
def test_every_option_is_in_the_section_of_its_command(command: str) -> None:
    common, *sections = COMMAND_GUIDE.read_text().split("\n## ")
    (own,) = (one for one in sections if one.startswith(f"`{command}`\n"))
    missing = {one for one in options(command) if not re.search(rf"{one}\b", common + own)}
    assert missing == set()


def test_every_variable_is_in_the_reference() -> None:
    reference = (ROOT / "docs/configuration.md").read_text()
    wanted = {*names.VARIABLES, *names.WITHOUT_FILE, *names.COMMANDS}
    assert {name for name in wanted if not re.search(rf"`{name}\b", reference)} == set()


@pytest.mark.parametrize("proxy", ["envoy", "nginx"])
def test_the_demos_parts_get_tokens_for_the_shipped_files(proxy: str) -> None:
    """envoy.md and nginx.md send there whoever wants to go on."""
    parts = (ROOT / "docs/demo.md").read_text().split("## The parts by themselves")[1]
    inventory = (ROOT / proxy / "extauthz.yaml").read_text()
    resources = re.findall(r"resource: (\S+/calculator/mcp)$", inventory, re.MULTILINE)
    assert [one for one in resources if f"--resource {one}" in parts] == resources != []


def test_the_files_of_the_architecture_are_there() -> None:
    """One without a folder is in that of the one before it in its row."""
    table = (ROOT / "docs/architecture.md").read_text().split("## Where things happen")[1]
    rows = [line for line in table.split("\n## ")[0].splitlines() if line.startswith("|")]
    named: set[Path] = set()
    for row in rows:
        folder = ""
        for word in re.findall(r"`([a-z0-9_/]+(?:/|\.py))`", row):
            folder = word.rpartition("/")[0] if "/" in word else folder
            named.add(ROOT / "extauthz" / folder / word.rpartition("/")[2])
    assert len(named) > 80
    assert {str(path) for path in named if not path.exists()} == set()


LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
PAGES = sorted(
    (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "bench/README.md",
        ROOT / "deploy/README.md",
    )
)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, section in LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not section or section in anchors(file), f"{target}#{section}"


def anchors(page: Path) -> set[str]:
    """How links name the sections of a page: small, without punctuation, joined by hyphens."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_file_that_the_architecture_names_is_there() -> None:
    """With its folder, or after one that has it."""
    text = (ROOT / "docs/architecture.md").read_text()
    named = re.findall(r"`([\w/]+\.py)`", text)
    assert len(named) > 100
    there = [
        path.as_posix() for part in ("extauthz", "tests") for path in (ROOT / part).rglob("*.py")
    ]
    assert [one for one in named if not any(path.endswith(f"/{one}") for path in there)] == []

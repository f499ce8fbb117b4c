"""The catalogue is closed: every finding is provoked by a test, and told by the guide."""

from __future__ import annotations

from pathlib import Path

from extauthz.doctor.catalogue import CATALOGUE, Code
from tests.doctor import test_broken_inventory, test_broken_proxies, test_running
from tests.doctor.provoked import PROVOKED

# Importing them makes them say what they provoke.
TESTS = (test_broken_inventory, test_broken_proxies, test_running)


def test_every_finding_means_something_and_has_a_cure() -> None:
    assert set(CATALOGUE) == set(Code)
    assert all(entry.means and entry.cure.endswith((".", ")")) for entry in CATALOGUE.values())


def test_every_finding_is_provoked_by_a_test() -> None:
    assert set(Code) == PROVOKED


GUIDE = Path(__file__).parents[2] / "docs/guides/doctor.md"


def test_the_guide_tells_every_finding_as_the_catalogue_does() -> None:
    lines = GUIDE.read_text().split("## Findings")[1].splitlines()
    assert [line for line in lines if line.startswith("| `")] == [
        f"| `{code}`{' (note)' if entry.is_note else ''} | {entry.means} | {entry.cure} |"
        for code, entry in CATALOGUE.items()
    ]

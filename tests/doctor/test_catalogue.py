"""The catalogue is closed: every finding is provoked by a test, and told by the guide."""

from __future__ import annotations

from extauthz.doctor.catalogue import CATALOGUE, Code
from tests.doctor import test_broken_inventory, test_broken_proxies
from tests.doctor.provoked import PROVOKED

# Importing them makes them say what they provoke.
TESTS = (test_broken_inventory, test_broken_proxies)


def test_every_finding_means_something_and_has_a_cure() -> None:
    assert set(CATALOGUE) == set(Code)
    assert all(entry.means and entry.cure.endswith((".", ")")) for entry in CATALOGUE.values())


def test_every_finding_is_provoked_by_a_test() -> None:
    assert set(Code) == PROVOKED

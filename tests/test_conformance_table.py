"""Every requirement of the standards has a test, and docs/conformance.md says which."""

from __future__ import annotations

from tests.conformance_table import PAGE, named_by_tests, page, requirements, without_results


def test_every_requirement_has_a_test_or_says_why_there_is_none() -> None:
    names = named_by_tests()
    lacking = [
        number
        for number, asked in requirements().items()
        if (number in names) == ("not_here" in asked)
    ]
    assert lacking == []


def test_tests_name_requirements_that_there_are() -> None:
    assert set(named_by_tests()) <= set(requirements())


def test_the_committed_table_is_current() -> None:
    """Its names are; its results are those of the run that wrote it."""
    written = without_results(page(named_by_tests(), {}))
    assert without_results(PAGE.read_text("utf-8")) == written, "run: make conformance"

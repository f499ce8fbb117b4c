"""Each finding is provoked by some test, and the tests of breakages say which ones they provoke."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec

from extauthz.doctor.catalogue import CATALOGUE, Code
from extauthz.doctor.findings import Report
from extauthz.doctor.telling import table

PROVOKED: set[Code] = set()
"""Every finding that a test module, once imported, holds a test of."""

P = ParamSpec("P")


def named(report: Report, wanted: Iterable[Code]) -> None:
    """These are found, and nothing else is."""
    assert {finding.code for finding in report.findings} == set(wanted), table(report)
    assert report.healthy == all(CATALOGUE[code].is_note for code in wanted)


def provokes(*codes: Code) -> Callable[[Callable[P, Report]], Callable[P, None]]:
    """For a test that gives its report: these are found, and nothing else is."""
    PROVOKED.update(codes)

    def decorator(test: Callable[P, Report]) -> Callable[P, None]:
        @wraps(test)
        def checked(*arguments: P.args, **named_arguments: P.kwargs) -> None:
            named(test(*arguments, **named_arguments), codes)

        return checked

    return decorator

"""Measure the service against servers that decide nothing, all in one run.

    python bench/check.py               everything, about a quarter of an hour
    python bench/check.py --quick       the figures that matter most, about one minute
    python bench/check.py --only grpc   one chapter

Ratios are what to look at: each is between two programs measured in turn on this machine.
Nothing here is a test, and a missing tool is reported instead of failing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import chapters
from load import missing_tool
from report import Report
from running import apart, on_cores
from world import World


def main() -> int:
    """Run the chapters asked for; print, and write the results of a whole run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="short runs, the first chapters only")
    parser.add_argument("--only", choices=chapters.ALL, action="append", help="chapters to run")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each load lasts")
    parser.add_argument("--rounds", type=int, default=5, help="how often each load is repeated")
    options = parser.parse_args()
    names = options.only or (chapters.QUICK if options.quick else list(chapters.ALL))
    report = Report()
    own, others = apart()
    with tempfile.TemporaryDirectory(prefix="extauthz-bench-") as folder:
        run = chapters.Run(
            world=World(Path(folder)),
            report=report,
            seconds=1.0 if options.quick else options.seconds,
            rounds=3 if options.quick else options.rounds,
            own=own,
        )
        for name in names:
            needed = missing_tool() if name in chapters.UNDER_LOAD else None
            if needed:
                report.missing(name, needed)
                continue
            report.begin(name)
            try:
                with on_cores(own | others if name in chapters.SHARED else others):
                    chapters.ALL[name](run)
            except Exception as fault:  # noqa: BLE001  one chapter that fails leaves the others
                report.missing(name, f"it failed: {fault}")
    report.end()
    if names == list(chapters.ALL) and not options.quick:
        report.write(Path(__file__).parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())

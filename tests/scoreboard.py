"""Prints and writes docs/scoreboard.md from what the runs of ``make attack`` have recorded.

``python -m tests.scoreboard FOLDER [FILE]``: FOLDER holds what they recorded, FILE is written.
Executions of fuzzing are those on record in ``tests/fuzz/executions.json`` and those of this
machine that are not yet; killed mutants come from ``tests/mutation/results.json``. It ends with
1 when anything was let through that should not be, or did not hold.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.run import on_record, unrecorded
from tests.tallies import recorded

ROOT = Path(__file__).resolve().parents[1]
MUTANTS = ROOT / "tests" / "mutation" / "results.json"

_HEAD = """\
# Scoreboard

Written by `make attack`. What the rows are and why they are refused, and the promises behind it
all: [threat model](threat-model.md). Times were measured beside everything else that the machine
did; `docs/performance.md` has the figures of a quiet one.
"""


def scoreboard(folder: Path) -> str:
    """The whole page."""
    sections = (_table(folder), _faults(folder), _floods(folder), _fuzzing(), _mutants())
    return "\n".join([_HEAD, *("\n".join([*lines, ""]) for lines in map(list, sections) if lines)])


def failures(folder: Path) -> list[str]:
    """What was let through, or did not hold."""
    wrong = [
        f"{line['way']}, row {line['row']}"
        for line in recorded(folder, "attacks")
        if line["faults"]
    ]
    for section in ("faults", "floods"):
        wrong += [line["name"] for line in recorded(folder, section) if not line["held"]]
    return wrong


def _table(folder: Path) -> Iterator[str]:
    tried: Counter[tuple[str, bool]] = Counter()
    right: Counter[tuple[str, bool]] = Counter()
    rows: dict[str, set[int]] = {}
    for line in recorded(folder, "attacks"):
        kind = (line["way"], line["allowed"])
        tried[kind] += line["cases"]
        right[kind] += line["cases"] - line["faults"]
        rows.setdefault(line["way"], set()).add(line["row"])
    if not rows:
        return
    yield "## The attack table"
    yield ""
    yield "| way in | rows | refused as told | let through as told |"
    yield "| --- | ---: | ---: | ---: |"
    for way, numbers in sorted(rows.items()):
        cells = (f"{right[way, kind]} of {tried[way, kind]}" for kind in (False, True))
        yield f"| {way} | {len(numbers)} | {' | '.join(cells)} |"


def _faults(folder: Path) -> Iterator[str]:
    lines = recorded(folder, "faults")
    if not lines:
        return
    yield f"## Faults: {sum(line['held'] for line in lines)} of {len(lines)} survived"
    yield ""
    yield "In each, tokens of known keys stayed good, and other issuers were untouched."
    yield ""
    yield "| whose | fault | what clients see | |"
    yield "| --- | --- | --- | --- |"
    for line in lines:
        kept = "survived" if line["held"] else "**not survived**"
        yield f"| {line['kind']} | {line['name']} | {line['seen']} | {kept} |"


def _floods(folder: Path) -> Iterator[str]:
    lines = recorded(folder, "floods")
    if not lines:
        return
    yield f"## Floods: {sum(line['held'] for line in lines)} of {len(lines)} held"
    yield ""
    sizes = {line["long"] for line in lines}
    yield ("At full size." if sizes == {True} else "In the short form that CI runs.")
    yield "Good callers ask a hundred times a second over gRPC, each counted from when it meant to."
    yield "Calm is the same service a moment before; memory is what the service grew by."
    yield ""
    yield (
        "| flood | port | sent, and what came of it | p99 calm | p99 flooded | shed | memory | |"
    )
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |"
    for line in lines:
        port = "HTTP" if line["door"] == "http" else f"gRPC ({line['transport']})"
        sent = ", ".join(f"{count:,} {what}" for what, count in sorted(line["sent"].items()))
        asked = line["answered"] + line["failed"]
        cells = (
            line["name"], port, sent, _ms(line["calm_p99"]), _ms(line["p99"]),
            f"{line['failed']} of {asked}", f"{line['grown'] / (1 << 20):.0f} MiB",
            "held" if line["held"] else "**not held**",
        )  # fmt: skip
        yield f"| {' | '.join(cells)} |"
    for line in recorded(folder, "figures"):
        yield ""
        yield (
            f"{line['name'].capitalize()} ({line['transport']}): {line['fetches']} in "
            f"{line['seconds']:g} s, with a cooldown of {line['cooldown']:g} s and a rotation."
        )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _fuzzing() -> Iterator[str]:
    record, until = on_record()
    counts = Counter(record) + unrecorded()
    yield f"## Fuzzing: {sum(counts.values()):,} executions"
    yield ""
    yield f"On record until {until}, and since then on the machine that wrote this."
    yield ""
    yield "| target | executions |"
    yield "| --- | ---: |"
    for name, count in sorted(counts.items()):
        yield f"| {name} | {count:,} |"


def _mutants() -> Iterator[str]:
    if not MUTANTS.exists():
        return
    results: dict[str, Any] = json.loads(MUTANTS.read_text())
    modules = results["modules"]
    total = {
        kind: sum(module.get(kind, 0) for module in modules.values())
        for kind in ("mutants", "killed", "equivalent")
    }
    yield (
        f"## Mutants: {total['killed']:,} of {total['mutants']:,} killed, "
        f"{total['equivalent']:,} change no decision, {results['survivors']} survive"
    )
    yield ""
    yield "| module | mutants | killed | equivalent |"
    yield "| --- | ---: | ---: | ---: |"
    for name, module in sorted(modules.items()):
        counts = (module.get(kind, 0) for kind in ("mutants", "killed", "equivalent"))
        yield f"| {name} | {' | '.join(f'{count:,}' for count in counts)} |"


def main(arguments: list[str]) -> int:
    """Print the page, write it, and say whether everything held."""
    folder = Path(arguments[0])
    page = scoreboard(folder)
    sys.stdout.write(page)
    for file in arguments[1:]:
        Path(file).write_text(page)
    wrong = failures(folder)
    for one in wrong:
        sys.stderr.write(f"not held: {one}\n")
    return 1 if wrong or not recorded(folder, "attacks") else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

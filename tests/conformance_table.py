"""Writes docs/conformance.md: what the standards ask, the tests that show it, and how they went.

    python -m tests.conformance_table

A test names what it shows by ``@pytest.mark.requirement("M12", "R19")``, or its file does by
``pytestmark``. The numbers and their texts are in tests/requirements.toml.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "conformance.md"
PARTS: Final = {
    "M": "The Model Context Protocol, revision 2026-07-28",
    "R": "The RFCs that it rests on",
}
HEAD: Final = """\
# Conformance

What the standards ask of the resource server that extauthz plays for the MCP servers behind it, the
tests that show it, and how these went when this page was written. `make conformance` runs them and
writes it anew; a test keeps its names current.

Beside these, [clients of others](../tests/clients/test_login.py) log in through Envoy and nginx, at
an authorization server of others, and
[the published conformance suite](../tests/clients/test_conformance_suite.py) finds a server the
same behind a gateway as without it.
"""

Names = dict[str, list[str]]


def requirements() -> dict[str, dict[str, str]]:
    """Level, source and text of every requirement, by number."""
    with (ROOT / "tests" / "requirements.toml").open("rb") as file:
        return tomllib.load(file)


def named_by_tests() -> Names:
    """The tests that name each number, as ``path::name`` or ``path::class::name``."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for file in sorted((ROOT / "tests").glob("**/test_*.py")):
        path = file.relative_to(ROOT).as_posix()
        if "node_modules" in path:
            continue
        tree = ast.parse(file.read_text("utf-8"))
        for name, numbers in _tests_of(tree, f"{path}::", _numbers_of_marks(tree.body)):
            for number in numbers:
                found[number].append(name)
    return dict(found)


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _tests_of(
    node: ast.Module | ast.ClassDef, prefix: str, around: list[str]
) -> Iterator[tuple[str, list[str]]]:
    for each in node.body:
        if isinstance(each, ast.ClassDef) and each.name.startswith("Test"):
            inside = around + _numbers(each.decorator_list) + _numbers_of_marks(each.body)
            yield from _tests_of(each, f"{prefix}{each.name}::", inside)
        elif isinstance(each, _FUNCTIONS) and each.name.startswith("test_"):
            yield f"{prefix}{each.name}", around + _numbers(each.decorator_list)


def _numbers_of_marks(body: list[ast.stmt]) -> list[str]:
    """The numbers in ``pytestmark = …``."""
    marks = [
        each.value
        for each in body
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "pytestmark"
    ]
    return _numbers([one for each in marks for one in getattr(each, "elts", [each])])


def _numbers(expressions: list[ast.expr]) -> list[str]:
    return [
        argument.value
        for each in expressions
        if isinstance(each, ast.Call) and ast.unparse(each.func) == "pytest.mark.requirement"
        for argument in each.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]


def page(names: Names, outcomes: Mapping[str, str]) -> str:
    """The whole page; a test without an outcome was not run."""
    lines = [HEAD]
    for part, title in PARTS.items():
        lines += [
            f"## {title}",
            "",
            "| | what | source | tests | result |",
            "|---|---|---|---|---|",
        ]
        for number, asked in requirements().items():
            if number.startswith(part):
                tests = sorted(set(names.get(number, [])))
                what = f"{asked['level']}: {asked['says']}"
                links = "<br>".join(map(_link, tests)) or "none"
                result = asked.get("not_here") or _result(outcomes.get(test) for test in tests)
                lines.append(f"| {number} | {what} | {asked['source']} | {links} | {result} |")
        lines.append("")
    return "\n".join(lines)


def _link(test: str) -> str:
    path, *_, name = test.split("::")
    words = name.removeprefix("test_").replace("_", " ")
    return f"[{words}](../{path})"


def _result(outcomes: Iterator[str | None]) -> str:
    counts = Counter(outcome or "not run" for outcome in outcomes)
    if set(counts) == {"passed"}:
        return "passed"
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "no test"


def without_results(text: str) -> list[str]:
    """The lines of a page, rows of tables without their last column."""
    return [line.rsplit("|", 2)[0] if line.startswith("|") else line for line in text.splitlines()]


def run() -> dict[str, str]:
    """Run every test that names a requirement; the worst outcome of each, over its parameters."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile"]
        command += ["-m", "requirement", f"--junitxml={report}"]
        subprocess.run(command, cwd=ROOT, check=False)
        cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314
        outcomes: dict[str, str] = {}
        for case in cases:
            module, *classes = _module_and_classes(case.attrib["classname"])
            name = "::".join([module, *classes, case.attrib["name"].split("[")[0]])
            outcomes[name] = max(outcomes.get(name, "passed"), _outcome(case), key=_BADNESS.index)
    return outcomes


_BADNESS = ["passed", "skipped", "failed"]


def _outcome(case: ET.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def _module_and_classes(dotted: str) -> list[str]:
    parts = dotted.split(".")
    split = next((n for n, part in enumerate(parts) if part[:1].isupper()), len(parts))
    return ["/".join(parts[:split]) + ".py", *parts[split:]]


def main() -> int:
    """Write the page; 1 when a test that names a requirement did not pass."""
    names, outcomes = named_by_tests(), run()
    PAGE.write_text(page(names, outcomes), "utf-8")
    tests = {test for each in names.values() for test in each}
    return int(any(outcomes.get(test) != "passed" for test in tests))


if __name__ == "__main__":
    sys.exit(main())

"""The report for people, and for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from .findings import Finding, Report

_WIDTH = 100


def table(report: Report) -> str:
    """Every check with its result, then every finding with its cure."""
    lines = [report.url, ""]
    for step in report.steps:
        told = f" ({step.skipped})" if step.skipped else ""
        lines.append(f"{step.result:<8} {step.title}{told}")
    for finding in report.findings:
        lines += ["", *_finding(finding)]
    problems = sum(finding.level == "problem" for finding in report.findings)
    notes = len(report.findings) - problems
    counts = [
        _count(report.requests, "request"),
        _count(problems, "problem"),
        _count(notes, "note"),
    ]
    return "\n".join([*lines, "", ", ".join(counts)]) + "\n"


def _finding(finding: Finding) -> Iterator[str]:
    yield f"{finding.level.upper()}  {finding.code}"
    more = [f"… and {finding.more} more"] if finding.more else []
    for word, texts in (
        ("seen", [*finding.seen, *more]),
        ("means", [finding.entry.means + "."]),
        ("cure", [finding.entry.cure]),
    ):
        for number, text in enumerate(texts):
            first = f"  {word if number == 0 else '':<7}"
            yield textwrap.fill(
                _printable(text), _WIDTH, initial_indent=first, subsequent_indent=" " * 9
            )


def document(report: Report) -> str:
    """The report as JSON."""
    steps = [
        {"check": step.title, "result": step.result.lower(), "skipped": step.skipped}
        for step in report.steps
    ]
    findings = [
        {
            "finding": finding.code,
            "level": finding.level,
            "seen": finding.seen,
            "more": finding.more,
            "means": finding.entry.means,
            "cure": finding.entry.cure,
        }
        for finding in report.findings
    ]
    whole = {
        "url": report.url,
        "healthy": report.healthy,
        "requests": report.requests,
        "checks": steps,
        "findings": findings,
    }
    return json.dumps(whole, indent=2)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)

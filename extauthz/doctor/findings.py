"""What was tried, and what was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .catalogue import CATALOGUE, Code, Entry

_MOST_SEEN = 4


@dataclass(slots=True)
class Finding:
    """One thing found: ``seen`` holds what was tried and what came of it, an example a line."""

    code: Code
    seen: list[str]
    more: int = 0

    @property
    def entry(self) -> Entry:
        """What it means, and its cure."""
        return CATALOGUE[self.code]

    @property
    def level(self) -> str:
        """``problem`` or ``note``."""
        return "note" if self.entry.is_note else "problem"


@dataclass(slots=True)
class Step:
    """One check. ``skipped`` says why it was not made, if it was not."""

    title: str
    findings: list[Finding] = field(default_factory=list)
    skipped: str = ""

    @property
    def result(self) -> str:
        """``ok``, ``note``, ``PROBLEM`` or ``skipped``."""
        if any(finding.level == "problem" for finding in self.findings):
            return "PROBLEM"
        if self.findings:
            return "note"
        return "skipped" if self.skipped else "ok"


@dataclass(slots=True)
class Report:
    """Every check in the order it was made."""

    url: str
    steps: list[Step] = field(default_factory=list)
    requests: int = 0
    _under_way: Step = field(default_factory=lambda: Step(""), init=False, repr=False)

    @contextmanager
    def step(self, title: str, *, first: bool = False) -> Iterator[Step]:
        """One check; what is found until the next one begins belongs to it.

        ``first``: it is told before all others.
        """
        self._under_way = step = Step(title)
        self.steps.insert(0 if first else len(self.steps), step)
        yield step

    def found(self, code: Code, seen: str) -> None:
        """Something was found by the check that is under way. Examples of one kind are counted."""
        findings = self._under_way.findings
        for finding in findings:
            if finding.code is code:
                if len(finding.seen) < _MOST_SEEN:
                    finding.seen.append(seen)
                else:
                    finding.more += 1
                return
        findings.append(Finding(code, [seen]))

    def has(self, code: Code) -> bool:
        """Whether this was found."""
        return any(finding.code is code for finding in self.findings)

    @property
    def findings(self) -> list[Finding]:
        """Everything that was found, problems first."""
        found = [finding for step in self.steps for finding in step.findings]
        return sorted(found, key=lambda finding: finding.level != "problem")

    @property
    def healthy(self) -> bool:
        """Whether there is nothing to mend."""
        return not any(finding.level == "problem" for finding in self.findings)

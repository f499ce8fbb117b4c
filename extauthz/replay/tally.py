"""What came of a whole log: counts, and groups of people, servers and calls. Bounded memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from .judge import Change, Kept, Verdict
from .record import Record

MAX_GROUPS: Final = 10_000
"""Groups that are told apart; lines of further ones are only counted."""

_MAX_NUMBERS: Final = 10
_MAX_CONFIGS: Final = 20


class Section(StrEnum):
    """What groups are told of, in the order of a report."""

    LOST = "lost"
    GAINED = "gained"
    REPORTED = "reported"
    CANNOT_TELL = "cannot_tell"


class Group(NamedTuple):
    """Who, where, what, and why. ``server`` is the new one's name where there is one."""

    section: Section
    subject: str | None
    client_id: str | None
    server: str | None
    call: str
    reason: str
    detail: str


@dataclass(slots=True)
class Tally:
    """Counts of lines.

    ``by_doctor`` counts requests of ``extauthz doctor`` that were left out; ``kept`` counts what
    was not judged again, by kind and recorded reason; ``beyond`` are the lines of groups that
    found no room; ``share`` is the least share of allowed requests that some line says is logged.
    """

    decisions: int = 0
    others: int = 0
    by_doctor: int = 0
    unreadable: int = 0
    unreadable_lines: list[int] = field(default_factory=list)
    changes: Counter[Change] = field(default_factory=Counter)
    kept: Counter[tuple[Kept, str]] = field(default_factory=Counter)
    reported: int = 0
    allowed: int = 0
    share: float = 1.0
    configs: dict[str, int] = field(default_factory=dict)
    groups: Counter[Group] = field(default_factory=Counter)
    beyond: Counter[Section] = field(default_factory=Counter)

    def cannot_read(self, number: int) -> None:
        """Count a line that is none of ours, by its number in the log."""
        self.unreadable += 1
        if len(self.unreadable_lines) < _MAX_NUMBERS:
            self.unreadable_lines.append(number)

    def add(self, record: Record, verdict: Verdict) -> None:
        """Count one decision."""
        self.decisions += 1
        self.changes[verdict.change] += 1
        self.allowed += record.had_access
        self.share = min(self.share, record.sample)
        config = record.config
        if config is not None and (config in self.configs or len(self.configs) < _MAX_CONFIGS):
            self.configs[config] = self.configs.get(config, 0) + 1
        if verdict.kept is not None and verdict.change is Change.UNCHANGED:
            self.kept[verdict.kept, str(record.reason or "")] += 1
        reports = verdict.audited and record.outcome != "audit_deny"
        section = _SECTIONS.get(verdict.change)
        if section is None and reports:
            section = Section.REPORTED
            self.reported += 1
        if section is not None:
            self._group(_group(section, record, verdict))

    def _group(self, group: Group) -> None:
        if group in self.groups or len(self.groups) < MAX_GROUPS:
            self.groups[group] += 1
        else:
            self.beyond[group.section] += 1

    def largest(self, section: Section) -> list[tuple[Group, int]]:
        """The groups of a section, the largest first."""
        found = [(group, count) for group, count in self.groups.items() if group.section is section]
        return sorted(found, key=lambda pair: (-pair[1], tuple(map(str, pair[0]))))


_SECTIONS: Final = {
    Change.LOST: Section.LOST,
    Change.GAINED: Section.GAINED,
    Change.CANNOT_TELL: Section.CANNOT_TELL,
}


def _group(section: Section, record: Record, verdict: Verdict) -> Group:
    person, call = record.person, record.call
    if section is Section.GAINED:
        reason, detail = str(record.reason or ""), record.detail
    else:
        reason, detail = str(verdict.reason or ""), verdict.detail
    if call is not None:
        what = f"{call.method} {call.name or ''}".strip() or "(a response)"
    else:
        what = f"{record.http_method or ''} {record.path or ''}".strip()
    return Group(
        section,
        None if person is None else person.subject,
        None if person is None else person.client_id,
        verdict.server or record.server,
        what,
        reason,
        detail,
    )

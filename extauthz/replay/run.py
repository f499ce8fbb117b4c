"""A replay from beginning to end."""

from __future__ import annotations

from collections.abc import Iterable

from extauthz.core.policy import Policy

from .judge import Judge
from .reading import lines_of
from .record import Unreadable, read_record
from .tally import Tally


def replay(logs: Iterable[str], policy: Policy, *, with_doctor: bool = False) -> Tally:
    """Judge every decision of these logs by a policy. Raises ``reading.CannotRead``.

    Lines are numbered through all logs, from 1. ``with_doctor`` judges what ``extauthz doctor``
    tried as well, which is nobody's access.
    """
    judge, tally = Judge(policy), Tally()
    numbered = enumerate((line for log in logs for line in lines_of(log)), start=1)
    for number, line in numbered:
        if line is None:
            tally.cannot_read(number)
            continue
        if not line.strip():
            continue
        try:
            record = read_record(line)
        except Unreadable:
            tally.cannot_read(number)
            continue
        if record is None:
            tally.others += 1
        elif record.by_doctor and not with_doctor:
            tally.by_doctor += 1
        else:
            tally.add(record, judge.judge(record))
    return tally

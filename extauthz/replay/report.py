"""What a replay found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .judge import Change, Kept
from .tally import Group, Section, Tally

_SHOWN: Final = 50
_MAX_TEXT: Final = 160
_TITLES: Final = {
    Section.LOST: "lost",
    Section.GAINED: "gained",
    Section.REPORTED: "let through by mode: audit alone",
    Section.CANNOT_TELL: "cannot tell",
}
_KEPT: Final = {
    Kept.NO_TOKEN_TO_JUDGE: "refused for a token that did not verify",
    Kept.NO_REQUEST_TO_JUDGE: "refused before a server was looked for",
    Kept.NO_ACCESS_ASKED: "documents and preflights",
}


def text(tally: Tally, config: str) -> Iterator[str]:
    """The report for people, line by line."""
    yield f"{_count(tally.decisions, 'decision')} against {config}"
    for change in Change:
        yield f"  {change.value.replace('_', ' '):<12}{tally.changes[change]:>10}"
    if tally.unreadable:
        yield f"  {'unreadable':<12}{tally.unreadable:>10}  {_numbers(tally)}"
    for section in Section:
        yield from _section(tally, section)
    if tally.kept:
        yield ""
        yield "not judged again, counted as unchanged"
        for kept in Kept:
            reasons = {why: n for (kind, why), n in sorted(tally.kept.items()) if kind is kept}
            if reasons:
                named = ", ".join(f"{why} {n}" for why, n in reasons.items() if why)
                yield f"{sum(reasons.values()):>7}  {_KEPT[kept]}{f' ({named})' if named else ''}"
    notes = [*_notes(tally)]
    if notes:
        yield ""
        yield from (f"note: {note}" for note in notes)
    yield ""
    yield _verdict(tally)


def document(tally: Tally, config: str) -> dict[str, object]:
    """The report for programs."""
    return {
        "config": config,
        "decisions": tally.decisions,
        **{change.value: tally.changes[change] for change in Change},
        "reported": tally.reported,
        "unreadable": tally.unreadable,
        "unreadable_lines": tally.unreadable_lines,
        "other_lines": tally.others,
        "doctor_lines": tally.by_doctor,
        "kept": [
            {"kind": kind.value, "reason": why or None, "count": count}
            for (kind, why), count in sorted(tally.kept.items())
        ],
        "decided_by": tally.configs,
        "notes": [*_notes(tally)],
        "groups": [
            {"count": count, **group._asdict()}
            for section in Section
            for group, count in tally.largest(section)
        ],
        "beyond_groups": dict(tally.beyond),
    }


def _section(tally: Tally, section: Section) -> Iterator[str]:
    groups = tally.largest(section)
    if not groups:
        return
    yield ""
    yield _TITLES[section]
    for group, count in groups[:_SHOWN]:
        where = f"{_shown(group.server)}, " if group.server else ""
        yield f"{count:>7}  {_who(group)}: {where}{_shown(group.call)}"
        yield f"{'':>7}  {_why(group)}"
    left = sum(count for _, count in groups[_SHOWN:]) + tally.beyond[section]
    if left:
        yield f"{left:>7}  more, in further groups (--json lists them)"


def _who(group: Group) -> str:
    if group.subject is None and group.client_id is None:
        return "nobody verified"
    if group.subject is None or group.client_id is None:
        return _shown(group.subject or f"client {group.client_id}")
    return f"{_shown(group.subject)} via {_shown(group.client_id)}"


def _why(group: Group) -> str:
    if group.section is Section.CANNOT_TELL:
        return f"not in the log: {_shown(group.detail)}"
    why = group.reason + (f" ({_shown(group.detail)})" if group.detail else "")
    return f"was {why}" if group.section is Section.GAINED else why


def _notes(tally: Tally) -> Iterator[str]:
    if tally.by_doctor:
        yield (
            f"{_count(tally.by_doctor, 'refusal')} of extauthz doctor, as the client names itself, "
            "left out (--with-doctor judges them too)"
        )
    if tally.share < 1:
        yield (
            f"of requests that were let through only a share of {tally.share:g} is in the log "
            "(log.allow_sample): who lost something may be missing"
        )
    if tally.decisions and not tally.allowed:
        yield (
            "no request in the log was let through, so that nobody can be seen to lose "
            "(log.level: warning, or log.allow_sample: 0?)"
        )
    if tally.unreadable and not tally.decisions:
        yield "none of the lines is JSON as extauthz logs it (log.format: text cannot be read)"


def _verdict(tally: Tally) -> str:
    if not tally.decisions:
        return "there is no decision to replay"
    gained, lost = tally.changes[Change.GAINED], tally.changes[Change.LOST]
    if gained or lost:
        return f"access changes: {gained} gained, {lost} lost"
    return "nobody is seen to gain or lose anything"


def _numbers(tally: Tally) -> str:
    more = ", ..." if tally.unreadable > len(tally.unreadable_lines) else ""
    word = "line" if tally.unreadable == 1 else "lines"
    return f"({word} {', '.join(map(str, tally.unreadable_lines))}{more})"


def _shown(value: str | None) -> str:
    """A text of the log, fit for a terminal."""
    text = value or ""
    if not text.isprintable():
        text = text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")

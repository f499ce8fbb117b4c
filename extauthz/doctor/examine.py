"""The order of an examination: first as a client walks, then as an intruder, then with a token."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal

from .browsers import origins, preflights, somebody_else, unowned_paths
from .calls import rules
from .catalogue import Code
from .edge import Edge, Unreachable, Visitor, Wire
from .examination import Examination
from .expectations import Expectations
from .findings import Report
from .holder import dropped, elsewhere, enter, identity, leave, spoofs, two_tokens
from .intruder import bad_tokens, doors, long_tokens, methods_and_hosts, paths
from .patience import unknown_key
from .replies import Reply
from .running import GivenFile, Running
from .upgrades import http2, unasked
from .walk import follow_issuers, follow_metadata, knock

Part = Literal["walk", "intruder", "token"]
PARTS: Final[tuple[Part, ...]] = ("walk", "intruder", "token")
_POINTLESS: Final = {
    Code.NO_ANSWER: "extauthz does not answer",
    Code.NO_ROUTE: "extauthz does not answer",
    Code.NO_SERVER: "extauthz knows no server here",
    Code.UNTRUSTED_PROXY: "extauthz does not believe the proxy",
}
"""What is found first and makes all else a consequence of it."""


def examine(
    edge: Edge,
    expected: Expectations,
    *,
    now: float,
    token: str | None = None,
    echo_tool: str | None = None,
    metadata_url: str | None = None,
    parts: Collection[Part] = PARTS,
    given: GivenFile | None = None,
) -> Report:
    """Examine the server behind ``edge``. Never raises for what the edge does.

    ``now`` is seconds since the epoch. ``token`` is a good access token, ``echo_tool`` a
    tool that reports the identity headers it received; more can be told with them.
    ``parts`` are those that are made; every examination begins with a request without a
    token and the resource metadata. Whether the extauthz that runs goes by the file ``given`` is
    asked of its admin listener.
    """
    report = Report(edge.url)
    running = None if given is None else Running(given, edge.timeout)
    visitor = Visitor(edge)
    exam = Examination(
        edge, Wire(edge), visitor, report, expected, now, token, echo_tool, metadata_url
    )
    try:
        first = knock(exam)
        why = next((why for code, why in _POINTLESS.items() if report.has(code)), None)
        if why is not None:
            _skip(exam, "everything else", f"nothing can be told while {why}")
        elif first is not None:
            follow_metadata(exam)
            _examine(exam, first, parts)
    except Unreachable as error:
        exam.found(Code.UNREACHABLE, f"in the middle of the examination: {error}")
    finally:
        visitor.close()
    if running is not None:
        running.judge(report)
    report.requests = exam.wire.count + visitor.count
    return report


def _examine(exam: Examination, first: Reply, parts: Collection[Part]) -> None:
    if "walk" in parts:
        follow_issuers(exam)
        preflights(exam)
        origins(exam, first)
        unowned_paths(exam)
        unknown_key(exam, first)
    somebody_else(exam)
    if "intruder" in parts:
        if first.ok:
            _skip(exam, "attacks without a token", "nothing is refused")
        else:
            paths(exam)
            methods_and_hosts(exam)
            unasked(exam)
            bad_tokens(exam)
            long_tokens(exam)
        doors(exam)
    if "token" in parts:
        _with_token(exam)


def _with_token(exam: Examination) -> None:
    if exam.token is None:
        _skip(exam, "attacks with a token", "no --token-file")
    elif enter(exam):
        normal = identity(exam)
        spoofs(exam, normal)
        dropped(exam, normal)
        http2(exam)
        if exam.expected.audit:
            _skip(exam, "what a good token does not open", "mode: audit refuses nothing")
        else:
            two_tokens(exam)
            elsewhere(exam)
            rules(exam)
        leave(exam)


def _skip(exam: Examination, title: str, why: str) -> None:
    with exam.report.step(title) as step:
        step.skipped = why

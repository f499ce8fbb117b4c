"""The last refusals as the status page shows them: for whoever asks why they were refused."""

from __future__ import annotations

from collections.abc import Sequence

from extauthz.telemetry.counts import AUDIT_DENY
from extauthz.telemetry.refusals import EACH, Refusal

from .html import Content, Html, element, joined
from .page import ago, badge, code, note, table
from .status import Status

SHOWN = 20
"""So many are shown unfolded."""

_HINT = element(
    "p",
    f"The last {EACH} of each reason and server, as the log has them. How many there were is told "
    "with each server.",
    class_="soft",
)
_FEWER = note(
    "", "log.level is error: of refusals, keys_unavailable alone has lines in the log and here."
)


def last_refusals(status: Status) -> Html:
    """Every refusal that is kept, the newest first; older ones and those of doctor are folded."""
    doctors = [one for one in status.refusals if one.agent is not None]
    others = [one for one in status.refusals if one.agent is None]
    return joined(
        None if status.refusals_kept else _FEWER,
        element("div", _HINT, _table(others[:SHOWN], status), class_="card"),
        _folded("older ones", others[SHOWN:], status),
        _folded("whose client calls itself extauthz doctor", doctors, status),
    )


def _folded(what: str, refusals: Sequence[Refusal], status: Status) -> Html | None:
    if not refusals:
        return None
    summary = element("summary", element("strong", f"{len(refusals)} {what}"))
    return element("details", summary, _table(refusals, status))


def _table(refusals: Sequence[Refusal], status: Status) -> Html:
    if not refusals:
        return element("p", "None since the start.")
    rows = ((_where(one, status), _why(one, status), _request(one)) for one in refusals)
    return table(("Server", "Reason", "Request"), rows)


def _where(one: Refusal, status: Status) -> Html:
    server = one.server if one.server is not None else _soft("none")
    return element("div", server, _soft_line(ago(one.decided_at, status.now_at)), class_="where")


def _why(one: Refusal, status: Status) -> Html:
    audited = one.decision == AUDIT_DENY
    older = one.config is not None and one.config != status.health.config.digest
    return joined(
        element("strong", one.reason),
        " ",
        badge("audit: let through", "warn") if audited else badge(str(one.status)),
        one.detail and element("div", one.detail),
        _soft_line("by another configuration: ", code(one.config or "")) if older else None,
    )


def _request(one: Refusal) -> Html:
    where = f"{one.host or ''}{one.path or ''}"
    call = " ".join(text for text in (one.method, one.name) if text)
    return joined(
        (one.http_method or "", " ", code(where)),
        call and element("div", code(call)),
        _soft_line(f"over {one.transport}", one.request_id and (", id ", code(one.request_id))),
    )


def _soft(*content: Content) -> Html:
    return element("span", *content, class_="soft")


def _soft_line(*content: Content) -> Html:
    return element("div", *content, class_="soft")

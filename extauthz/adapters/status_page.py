"""``/status`` for people: one page, readable on a phone, without scripts."""

from __future__ import annotations

from collections.abc import Sequence

from extauthz.keys.status import IssuerStatus, KeyInfo
from extauthz.telemetry.counts import AUDIT_DENY

from .explain_page import Question, explain_form
from .html import Content, Html, element, joined
from .page import ago, badge, bullets, code, codes, facts, note, page, span, table, until
from .refusal_table import last_refusals
from .status import (
    CacheStatus,
    ConfigStatus,
    Health,
    OutcomeCount,
    ServerStatus,
    Status,
)

_FEW = 3
"""So many issuers or servers are shown unfolded."""


def status_page(status: Status) -> bytes:
    """The whole page."""
    now = status.now_at
    issuers = status.health.issuers
    return page(
        "extauthz status",
        _header(status),
        _section("config", "Configuration", _config(status.health.config, now)),
        _section(
            "issuers",
            f"Issuers ({len(issuers)})",
            (_issuer(issuer, now, len(issuers) <= _FEW) for issuer in issuers),
        ),
        _section(
            "servers",
            f"Servers ({len(status.servers)})",
            (_server(server, len(status.servers) <= _FEW) for server in status.servers),
            _elsewhere(status.elsewhere),
        ),
        _section("refusals", "Last refusals", last_refusals(status)),
        _section("tokens", "Verified tokens", _cache(status.cache)),
        _section("explain", "Explain a request", explain_form(Question())),
        element(
            "footer",
            "As of ",
            ago(now, now),
            ". Ask with ",
            code("Accept: application/json"),
            " for the same as JSON; numbers over time are in ",
            element("a", "metrics", href="/metrics"),
            ".",
            class_="soft",
        ),
    )


def _section(name: str, title: str, *content: Content) -> Html:
    return element("section", element("h2", title), *content, id=name)


def _header(status: Status) -> Html:
    health = status.health
    names = ("config", "issuers", "servers", "refusals", "tokens", "explain")
    return joined(
        element(
            "header",
            element("h1", "extauthz"),
            element("span", status.version, class_="soft"),
            badge("ready", "good") if health.ready else badge("not ready", "bad"),
            _concerns(health),
            element("span", f"up {span(status.now_at - status.started_at)}", class_="soft"),
        ),
        _obstacle(health),
        _dropped(status.dropped_lines),
        element(
            "nav",
            (element("a", name.capitalize(), href=f"#{name}") for name in names),
            aria_label="Sections",
        ),
    )


def _concerns(health: Health) -> Html:
    empty = sum(1 for issuer in health.issuers if issuer.first_attempt_done and not issuer.usable)
    concerns = [badge(f"{_count(empty, 'issuer')} without keys", "bad")] if empty else []
    if health.config.problems:
        concerns.append(badge("changed file not used", "bad"))
    return joined(concerns)


def _obstacle(health: Health) -> Html | None:
    return note("bad", health.obstacle) if health.obstacle else None


def _dropped(lines: int) -> Html | None:
    if not lines:
        return None
    return note("warn", f"{lines} log lines were dropped: whoever reads the log is too slow.")


def _config(config: ConfigStatus, now: float) -> Html:
    problems = warnings = None
    if config.problems:
        when = ago(config.failed_at, now) if config.failed_at is not None else "lately"
        problems = note(
            "bad",
            element("strong", "The file has changed and cannot be used"),
            " (tried ",
            when,
            "); the one before it stays in force.",
            bullets(code(problem) for problem in config.problems),
        )
    if config.warnings:
        warnings = note("warn", element("strong", "Risky"), bullets(config.warnings))
    return element(
        "div",
        facts(
            ("Source", code(config.source)),
            ("Loaded", ago(config.loaded_at, now)),
            ("Digest", (code(config.digest), " of the file, as decision lines have it")),
            ("Meaning", (code(config.meaning), " of issuers and servers, however written")),
            ("Client ID", code(config.client_id) if config.client_id else None),
        ),
        problems,
        warnings,
        class_="card",
    )


def _issuer(issuer: IssuerStatus, now: float, unfold: bool) -> Html:
    word, tone = _issuer_state(issuer)
    error = None
    if issuer.last_error:
        when = None
        if issuer.last_error_at is not None:
            when = (" (", ago(issuer.last_error_at, now), ")")
        error = note("warn" if issuer.usable else "bad", issuer.last_error, when)
    return element(
        "details",
        element(
            "summary",
            element("strong", issuer.name),
            element("span", _count(len(issuer.keys), "key"), class_="soft"),
            badge(word, tone),
        ),
        error,
        facts(
            ("Issuer", code(issuer.issuer)),
            ("Keys from", _source(issuer)),
            ("Last refresh", _last_refresh(issuer, now)),
            ("Next refresh", until(issuer.next_refresh_at, now)),
        ),
        _keys(issuer.keys, now),
        issuer.skipped
        and note("warn", "Members of the key set that are not used:", bullets(issuer.skipped)),
        open=unfold or tone != "good",
    )


def _issuer_state(issuer: IssuerStatus) -> tuple[str, str]:
    if issuer.usable and issuer.last_error:
        return "serves last good keys", "warn"
    if issuer.usable:
        return ("serves keys of a snapshot", "warn") if issuer.from_snapshot else ("ok", "good")
    if not issuer.first_attempt_done:
        return "waiting for its first keys", "warn"
    return "no keys: its tokens get 503", "bad"


def _source(issuer: IssuerStatus) -> Html:
    found = issuer.jwks_file or issuer.jwks_uri
    return code(found) if found else element("span", "not discovered yet", class_="soft")


def _last_refresh(issuer: IssuerStatus, now: float) -> Html:
    if issuer.fetched_at is None:
        return element("span", "never succeeded", class_="soft")
    return ago(issuer.fetched_at, now)


def _keys(keys: Sequence[KeyInfo], now: float) -> Html | None:
    if not keys:
        return None
    rows = (
        (
            code(key.kid) if key.kid is not None else element("span", "no kid", class_="soft"),
            f"{key.kty} {key.size}",
            " ".join(key.algorithms),
            ago(key.since_at, now),
        )
        for key in keys
    )
    return table(("Key ID", "Kind", "Algorithms", "First seen"), rows)


def _server(server: ServerStatus, unfold: bool) -> Html:
    audit = server.mode == "audit"
    return element(
        "details",
        element(
            "summary",
            element("strong", server.name),
            _bars(server.per_minute, _would_be_refused(server)),
            badge(server.mode, "warn" if audit else ""),
        ),
        server.notes and note("warn", bullets(server.notes)),
        facts(
            (
                "Resource",
                code(server.resource) if server.resource else "none: no resource metadata",
            ),
            ("Matches", codes(server.matches, "nothing")),
            ("Issuers", codes(server.issuers, "none")),
            ("Audiences", codes(server.audiences, "none")),
            ("Scopes", codes(server.scopes, "none on every request")),
            ("Public paths", server.public_paths and codes(server.public_paths, "")),
        ),
        (element("h3", "Rules"), _rules(server)) if server.rules else None,
        element("h3", "Decisions"),
        _outcomes(server.outcomes),
        open=unfold or audit,
    )


def _rules(server: ServerStatus) -> Html:
    rows = (
        (
            (rule.kind, " ", code(rule.key) if rule.key else "that no key matches"),
            badge("denied", "bad") if rule.demand == "denied" else rule.demand,
        )
        for rule in server.rules
    )
    return table(("Call", "Demand"), rows)


def _outcomes(outcomes: Sequence[OutcomeCount]) -> Html:
    if not outcomes:
        return element("p", "None since the start.", class_="soft")
    rows = (
        (
            f"{row.decision} {row.reason}".strip(),
            *(f"{n:,}" for n in (row.last_5_minutes, row.last_15_minutes, row.since_start)),
        )
        for row in outcomes
    )
    return table(("Outcome", "5 min", "15 min", "in all"), rows, numbers=3)


def _elsewhere(outcomes: Sequence[OutcomeCount]) -> Html | None:
    if not outcomes:
        return None
    return element(
        "div",
        element("strong", "Requests that belong to no server"),
        _outcomes(outcomes),
        class_="card",
    )


def _bars(per_minute: Sequence[tuple[int, int]], more: str) -> Html:
    """A small chart of the last minutes: let through below, refused on top."""
    most = max((passed + refused for passed, refused in per_minute), default=0) or 1
    bars: list[Html] = []
    for index, (passed, refused) in enumerate(per_minute):
        low, high = 20 * passed / most, 20 * refused / most
        x = f"{index * 8}"
        bars += [
            _bar("base", x, 21, 1),
            _bar("passed", x, 21 - low, low),
            _bar("refused", x, 21 - low - high, high),
        ]
    let_through, denied = (sum(column) for column in zip(*per_minute, strict=True))
    label = f"each of the last {len(per_minute)} minutes"
    chart = element(
        "svg",
        element("title", label),
        bars,
        viewBox=f"0 0 {8 * len(per_minute)} 22",
        role="img",
        preserveAspectRatio="none",
        aria_label=label,
    )
    numbers = f"{let_through:,} let through, {denied:,} refused{more}"
    return joined(chart, element("span", numbers, class_="soft"))


def _would_be_refused(server: ServerStatus) -> str:
    """How many of the requests that were let through ``mode: enforce`` would refuse."""
    number = sum(row.last_15_minutes for row in server.outcomes if row.decision == AUDIT_DENY)
    return f"; {number:,} would be refused" if number or server.mode == "audit" else ""


def _bar(kind: str, x: str, y: float, height: float) -> Html:
    return element("rect", class_=kind, x=x, y=f"{y:.1f}", width="6", height=f"{height:.1f}")


def _cache(cache: CacheStatus) -> Html:
    asked = cache.hits + cache.misses
    share = (
        f"{100 * cache.hits / asked:.1f} % of {asked:,} look-ups" if asked else "no look-ups yet"
    )
    if not cache.capacity:
        content: Content = element("p", "Not remembered: tokens.cache_entries is 0.")
    else:
        content = facts(
            ("Remembered", f"{cache.entries:,} of at most {cache.capacity:,}"),
            ("Found", share),
        )
    return element("div", content, class_="card")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"

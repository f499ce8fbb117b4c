"""The status page: sound markup, what it says, and how a real browser shows it."""

from __future__ import annotations

import base64
import hashlib
import http.server
import os
import re
import shutil
import struct
import subprocess
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from extauthz.adapters.explain_page import Question, explain_form, explanation_page
from extauthz.adapters.html import Html, element, joined
from extauthz.adapters.page import HEADERS, span
from extauthz.adapters.refusal_table import SHOWN
from extauthz.adapters.server_status import in_words, server_statuses, traffic_by_server
from extauthz.adapters.status import Status
from extauthz.adapters.status_page import status_page
from extauthz.core.engine import Engine
from extauthz.core.explain import explain
from extauthz.core.rules import Rule
from extauthz.telemetry.counts import DecisionCounts
from extauthz.telemetry.recent import RecentDecisions
from tests.adapters.sample_status import policy, refused, sample_status, traffic
from tests.policies import asking, key_sets, policy_for_tests, policy_with
from tests.tokens import NOW, mint

CHROMIUM = shutil.which("chromium")


class Outline(HTMLParser):
    """Reads a page strictly: every element is closed, in order."""

    void = frozenset({"meta", "input", "br", "link", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.seen.append(tag)
        if identifier := named.get("id"):
            self.ids.append(identifier)
        if label := named.get("for"):
            self.labels.append(label)
        assert "style" not in named
        assert not any(name.startswith("on") for name in named)
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def explanation(token: str) -> bytes:
    engine = Engine(policy_for_tests())
    question = Question(host="mcp.example.com", path="/notes/mcp")
    told = explain(engine, asking(token, method="GET"), key_sets(), now=NOW)
    return explanation_page(told, question)


PAGES = {
    "status-bad-day": status_page(sample_status()),
    "status-good-day": status_page(sample_status(bad_day=False)),
    "explain-allowed": explanation(mint()),
    "explain-refused": explanation(mint({"iss": "https://idp.example.com/realms/acme/"})),
}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES.keys())
def test_the_markup_is_sound(page: bytes) -> None:
    outline = Outline(page.decode())
    assert len(set(outline.ids)) == len(outline.ids)
    assert set(outline.labels) <= set(outline.ids)
    assert not {"script", "iframe", "img", "object"} & set(outline.seen)


def test_the_one_style_is_the_one_that_the_policy_admits() -> None:
    page = PAGES["status-good-day"].decode()
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    admitted = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{admitted}'" in dict(HEADERS)["content-security-policy"]


def text_of(page: bytes) -> str:
    text = re.sub(r"<style>.*?</style>", "", page.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_a_bad_day_is_told_from_a_good_one() -> None:
    bad, good = text_of(PAGES["status-bad-day"]), text_of(PAGES["status-good-day"])
    for trouble in (
        "1 issuer without keys",
        "changed file not used",
        "no keys: its tokens get 503",
        "connection refused",
        "log lines were dropped",
        "Audit: refusals are only reported",
        "Tokens of any audience are accepted",
        "fewer than 2048",
    ):
        assert trouble in bad
        assert trouble not in good


def test_the_page_says_what_operators_look_for() -> None:
    text = text_of(PAGES["status-bad-day"])
    for fact in (
        "0.1.0 ready",
        "sha256:5f1c0a8be2",
        "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE RSA 2048 RS256",
        "Last refresh 2 min ago",
        "Next refresh in 7 min",
        "tool transfer needs money.read; needs one of money.write, money.admin",
        "tool danger_* denied",
        "prompt that no key matches denied",
        "deny wrong_audience 25 50 50",
        "1,240 of at most 100,000",
        "96.4 % of 52,188 look-ups",
        "deny no_matching_server",
    ):
        assert fact in text


def test_fifty_servers_are_folded_and_the_one_in_audit_is_not() -> None:
    status = sample_status()
    enforcing, auditing = status.servers
    many = tuple(replace(enforcing, name=f"server-{n}") for n in range(49))
    page = status_page(replace(status, servers=(*many, auditing))).decode()
    servers = page.split('id="servers"')[1].split("</section>")[0]
    assert servers.count("<details>") == 49
    assert servers.count("<details open>") == 1


def test_a_server_that_nobody_asked_for_yet_is_shown() -> None:
    status = sample_status()
    idle = replace(status.servers[0], outcomes=(), per_minute=((0, 0),) * 15)
    text = text_of(status_page(replace(status, servers=(idle,))))
    assert "None since the start." in text
    assert "0 let through, 0 refused" in text


def test_traffic_is_summed_over_doors_and_split_by_minute() -> None:
    counts, recent, now = traffic(minutes=3)
    counts.observe("calculator", "deny", "missing_token", "http", 0.1)
    by_server = traffic_by_server(counts, recent, now)
    calculator = by_server["calculator"]
    refused = next(row for row in calculator.outcomes if row.reason == "missing_token")
    assert (refused.last_5_minutes, refused.last_15_minutes, refused.since_start) == (10, 10, 10)
    assert calculator.per_minute[-3:] == [(40, 3), (57, 3), (74, 4)]
    assert [status.name for status in server_statuses(policy(), by_server)] == [
        "calculator",
        "archive",
    ]


def test_the_claims_that_a_server_asks_for_are_told() -> None:
    ruled = policy_with("notes", claims={"groups": ["editors", "owners"], "/org/id": 7})
    (note,) = server_statuses(ruled, {})[0].notes
    assert note == (
        "Every request needs this of its token: claim groups is or contains editors or owners; "
        "claim /org/id is or contains 7."
    )
    assert server_statuses(policy_for_tests(), {})[0].notes == ()


@pytest.mark.parametrize(
    ("outcome", "minute"),
    [
        ("allow", (1, 0)),
        ("public", (1, 0)),
        ("audit_deny", (1, 0)),
        ("deny", (0, 1)),
        ("answer", (0, 0)),
    ],
)
def test_what_reached_the_server_is_let_through_and_what_was_denied_is_refused(
    outcome: str, minute: tuple[int, int]
) -> None:
    counts = DecisionCounts()
    recent = RecentDecisions(counts, 0.0)
    counts.observe("archive", outcome, "", "grpc", 0.1)
    assert traffic_by_server(counts, recent, 1.0)["archive"].per_minute[-1] == minute


def test_what_audit_would_refuse_is_told_apart() -> None:
    text = text_of(PAGES["status-bad-day"])
    assert "837 let through, 86 refused enforce" in text
    assert "90 let through, 0 refused; 18 would be refused audit" in text


def refusals_of(status: Status) -> str:
    return status_page(status).decode().split('id="refusals"')[1].split("</section>")[0]


def test_each_refusal_is_told_with_why_and_what_was_asked() -> None:
    text = text_of(refusals_of(sample_status()).encode())
    for told in (
        "calculator 9 s ago insufficient_scope 403 rule transfer POST mcp.example.com/calculator/",
        "/mcp tools/call transfer over grpc, id 18d9d33b-f63b-4b1c-9f6b-d77e43585121",
        "none 11 s ago no_matching_server 403 no server matches host and path GET mcp.example.com/",
        "archive 70 s ago wrong_audience audit: let through not issued for archive",
        "unknown_key 401 no key of issuer corp fits by another configuration: 0c44d6a1f3ab",
        "1 whose client calls itself extauthz doctor",
    ):
        assert told in text
    assert text.count("by another configuration") == 1
    assert "older ones" not in text
    assert "None since the start." in refusals_of(sample_status(bad_day=False))


def test_the_newest_refusals_are_unfolded_and_doctors_never_are() -> None:
    status = sample_status()
    doctors = tuple(refused(1, "missing_token", agent="extauthz-doctor") for _ in range(7))
    others = tuple(refused(2, "missing_token") for _ in range(SHOWN))
    text = refusals_of(replace(status, refusals=(*doctors, *others)))
    assert text.count("<details>") == 1
    assert "<strong>7 whose client calls itself extauthz doctor</strong>" in text
    one_more = refused(3, "bad_origin")
    text = refusals_of(replace(status, refusals=(*doctors, *others, one_more)))
    assert text.count("<details>") == 2
    assert "bad_origin" in text.split("<strong>1 older ones</strong>")[1]


def test_where_few_refusals_have_a_line_the_page_says_so_and_shows_those() -> None:
    status = sample_status(bad_day=False)
    assert "log.level is error" not in refusals_of(status)
    one = refused(1, "keys_unavailable")
    told = refusals_of(replace(status, refusals_kept=False, refusals=(one,)))
    assert "log.level is error" in told
    assert "<strong>keys_unavailable</strong>" in told


HOSTILE = '<script>alert("1")</script>'


def test_what_a_refused_request_held_is_no_markup() -> None:
    names = ("server", "reason", "detail", "http_method", "host", "path", "method", "name")
    more = ("transport", "request_id", "agent", "config")
    hostile: dict[str, Any] = dict.fromkeys((*names, *more), HOSTILE)
    reason = hostile.pop("reason")
    for agent in (None, HOSTILE):
        one = refused(1, reason, **{**hostile, "agent": agent})
        page = status_page(replace(sample_status(), refusals=(one,)))
        assert "script" not in Outline(page.decode()).seen
        assert b"<script" not in page
        assert b"&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(key="x"), "allowed"),
        (Rule(key="x", deny=True), "denied"),
        (Rule(key="x", scopes=("a",)), "needs a"),
        (
            Rule(key="x", scopes=("a", "b"), any_scopes=("c", "d")),
            "needs a and b; needs one of c, d",
        ),
    ],
)
def test_rules_are_told_in_words(rule: Rule, words: str) -> None:
    assert in_words(rule) == words


def test_text_is_escaped_and_html_is_not() -> None:
    assert element("p", "<b>", title='"&') == '<p title="&quot;&amp;">&lt;b&gt;</p>'
    assert element("p", element("b", "x")) == "<p><b>x</b></p>"
    assert joined("&", None, ["<", Html("<i></i>")]) == "&amp;&lt;<i></i>"
    assert element("input", required=True, disabled=False, value=None) == "<input required>"


def test_the_form_demands_host_and_path_and_no_token() -> None:
    inputs = re.findall(r"<(?:input|textarea)[^>]*>", explain_form(Question()))
    required = [re.findall(r' name="(\w+)"', one)[0] for one in inputs if " required" in one]
    assert required == ["host", "path"]


def test_the_form_never_gives_a_token_back() -> None:
    assert "canary" not in explain_form(Question(token="canary", host="h", path="/p"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (2e5, "2 d")],
)
def test_spans_are_told_in_their_largest_fitting_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


def first_pixel(png: bytes) -> tuple[int, int, int, int, int]:
    """Width, height, and the colour of the upper left corner of a PNG."""
    width, height, _depth, colour_type = struct.unpack(">IIBB", png[16:26])
    assert colour_type in (2, 6)
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += 12 + length
    row = zlib.decompressobj().decompress(data, 8)
    return width, height, row[1], row[2], row[3]


@contextmanager
def served(page: bytes) -> Iterator[str]:
    """The page as the listener sends it: its policy must not keep a browser from its style."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            for name, value in HEADERS:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


GROUND = {"light": (244, 245, 247), "dark": (15, 19, 24)}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: the page is not looked at")
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 1280),
        ("dark", 390),
        pytest.param("light", 390, marks=pytest.mark.long),
        pytest.param("dark", 1280, marks=pytest.mark.long),
    ],
)
def test_a_browser_shows_it_light_and_dark(
    name: str, scheme: str, width: int, tmp_path: Path
) -> None:
    """Screenshots go to TEST_ARTEFACTS, if that names a folder, to be looked at."""
    artefacts = Path(os.environ.get("TEST_ARTEFACTS") or tmp_path)
    artefacts.mkdir(parents=True, exist_ok=True)
    shot = artefacts / f"{name}-{width}-{scheme}.png"
    assert CHROMIUM is not None
    with served(PAGES[name]) as url:
        subprocess.run(
            [
                CHROMIUM,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
                f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",
                f"--user-data-dir={tmp_path / 'profile'}",
                f"--window-size={width},1400",
                f"--screenshot={shot}",
                url,
            ],
            check=True,
            capture_output=True,
            timeout=50,
        )
    assert first_pixel(shot.read_bytes()) == (width, 1400, *GROUND[scheme])

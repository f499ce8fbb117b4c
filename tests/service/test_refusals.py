"""Why somebody was refused, as a running service tells it: on one process and on several."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import CONFIG, WORKERS, Running, children, started, until
from tests.tokens import ISSUER, b64, mint

CANARY = "canary7f3a"
HOSTILE = "<script>alert(1)</script>"
JSON, HTML = "application/json", "text/html"
CONFIGS = {"one process": CONFIG, "two workers": WORKERS}


def pages(running: Running) -> str:
    """What the status says, for programs and for people."""
    return "".join(
        running.ask("admin", "/status", accept=kind)[2].decode() for kind in (JSON, HTML)
    )


def refusals(running: Running) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = running.status()["refusals"]
    return told


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_who_was_refused_finds_why_and_nothing_of_any_token(tmp_path: Path, config: str) -> None:
    running = Running(tmp_path)
    running.write(config + "log: {{subject: off}}\n")
    now = time.time()
    named = {"sub": CANARY, "client_id": CANARY, "jti": CANARY}
    verified = mint({"scope": "other", **named}, now=now)
    tokens = (
        f"{CANARY}.{CANARY}.{CANARY}",
        mint({"iss": f"{ISSUER}/", **named}, now=now),
        mint({"aud": f"https://{CANARY}.example", **named}, now=now),
        mint(named, now=now, sign=lambda _: CANARY.encode()),
        verified,
    )
    reasons = (
        "malformed_token",
        "unknown_issuer",
        "wrong_audience",
        "bad_signature",
        "insufficient_scope",
    )
    with started(running):
        for token in tokens:
            assert running.judge_token(token)[0] in (401, 403)
        until(lambda: len(refusals(running)) == len(tokens))
        told = refusals(running)
        assert sorted(one["reason"] for one in told) == sorted(reasons)
        by_time = [one["decided_at"] for one in told]
        assert by_time == sorted(by_time, reverse=True)
        assert {(one["server"], one["path"]) for one in told} == {("notes", "/notes/mcp")}
        shown = pages(running)
    for reason in reasons:
        assert f"<strong>{reason}</strong>" in shown
    for token in tokens:
        for part in (CANARY, b64(CANARY), *token.split(".")):
            assert part not in shown


def test_headers_of_a_refused_request_put_nothing_into_the_page(service: Running) -> None:
    odd = {
        "x_forwarded_uri": f"/notes/{HOSTILE}",
        "x_forwarded_method": "GET",
        "x_forwarded_host": "mcp.example.com",
        "x_forwarded_proto": "https",
    }
    more = ("x_request_id", "user_agent", "origin", "traceparent", "mcp_name", "cookie")
    service.ask("http", "/auth/forward", **odd, **dict.fromkeys(more, f"{HOSTILE}{CANARY}"))
    service.ask("http", "/auth/forward", **{**odd, "x_forwarded_host": HOSTILE})
    until(lambda: len(refusals(service)) == 2)
    assert {one["request_id"] for one in refusals(service)} == {None}
    shown = pages(service)
    assert "<script" not in shown
    assert CANARY not in shown


def test_what_a_worker_refused_is_told_after_its_death(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.write(WORKERS)
    with started(running):
        running.judge(scope="other")
        until(lambda: refusals(running))
        before = refusals(running)
        victims = children(running)
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        until(lambda: len(children(running)) == 2 and not {*victims} & {*children(running)})
        assert refusals(running) == before


def test_all_workers_together_keep_a_few_of_each_kind(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.write(WORKERS)
    with started(running):
        running.judge(scope="other")
        until(lambda: refusals(running))
        for _ in range(40):
            running.judge_token("a.b.c")
        running.judge(aud="https://other.example")
        kinds = ["insufficient_scope", *["malformed_token"] * 3, "wrong_audience"]
        until(lambda: sorted(one["reason"] for one in refusals(running)) == kinds)

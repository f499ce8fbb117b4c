"""What a request may cost: no more than a few genuine ones in time, and nothing kept in memory."""

from __future__ import annotations

import gc
import json
import threading
import time
import tracemalloc
from collections import deque
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from extauthz.core import compact
from extauthz.core import token as token_module
from extauthz.core.engine import Engine
from extauthz.core.identity import Lookalikes, header_names
from extauthz.core.model import Request
from extauthz.telemetry.counts import DecisionCounts
from extauthz.telemetry.decision_log import DecisionLog, LineStyle
from extauthz.telemetry.formats import json_line, text_line
from extauthz.telemetry.observer import DecisionObserver
from extauthz.telemetry.replayable import InForce
from extauthz.telemetry.spans import OtelSpans
from tests.attacks.doors import check_request
from tests.attacks.table import Sent
from tests.fuzz.targets.check_request import CALCULATING, GOOD, one
from tests.policies import asking, key_sets, policy_for_tests
from tests.tokens import NOW, b64, good_claims, mint, signer, with_member

ENGINE = Engine(policy_for_tests())
KEYS = key_sets()
HEADER = b64('{"alg":"ES256","kid":"es256"}')


def posted(body: bytes) -> Request:
    return asking(CALCULATING, target="/calculator/mcp", body=body)


def listed(element: str, length: int = 11_000) -> bytes:
    inner = ",".join([element] * (length // (len(element) + 1)))
    return with_member(good_claims(), "fill", f"[{inner}]")


def unsigned(payload: bytes) -> Request:
    """Claims of a token whose signature nobody made: read before it is looked at."""
    return asking(f"{HEADER}.{b64(payload)}.{'A' * 86}")


# Text of the largest size that a proxy or a limit of ours lets through.
COSTLY: dict[str, Request] = {
    "brackets and an open string": unsigned(b"[" * 65 + b'"' + b'\\"' * 5_500),
    "brackets and an escape at the end": unsigned(b"[" * 65 + b'"' + b'\\"' * 5_500 + b"\\"),
    "brackets of which some are closed": unsigned(b"[" * 11_000 + b"]" * 100),
    "many arrays": unsigned(listed("[]")),
    "many objects": unsigned(listed("{}")),
    "many numbers": unsigned(listed("1e1")),
    "many members": unsigned(
        json.dumps({f"{n}": 1 for n in range(1_400)} | good_claims()).encode()
    ),
    "many escapes": unsigned(listed('"\\u00e9"')),
    "long numbers": unsigned(listed("9" * 400)),
    "dots": asking("." * 16_000),
    "equals signs": asking("a" + "=" * 16_000),
    "commas": asking(headers={"authorization": ",  " * 20_000}),
    "blanks": asking(headers={"authorization": "Basic ," + " " * 60_000}),
    "a deep path": asking(GOOD, target="/a" * 30_000),
    "a deep short path": asking(GOOD, target="/a" * 4_000),
    "an escaped path": asking(GOOD, target="/" + "%41" * 2_700),
    "a long query": asking(GOOD, target="/notes/mcp?" + "access_token&" * 4_500),
    "a long host": asking(GOOD, host="a." * 30_000),
    "a host of labels": asking(GOOD, host="a." * 126 + "a"),
    "a long origin": asking(GOOD, headers={"origin": "x" * 60_000}),
    "long header names": asking(GOOD, headers={"x" * 30_000: "", "_" * 30_000: ""}),
    "many headers": asking(GOOD, headers={f"x-{n}": "" for n in range(1_000)}),
    "a long name in base64": asking(
        CALCULATING, target="/calculator/mcp", headers={"mcp-name": f"=?base64?{'A' * 60_000}?="},
        body=b'{"method":"tools/call","params":{"name":"a"}}',
    ),
    "a body of brackets": posted(b"[" * 1_000_000),
    "a body of brackets of which some are closed": posted(b"[" * 1_000_000 + b"]" * 100),
    "a body of towers": posted((b"[" * 64 + b"]" * 64 + b",") * 7_700),
    "a deep body of empty arrays": posted(b"[" * 65 + b"[]," * 330_000),
    "a body of quotes": posted(b"[" * 65 + b'"' + b'\\"' * 500_000),
    "a body of disguises": posted(
        json.dumps({"method": "x", **{f"METHOD{n}": 1 for n in range(2_000)}}).encode()
    ),
}  # fmt: skip


def called(name: str) -> Request:
    message = {"method": "tools/call", "params": {"name": name}}
    return posted(json.dumps(message).encode())


# What is told of a request is looked through for tokens: text of which each bit may begin one.
TOLD: dict[str, Request] = {
    "a name that begins tokens": called("eyJ" * 300_000),
    "a name of tokens": called("eyJhbGci." * 100_000),
    "a name of runs that begin tokens": called(("eyJ" * 80 + "/") * 4_000),
    "a name that begins tokens, refused": called("danger_" + "eyJ" * 300_000),
    "a name that begins tokens, by a header": asking(
        CALCULATING, target="/calculator/mcp", headers={"mcp-name": "eyJ" * 20_000},
        body=b'{"method":"tools/call","params":{"name":"a"}}',
    ),
    "a method that begins tokens": posted(json.dumps({"method": "eyJ" * 300_000}).encode()),
    "a path that begins tokens": asking(GOOD, target="/notes/" + "eyJ" * 20_000),
    "a path of tokens": asking(GOOD, target="/notes/" + "eyJhbGci." * 6_000),
    "an origin that begins tokens": asking(
        GOOD, headers={"origin": "https://" + "eyJ" * 20_000}
    ),
    "a host that begins tokens": asking(GOOD, host="eyJ" * 20_000),
    "a name of a request that begins tokens": asking(
        GOOD, headers={"x-request-id": "eyJ" * 20_000, "traceparent": "eyJ" * 20_000}
    ),
    "a server that begins tokens": asking(GOOD, server="eyJ" * 20_000),
    "scopes that begin tokens": asking(mint({"scope": "notes " + "eyJ" * 3_500})),
    "a subject that begins tokens": asking(mint({"sub": "eyJ" * 3_500})),
}  # fmt: skip


def quickest(work: Callable[[], Any], rounds: int = 10) -> float:
    """Seconds of this thread's own processor time: others on the machine do not count."""
    best = float("inf")
    for _ in range(rounds):
        started = time.thread_time()
        work()
        best = min(best, time.thread_time() - started)
    return best


@pytest.fixture(scope="module")
def genuine() -> float:
    """Seconds of one allow whose RS256 signature has to be verified."""
    numbers = count()

    def work() -> None:
        ENGINE.decide(asking(tokens[next(numbers)]), KEYS, now=NOW)

    tokens = [mint({"jti": str(n)}, key=signer("RS256")) for n in range(60)]
    return quickest(work, 50)


@pytest.mark.parametrize("name", COSTLY)
def test_no_request_costs_many_times_a_genuine_one(name: str, genuine: float) -> None:
    """What is squared in some length costs hundreds of times; the bound leaves room for noise.

    A body is larger than a token, and read only after one was verified: a megabyte may cost
    what a megabyte costs.
    """
    request = COSTLY[name]
    within_bounds(request, lambda: ENGINE.decide(request, KEYS, now=NOW), genuine)


@pytest.mark.parametrize("name", COSTLY | TOLD)
def test_nor_does_whatever_is_told_of_it(name: str, genuine: float) -> None:
    """Its line in the log, its place among the last refusals, and its span."""
    request = (COSTLY | TOLD)[name]
    decision: Any = ENGINE.decide(request, KEYS, now=NOW)
    lines: deque[Any] = deque()
    kept: Any = SimpleNamespace(put=lines.append)
    style = LineStyle(in_force=InForce.of(ENGINE.policy))
    log = DecisionLog(kept, style, random=lambda: 0.0)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    observer = DecisionObserver(
        DecisionCounts(), log, wall=lambda: NOW, monotonic=lambda: NOW,
        spans=OtelSpans(provider, version="1"),
    )  # fmt: skip

    def tell() -> None:
        observer.decided(request, decision, "grpc", 0.001)
        while lines:
            fields = lines.popleft().fields()
            json_line(fields)
            text_line(fields)
        log.refusals.told()

    tell()
    within_bounds(request, tell, genuine)


def within_bounds(request: Request, work: Callable[[], Any], genuine: float) -> None:
    size = sum(map(len, (request.target, request.host, request.body or b"")))
    size += sum(len(key) + len(value) for key, value in request.headers.items())
    allowed = 25 + size / 1_000
    cost = float("inf")
    for _ in range(5):  # A machine may be slow for longer than one look takes.
        cost = min(cost, quickest(work) / genuine)
        if cost < allowed:
            break
    assert cost < allowed, f"{cost:.0f} times a genuine request, of {size} characters"


# Servers that other tests have started go on in threads of this process.
_OTHER_THREADS = tracemalloc.Filter(False, threading.__file__, all_frames=True)
_DEEPEST = 100


def grown(work: Callable[[], object]) -> int:
    """How many bytes of what this thread took in while working it still holds."""
    gc.collect()
    tracemalloc.start(_DEEPEST)
    try:
        work()
        gc.collect()
        taken = tracemalloc.take_snapshot().filter_traces([_OTHER_THREADS])
        return sum(trace.size for trace in taken.traces)
    finally:
        tracemalloc.stop()


def test_what_is_kept_is_measured_and_not_what_another_thread_keeps() -> None:
    kept: list[bytes] = []

    def keep() -> None:
        kept.append(bytes(300_000))

    def by_another() -> None:
        thread = threading.Thread(target=keep)
        thread.start()
        thread.join()

    assert 300_000 < grown(keep) < 310_000
    assert grown(by_another) < 10_000
    assert len(kept) == 2


def _with(n: int, **more: Any) -> Sent:
    return Sent(token=GOOD, **more)


KEPT: dict[str, Callable[[int], Sent]] = {
    "names of tools": lambda n: Sent(
        token=CALCULATING, target="/calculator/mcp",
        body=b'{"method":"tools/call","params":{"name":"%d%b"}}' % (n, b"x" * 50_000),
    ),
    "look-alikes": lambda n: _with(n, headers=((f"x-auth-{n}" + "x" * 50_000, "1"),)),
    "look-alikes, unknown caller": lambda n: Sent(
        target="/notes/public/x", headers=((f"x_auth_{n}" + "x" * 50_000, "1"),)
    ),
    "header names": lambda n: _with(n, headers=((f"x-{n}" + "x" * 50_000, "1"),)),
    "paths": lambda n: _with(n, target=f"/notes/{n}" + "x" * 8_000),
    "queries": lambda n: _with(n, target=f"/notes/mcp?{n}" + "x" * 50_000),
    "hosts": lambda n: _with(n, host=f"x{n}" + "x" * 50_000),
    "origins": lambda n: _with(n, headers=(("origin", f"https://{n}" + "x" * 50_000),)),
    "key ids": lambda n: Sent(token=mint(header={"kid": f"{n}", "fill": "x" * 9_000})),
    "tokens that are none": lambda n: Sent(token=f"{n}." + "x" * 12_000 + ".x"),
    "servers": lambda n: _with(n, server=f"{n}" + "x" * 50_000),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_nothing_of_what_a_client_makes_up_is_kept(name: str) -> None:
    """A hundred requests of 10 to 50 kB leave less than a few of them in memory."""
    make = KEPT[name]
    messages = [check_request(make(n), raw=True).SerializeToString() for n in range(120)]
    for message in messages[:20]:
        one(message)  # what is kept once

    def work() -> None:
        for message in messages[20:]:
            one(message)

    assert grown(work) < 200_000


def test_headers_of_tokens_and_of_requests_are_remembered_within_bounds() -> None:
    lookalikes = Lookalikes(header_names(ENGINE.policy.servers[0]))
    for n in range(5_000):
        lookalikes.among({f"x-{n}-{m}": "" for m in range(3)})
    lookalikes.among({f"x-{m}": "" for m in range(50_000)})
    assert len(lookalikes._harmless) < 400
    for n in range(1_500):
        header = b64(json.dumps({"alg": "ES256", "n": n}))
        token_module.parse_token(f"{header}.e30.AA", 1000)
    assert len(compact._HEADERS) <= 1_024

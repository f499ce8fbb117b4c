"""The admin listener: alive, ready, metrics, status, and a form that explains a request.

Never public. Everything it shows is asked for through functions passed in, so that it can be
tried without a running service.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPMethod
from typing import Final
from urllib.parse import parse_qs, urlsplit

from extauthz.core.explain import Explanation
from extauthz.core.hosts import may_be_in_dns, split_host
from extauthz.core.model import Allow, Headers
from extauthz.core.near_requests import token_alone
from extauthz.keys.status import IssuerStatus

from .explain_page import PATH as EXPLAIN_PATH
from .explain_page import Question, explanation_page, problem_page
from .http_message import HttpRequest, HttpResponse
from .page import HEADERS as PAGE_HEADERS
from .status import Health, Status, as_json
from .status_page import status_page

_log = logging.getLogger(__name__)

MAX_FORM: Final = 256 * 1024
"""Bytes of a form: a large token, percent-encoded."""

_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_TEXT: Final = (("content-type", "text/plain; charset=utf-8"),)
_JSON: Final = (("content-type", "application/json"),)
_HTTP_METHODS: Final = frozenset(HTTPMethod)
_READING: Final = ("GET", "HEAD")
_PROBES: Final = frozenset({"/healthz", "/readyz"})
_NAMED_OTHERWISE: Final = (
    "This listener is for this machine alone, and Host has another's name: ask at localhost. A"
    " proxy on this machine has to send localhost as Host, and to let in nobody else."
)
_ALWAYS: Final = (("cache-control", "no-store"), ("x-content-type-options", "nosniff"))


class AdminApp:
    """Answers on the admin listener.

    ``health`` is asked at every probe and must be cheap, ``status`` once per page. ``metrics``
    gives content type and text of what the header ``Accept`` prefers.
    ``explain`` judges a question as ``serve`` would and keeps nothing of it. ``on_loopback`` says
    that only this machine reaches it: then a web page must not either, by having its own name
    resolve to loopback (DNS rebinding).
    """

    def __init__(
        self,
        *,
        health: Callable[[], Health],
        status: Callable[[], Awaitable[Status]],
        metrics: Callable[[str], Awaitable[tuple[str, bytes]]],
        explain: Callable[[Question], Awaitable[Explanation]],
        on_loopback: bool,
    ) -> None:
        self._health = health
        self._status = status
        self._metrics = metrics
        self._explain = explain
        self._on_loopback = on_loopback

    async def __call__(self, asked: HttpRequest) -> HttpResponse:
        """Answer one request; raises nothing, but for cancellation."""
        try:
            return await self._answer(asked)
        except Exception:  # noqa: BLE001  the status page must not be what brings a service down
            _log.exception("the admin listener failed to answer")
            return _text(500, "internal error, see the log")

    async def _answer(self, asked: HttpRequest) -> HttpResponse:
        path, _, query = asked.target.partition("?")
        if self._on_loopback and path not in _PROBES and _named_otherwise(asked.headers):
            return _text(421, _NAMED_OTHERWISE)
        if path == EXPLAIN_PATH:
            if asked.method != "POST":
                return _wrong_method("POST")
            return await self._explained(asked.headers, asked.body)
        if asked.method not in _READING:
            return _wrong_method("GET, HEAD")
        if path == "/healthz":
            return _text(200, "alive")
        if path == "/readyz":
            return self._ready(query)
        if path == "/metrics":
            content_type, text = await self._metrics(asked.headers.get("accept", ""))
            return _response(200, (("content-type", content_type),), text)
        if path == "/status":
            return await self._shown(asked.headers)
        if path == "/":
            return _response(307, (("location", "/status"),), b"")
        return _text(404, "not found; there are /healthz, /readyz, /metrics and /status")

    def _ready(self, query: str) -> HttpResponse:
        health = self._health()
        code = 200 if health.ready else 503
        verdict = "ready" if health.ready else f"not ready: {health.obstacle}"
        if "verbose" not in parse_qs(query, keep_blank_values=True):
            return _text(code, verdict)
        lines = [_issuer_line(issuer) for issuer in health.issuers]
        config = health.config
        lines.append(f"[+] config: digest {config.digest}, from {config.source}")
        if config.problems:
            first, *others = config.problems
            more = f" (and {len(others)} more)" if others else ""
            lines.append(f"[-] config: the changed file is not used: {first}{more}")
        return _text(code, "\n".join((*lines, verdict)))

    async def _shown(self, headers: Mapping[str, str]) -> HttpResponse:
        status = await self._status()
        vary = (("vary", "accept"),)
        # In a thread: a page of many servers is long.
        if _prefers_json(headers):
            text = await asyncio.to_thread(lambda: _json(as_json(status)))
            return _response(200, (*_JSON, *vary), text)
        return _response(200, (*PAGE_HEADERS, *vary), await asyncio.to_thread(status_page, status))

    async def _explained(self, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        if not _of_own_page(headers):
            return _problem(headers, 403, "The form must be sent from the status page itself.")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
            return _problem(headers, 415, f"A form is expected, as {_FORM_TYPE}.")
        if len(body) > MAX_FORM:
            return _problem(headers, 413, f"The form is larger than {MAX_FORM // 1024} KiB.")
        question = _question(body)
        if question is None:
            expected = (
                "A form with host and path is expected, and optionally token, method, tool, calls, "
                "origin."
            )
            return _problem(headers, 400, expected)
        try:
            explanation = await self._explain(question)
        except Exception as problem:  # noqa: BLE001  its text may quote the token: only the type
            _log.error("explaining failed: %s", type(problem).__name__)
            return _problem(headers, 500, f"Explaining failed: {type(problem).__name__}.")
        if _prefers_json(headers):
            return _response(200, _JSON, _json(_explanation(explanation)))
        return _response(200, PAGE_HEADERS, explanation_page(explanation, question))


def _response(status: int, headers: Headers, body: bytes) -> HttpResponse:
    lines = [(name.encode(), value.encode("latin-1")) for name, value in (*headers, *_ALWAYS)]
    return HttpResponse.make(status, lines, body)


def _text(status: int, text: str) -> HttpResponse:
    return _response(status, _TEXT, f"{text}\n".encode())


def _wrong_method(allowed: str) -> HttpResponse:
    return _response(405, (*_TEXT, ("allow", allowed)), f"use {allowed}\n".encode())


def _json(value: object) -> bytes:
    # Whoever takes it for a page finds no markup in it.
    return f"{json.dumps(value, indent=2)}\n".replace("<", "\\u003c").encode("ascii")


def _problem(headers: Mapping[str, str], status: int, text: str) -> HttpResponse:
    if _prefers_json(headers):
        return _response(status, _JSON, _json({"error": text}))
    return _response(status, PAGE_HEADERS, problem_page("That did not work", text))


def _issuer_line(issuer: IssuerStatus) -> str:
    mark = "+" if issuer.usable else "-"
    if not issuer.first_attempt_done:
        state = "waiting for its first keys"
    else:
        state = f"{len(issuer.keys)} usable key{'' if len(issuer.keys) == 1 else 's'}"
    error = f"; last attempt: {issuer.last_error}" if issuer.last_error else ""
    return f"[{mark}] issuer {issuer.name}: {state}{error}"


def _prefers_json(headers: Mapping[str, str]) -> bool:
    """Whether ``Accept`` names JSON, and before any HTML (RFC 9110 section 12.5.1)."""
    weights: dict[str, float] = {}
    for part in headers.get("accept", "").lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weights[kind] = _weight(parameters)
    return weights.get("application/json", 0.0) > weights.get("text/html", 0.0)


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _named_otherwise(headers: Mapping[str, str]) -> bool:
    """Whether it was asked for by a name that may be a web page's own."""
    text = headers.get("host")
    if not text:
        return False
    parts = split_host(text)
    return parts is None or may_be_in_dns(parts[0])


def _of_own_page(headers: Mapping[str, str]) -> bool:
    """Whether a form comes from a page of this very listener, or from no browser at all."""
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def _question(body: bytes) -> Question | None:
    try:
        form = parse_qs(body.decode("ascii"), max_num_fields=10, strict_parsing=False)
    except ValueError:
        return None

    def field(name: str) -> str:
        return form.get(name, [""])[0].strip()

    if not field("host") or not field("path"):
        return None
    method = field("method")
    return Question(
        token=token_alone(field("token")),
        host=field("host"),
        path=field("path"),
        method=method.upper() if method.upper() in _HTTP_METHODS else method,
        tool=field("tool"),
        calls="none" if field("calls") == "none" else "mcp",
        origin=field("origin"),
    )


def _explanation(explanation: Explanation) -> dict[str, object]:
    decision = explanation.decision
    answer: dict[str, object] = {"headers": dict(decision.headers), "server": decision.server}
    if isinstance(decision, Allow):
        answer["removed"] = list(decision.remove)
    else:
        answer |= {"status": decision.status, "body": decision.body.decode("utf-8", "replace")}
    return {
        "allowed": explanation.allowed,
        "reason": explanation.reason,
        "detail": explanation.detail,
        "steps": [
            {
                "check": step.check,
                "expected": step.expected,
                "found": step.found,
                "passed": step.passed,
                "hint": step.hint,
            }
            for step in explanation.steps
        ],
        "near_misses": list(explanation.hints),
        "answer": answer,
    }

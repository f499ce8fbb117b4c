"""The form that explains a request, mostly with a pasted token, and the page that answers it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from extauthz.core.explain import Calls, Explanation
from extauthz.core.model import Allow, Decision, Deny, Headers, Step

from .html import Content, Html, element
from .page import badge, bullets, facts, note, page, table

PATH = "/status/explain"
_CALLS: Final[tuple[tuple[Calls, str], ...]] = (
    ("mcp", "by Envoy's MCP filter"),
    ("none", "by nobody: nginx, Caddy, HAProxy; Traefik, Envoy's http_service without the body"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be explained. ``token`` is never shown again; it and ``origin`` may be empty.

    ``method`` is an HTTP or a JSON-RPC method, empty for the usual one; ``tool`` is the
    target of a call, empty for none. ``calls`` says whether the proxy tells which call it is.
    """

    token: str = ""
    host: str = ""
    path: str = ""
    method: str = ""
    tool: str = ""
    calls: Calls = "mcp"
    origin: str = ""


def explain_form(question: Question) -> Html:
    """The form, filled in as before, but for the token."""
    return element(
        "form",
        element(
            "p",
            "Judged as a request would be. The token is neither stored nor logged.",
            class_="soft",
        ),
        _label("token", "Access token", "empty for none"),
        element(
            "textarea",
            name_="token",
            id="token",
            rows="5",
            class_="mono",
            autocomplete="off",
            spellcheck="false",
            autocapitalize="off",
        ),
        element(
            "div",
            _input(question.host, "host", "Host", "mcp.example.com", required=True),
            _input(question.path, "path", "Path", "/calculator/mcp", required=True),
            class_="pair",
        ),
        element(
            "div",
            _input(
                question.method,
                "method",
                "Method",
                "GET, or tools/call with a tool",
                hint="of HTTP or JSON-RPC",
            ),
            _input(question.tool, "tool", "Tool", "none", hint="or prompt, or resource"),
            class_="pair",
        ),
        element(
            "div",
            element(
                "div",
                _label("calls", "The call is told"),
                element("select", _options(question.calls), name_="calls", id="calls"),
            ),
            _input(question.origin, "origin", "Origin", "none", hint="of a browser's page"),
            class_="pair",
        ),
        element("button", "Explain", type="submit"),
        method="post",
        action=PATH,
        class_="card",
        autocomplete="off",
    )


def _label(name: str, text: str, hint: str = "") -> Html:
    soft = hint and (" ", element("span", hint, class_="soft"))
    return element("label", text, soft, for_=name)


def _input(
    value: str, name: str, text: str, example: str, *, hint: str = "", required: bool = False
) -> Html:
    return element(
        "div",
        _label(name, text, hint),
        element(
            "input",
            name_=name,
            id=name,
            value=value,
            placeholder=example,
            required=required,
            spellcheck="false",
            autocapitalize="off",
            autocomplete="off",
        ),
    )


def _options(chosen: Calls) -> Iterator[Html]:
    for value, text in _CALLS:
        yield element("option", text, value=value, selected=value == chosen)


def explanation_page(explanation: Explanation, question: Question) -> bytes:
    """Every check in order, what decided, the exact answer, and what might help."""
    return page(
        "extauthz explains",
        element("header", element("h1", "Explained"), _verdict(explanation)),
        element("nav", element("a", "Back to the status", href="/status")),
        element(
            "section",
            explanation.hints
            and note("warn", element("strong", "Nearly right"), bullets(explanation.hints)),
            element("h2", "Checks"),
            element("div", _steps(explanation.steps), class_="card"),
            element("h2", "Answer"),
            element("div", _answer(explanation.decision), class_="card"),
            element("h2", "Another one"),
            explain_form(question),
        ),
    )


def problem_page(title: str, text: str) -> bytes:
    """A page that only says what went wrong."""
    return page(
        f"extauthz: {title}",
        element("header", element("h1", title)),
        note("bad", text),
        element("nav", element("a", "Back to the status", href="/status#explain")),
    )


def _verdict(explanation: Explanation) -> Html:
    reason = explanation.reason
    if explanation.allowed and reason is None:
        return badge("allowed", "good")
    if explanation.allowed:
        return badge(f"allowed by audit; enforced it would be refused: {reason}", "warn")
    return badge(f"refused: {reason}" if reason else "refused", "bad")


def _steps(steps: tuple[Step, ...]) -> Html:
    rows = (
        (
            (_mark(step.passed), " ", step.check),
            step.expected,
            (step.found, step.hint and element("p", step.hint, class_="soft")),
        )
        for step in steps
    )
    return table(("Check", "Expected", "Found"), rows)


def _mark(passed: bool) -> Html:
    sign, tone, word = ("✓", "good", "passed") if passed else ("✗", "bad", "failed")
    return element("span", sign, class_=f"badge {tone}", role="img", aria_label=word)


def _answer(decision: Decision) -> Content:
    if isinstance(decision, Allow):
        return facts(
            ("To the proxy", "allow"),
            ("Server", decision.server),
            ("Headers set", _headers(decision.headers)),
            ("Headers removed", decision.remove and element("pre", "\n".join(decision.remove))),
        )
    return facts(
        ("HTTP status", str(decision.status)),
        ("Reason", decision.reason if isinstance(decision, Deny) else None),
        ("Detail", decision.detail if isinstance(decision, Deny) else None),
        ("Headers", _headers(decision.headers)),
        (
            "Body",
            element("pre", decision.body.decode("utf-8", "replace")) if decision.body else None,
        ),
    )


def _headers(headers: Headers) -> Html | None:
    if not headers:
        return None
    return element("pre", "\n".join(f"{name}: {value}" for name, value in headers))

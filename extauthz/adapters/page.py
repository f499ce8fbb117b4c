"""The frame of every HTML page of the admin listener, and the pieces pages share."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Final

from extauthz.telemetry.formats import timestamp

from .html import Content, Html, element, joined

_STYLE: Final = Html(files(__package__).joinpath("status.css").read_text("utf-8"))
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

HEADERS: Final = (
    ("content-type", "text/html; charset=utf-8"),
    (
        "content-security-policy",
        _POLICY,
    ),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)
"""What every page is sent with: no scripts, no frames, nothing from elsewhere."""


def page(title: str, *content: Content) -> bytes:
    """A whole document."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", _STYLE),
    )
    body = element("body", *content)
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n".encode()


def badge(text: str, tone: str = "") -> Html:
    """A short word about a state. ``tone`` is good, warn, bad or none."""
    return element("span", text, class_=f"badge {tone}".strip())


def note(tone: str, *content: Content) -> Html:
    """A block that wants attention."""
    return element("div", *content, class_=f"note {tone}")


def bullets(items: Iterable[Content]) -> Html:
    """An unordered list."""
    return element("ul", (element("li", item) for item in items))


def code(text: str) -> Html:
    """Text to be read exactly."""
    return element("code", text)


def codes(texts: Sequence[str], otherwise: str) -> Html:
    """Several such texts, or a word in their place."""
    if not texts:
        return element("span", otherwise, class_="soft")
    return joined(*(piece for text in texts for piece in (code(text), " ")))


def facts(*pairs: tuple[str, Content]) -> Html:
    """Names and what there is to say of each; those without content are left out."""
    return element(
        "dl", ((element("dt", name), element("dd", content)) for name, content in pairs if content)
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[Content]], *, numbers: int = 0) -> Html:
    """A table whose last ``numbers`` columns are numbers; others stack on a narrow screen."""
    text_columns = len(columns) - numbers

    def cell(name: str, column: int, content: Content) -> Html:
        number = "number" if column >= text_columns else None
        label = columns[column] if name == "td" and column and not numbers else None
        return element(name, content, class_=number, data_label=label)

    head = element("tr", (cell("th", i, text) for i, text in enumerate(columns)))
    body = (element("tr", (cell("td", i, c) for i, c in enumerate(row))) for row in rows)
    return element(
        "table",
        element("thead", head),
        element("tbody", body),
        class_=None if numbers else "stacked",
    )


def ago(at: float, now: float) -> Html:
    """A point in time as people say it, with the exact time behind it."""
    return _time(at, f"{span(now - at)} ago" if at <= now else "in the future")


def until(at: float, now: float) -> Html:
    """A coming point in time; one that has passed is due."""
    return _time(at, f"in {span(at - now)}" if at > now else "due now")


def _time(at: float, text: str) -> Html:
    exact = timestamp(at)
    return element("time", text, datetime=exact, title=exact)


def span(seconds: float) -> str:
    """A span of time in its largest fitting unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"

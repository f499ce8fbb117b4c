"""HTML written as nested calls: text is escaped unless it already is HTML."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

_VOID: Final = frozenset({"br", "hr", "input", "link", "meta"})


class Html(str):
    """Text that is HTML already. Only ``element`` and constants make it."""

    __slots__ = ()


Content = str | None | Iterable["Content"]
"""Text, HTML, nothing, or several of these."""


def element(name: str, *content: Content, **attributes: str | bool | None) -> Html:
    """One element; of an attribute's name a final ``_`` is dropped, another ``_`` reads ``-``.

    An attribute that is None or False is left out, one that is True has no value.
    """
    written = [f"<{name}"]
    for attribute, value in attributes.items():
        if value is None or value is False:
            continue
        spelled = attribute.rstrip("_").replace("_", "-")
        written.append(f" {spelled}" if value is True else f' {spelled}="{escape(value)}"')
    written.append(">")
    if name not in _VOID:
        written.extend((joined(*content), f"</{name}>"))
    return Html("".join(written))


def joined(*content: Content) -> Html:
    """Several pieces of content after each other."""
    return Html("".join(map(_text, content)))


def _text(content: Content) -> str:
    if content is None:
        return ""
    if isinstance(content, Html):
        return content
    if isinstance(content, str):
        return escape(content)
    return "".join(map(_text, content))

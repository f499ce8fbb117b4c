"""A bar chart as SVG, readable on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

_LEFT: Final = 330
_WIDTH: Final = 900
_ROW: Final = 24
_TOP: Final = 48

_STYLE: Final = """\
<style>
text { font: 13px sans-serif; fill: #333 } .title { font-weight: bold; font-size: 15px }
.ours { fill: #2f6fb2 } .other { fill: #9aa5b1 } .value { font-variant-numeric: tabular-nums }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .other { fill: #6b7682 } }
</style>
"""


def bars(title: str, values: Sequence[tuple[str, float]]) -> str:
    """One bar a value; names that begin with ``extauthz`` stand out."""
    height = _TOP + _ROW * len(values) + 16
    most = max((value for _, value in values), default=1.0) or 1.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" ',
        f'aria-label="{escape(title)}">\n{_STYLE}',
        f'<text class="title" x="8" y="26">{escape(title)}</text>\n',
    ]
    for number, (name, value) in enumerate(values):
        y = _TOP + number * _ROW
        width = max(1.0, value / most * (_WIDTH - _LEFT - 90))
        kind = "ours" if name.startswith("extauthz") else "other"
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{width:.0f}" height="{_ROW - 6}"/>'
            f'<text class="value" x="{_LEFT + width + 6:.0f}" y="{y + 14}">{value:,.0f}</text>\n'
        )
    return "".join((*parts, "</svg>\n"))

"""The reference of every setting, as Markdown, written from the model itself.

``docs/configuration.md`` holds it between two marks. To bring it up to date:

    python -m extauthz.config.reference docs/configuration.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from . import names
from .faults import parts_in
from .model import Settings

BEGIN = "<!-- written by extauthz.config.reference; a test holds it to the model -->\n"
END = "<!-- end of what is written -->\n"


def reference() -> str:
    """A table for every part of the settings: key, default, variable, meaning."""
    lines: list[str] = []
    for title, model, path in _parts(Settings, ""):
        lines += [f"### {title}", "", "| key | default | meaning |", "| --- | --- | --- |"]
        for name, info in model.model_fields.items():
            lines.append(f"| `{name}` | {_default(info)} | {_meaning(info, path + name)} |")
        lines.append("")
    return "\n".join(lines)


def updated(text: str) -> str:
    """``text`` with everything between the two marks written anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


def _parts(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel], str]]:
    title = path.removesuffix(".") or "Top level"
    yield (title if title == "Top level" else f"`{title}`"), model, path
    for name, info in model.model_fields.items():
        for inner in parts_in(info.annotation):
            origin = get_origin(info.annotation)
            suffix = "[]." if origin is tuple else "."
            key = {"tools": "tools.*", "headers": "headers.*"}.get(name, name)
            if name in ("prompts", "resources", "methods"):
                continue  # the same rules as for tools
            yield from _parts(inner, f"{path}{key}{suffix}")


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    if info.default is PydanticUndefined:
        return "see below" if parts_in(info.annotation) else "see meaning"
    if info.default is None:
        return "none"
    value: Any = list(info.default) if isinstance(info.default, tuple) else info.default
    if isinstance(value, str):
        return f"`{value}`"
    return f"`{json.dumps(value)}`".replace('"', "")


def _meaning(info: FieldInfo, path: str) -> str:
    text = info.description or ""
    if get_origin(info.annotation) is Literal:
        choices = ", ".join(f"`{choice}`" for choice in get_args(info.annotation))
        text += f" One of {choices}." if len(get_args(info.annotation)) > 1 else ""
    if path in names.SETTINGS:
        text += f" Variable: `{names.variable(path)}`."
    return text.replace("|", "\\|")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(updated(target.read_text(encoding="utf-8")), encoding="utf-8")

"""The JSON Schema of the configuration file, for editors and checks before it ships."""

from __future__ import annotations

import json
from typing import Any

from .model import Settings

ID = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema of a configuration file (JSON Schema, draft 2020-12).

    It knows keys, types and the form of values, not how settings depend on one another:
    `extauthz validate` does.
    """
    schema = _tidy(Settings.model_json_schema())
    for key in ("issuers", "servers"):
        schema["properties"][key]["minItems"] = 1
    schema["title"] = "extauthz configuration"
    return {"$schema": ID, **schema}


def schema_text() -> str:
    """The schema as it is printed and kept in ``docs/``."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _tidy(node: Any) -> Any:
    """Leave out the titles that pydantic makes up from names."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept: dict[str, Any] = {}
    for key, value in node.items():
        if key == "title" and isinstance(value, str):
            continue
        if key in ("properties", "$defs"):
            kept[key] = {name: _tidy(inner) for name, inner in value.items()}
        else:
            kept[key] = _tidy(value)
    return kept

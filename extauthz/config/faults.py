"""What pydantic found wrong, in words for the person who wrote the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from .problems import Fault, Loc
from .unreplaced import unreplaced
from .values import FAULT, shown

_KEY = "[key]"
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
}
_KEY_WITHOUT_BLANK = re.compile(r"[A-Za-z_][A-Za-z0-9_.*-]*:(?=[^\s/]|/(?!/))")
_RULES: dict[str | int, str] = {
    "tools": "add: allow",
    "prompts": "greet: allow",
    "resources": '"file:///docs/*": allow',
    "methods": "logging/setLevel: allow",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
}
_RESERVED: frozenset[Loc] = frozenset(
    {
        ("revocation",),
        ("issuers", "*", "introspection"),
        ("servers", "*", "binding"),
        ("servers", "*", "forward", "assertion"),
        *(("servers", "*", kind, "*", "when") for kind in ("tools", "prompts", "resources")),
        ("servers", "*", "methods", "*", "when"),
    }
)


def faults_of(error: ValidationError, model: type[BaseModel], at: Loc = ()) -> Iterator[Fault]:
    """Each failure of ``model``, or of the part of it at ``at``, once."""
    for failure in error.errors(include_url=False):
        kind = failure["type"]
        if kind == "default_factory_not_called":
            continue  # a default that hangs on a value that is reported itself
        if kind == "too_short" and failure["input"]:
            continue  # its entries were refused one by one
        loc: Loc = at + failure["loc"]
        on_key = kind == "extra_forbidden"
        if loc and loc[-1] == _KEY:
            loc, on_key = loc[:-1], True
        yield Fault(loc, _text(kind, failure, loc, model), on_key)


def _text(kind: str, failure: Mapping[str, Any], loc: Loc, model: type[BaseModel]) -> str:
    context = failure.get("ctx", {})
    found = failure["input"]
    if kind == "extra_forbidden":
        return _unknown_key(loc, model)
    if isinstance(found, str) and (what := unreplaced(loc, found) or _no_blank(kind, found)):
        return what
    if kind == FAULT:
        return str(failure["msg"])
    if kind == "missing":
        return f"missing; expected {_described(loc, model)}"
    if kind in _EXPECTED:
        hint = ""
        if kind == "string_type" and isinstance(found, int | float):
            hint = ", in quotes if it looks like something else"
        elif kind == "dict_type" and loc[-1] in _RULES and isinstance(found, tuple):
            hint = f" such as {_RULES[loc[-1]]}"
        elif kind == "tuple_type" and isinstance(found, Mapping):
            hint = ', each entry after a "- "'
        return f"found {shown(found)}; expected {_EXPECTED[kind]}{hint}"
    if kind == "literal_error":
        return f"found {shown(found)}; expected one of {_plain_list(context['expected'])}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"found {shown(found)}; expected {words} {context[name]}"
    if kind == "too_short":
        return "found an empty list; expected at least one entry"
    return f"{failure['msg']}; found {shown(found)}"


def _no_blank(kind: str, found: str) -> str:
    """What is wrong with a text that was to be a mapping; empty for any other."""
    key = _KEY_WITHOUT_BLANK.match(found) if kind in ("model_type", "dict_type") else None
    return f"found {shown(found)}; expected a blank after {key[0]}" if key else ""


def _plain_list(text: str) -> str:
    return text.replace("'", "").replace(" or ", ", ")


def _unknown_key(loc: Loc, model: type[BaseModel]) -> str:
    if loc[-1] == "<<":
        return "YAML 1.2 has no merge keys; expected the keys themselves"
    general = tuple("*" if isinstance(part, int) else part for part in loc)
    if len(general) == 5 and general[-1] == "when":
        general = (*general[:3], "*", "when")
    if general in _RESERVED:
        return "reserved for a later version; expected it to be absent"
    owner = _model_at(loc[:-1], model)
    if owner is None:
        return "unknown key; expected it to be absent"
    known = _keys_of(owner)
    name = str(loc[-1])
    # The very name of another place says more than a likeness, unless it is nearly a key of this.
    near = _near(name, known, 0.85)
    homes = () if near else tuple(_homes(name, model))
    if homes:
        return f"unknown key here; expected at {' or '.join(homes)}"
    near = near or _near(name, known, 0.6)
    if near:
        return f"unknown key; expected {near}?"
    return f"unknown key; expected one of {', '.join(known)}"


def _keys_of(part: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in part.model_fields.items()]


def _near(name: str, known: list[str], likeness: float) -> str | None:
    return next(iter(get_close_matches(name.lower(), known, n=1, cutoff=likeness)), None)


def _homes(name: str, model: type[BaseModel], path: str = "") -> Iterator[str]:
    """The parts of the settings that have a key of this name, as a person would write them."""
    if name in _keys_of(model):
        yield path or "the top level"
    for key, info in model.model_fields.items():
        for inner in parts_in(info.annotation):
            many = {tuple: "[]", dict: ".*"}.get(_container(info.annotation), "")
            yield from _homes(name, inner, f"{path}.{key}{many}".lstrip("."))


def _container(annotation: Any) -> Any:
    origins = (get_origin(one) for one in _members(annotation))
    return next((origin for origin in origins if origin in (tuple, dict)), None)


def _described(loc: Loc, model: type[BaseModel]) -> str:
    owner = _model_at(loc[:-1], model)
    field = owner.model_fields.get(str(loc[-1])) if owner else None
    text = (field.description if field else None) or "a value"
    text = text.split(";")[0].split(". ")[0].rstrip(".")
    return text[0].lower() + text[1:] if text[:2].istitle() else text


def _model_at(loc: Loc, model: type[BaseModel]) -> type[BaseModel] | None:
    """The part of the settings that ``loc`` leads to, through lists, maps and unions."""
    annotation: Any = model
    for part in loc:
        annotation = _step(annotation, part)
    return next((one for one in _members(annotation) if _is_part(one)), None)


def _step(annotation: Any, part: str | int) -> Any:
    for one in _members(annotation):
        if _is_part(one):
            field = one.model_fields.get(str(part))
            return field.annotation if field else None
        origin, arguments = get_origin(one), get_args(one)
        if origin in (tuple, dict):
            return arguments[1 if origin is dict else 0]
    return None


def parts_in(annotation: Any) -> tuple[type[BaseModel], ...]:
    """The parts of the settings that a field of this type holds, in lists and maps too."""
    found: list[type[BaseModel]] = []
    for one in _members(annotation):
        if _is_part(one):
            found.append(one)
        elif get_origin(one) in (tuple, dict):
            found.extend(part for inner in get_args(one) for part in parts_in(inner))
    return tuple(found)


def _members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; anything else is its own only member."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(member for one in get_args(annotation) for member in _members(one))
    return (annotation,)


def _is_part(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)

"""``${NAME}`` in a text: other programs replace it, extauthz does not."""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import names
from .problems import Fault, Loc
from .yaml_source import Plain

# With a default, as ${NAME:-text}, which is not shown: it may be a password.
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?[-?+=][^}]*)?\}")


def unreplaced(loc: Loc, text: str) -> str:
    """What is wrong with a text at ``loc`` that names a variable; empty where it names none."""
    found = _REFERENCE.search(text)
    if found is None:
        return ""
    what = f"${{{found[1]}}} is not replaced in a configuration; expected the value itself, "
    setting = ".".join(map(str, loc))
    if setting in names.SETTINGS:
        return f"{what}or the variable {names.variable(setting)} and nothing here"
    return f"{what}put in before it is read (envsubst, Helm)"


def unreplaced_in(value: Plain, at: Loc = ()) -> Iterator[Fault]:
    """A warning for each text in ``value`` that names a variable."""
    if isinstance(value, str):
        if what := unreplaced(at, value):
            yield Fault(at, what)
    elif isinstance(value, tuple):
        for position, item in enumerate(value):
            yield from unreplaced_in(item, (*at, position))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from unreplaced_in(item, (*at, key))

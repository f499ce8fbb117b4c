"""Ways of spoiling a proxy's files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from extauthz.doctor.catalogue import Code
from extauthz.doctor.examine import Part
from tests.doctor.provoked import PROVOKED
from tests.generate.edges import Edit

Change = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Broken:
    """A proxy with one thing wrong: ``edit`` spoils a text, ``change`` Envoy's document.

    ``part`` of an examination finds ``codes``, and nothing else.
    """

    proxy: str
    part: Part
    codes: tuple[Code, ...]
    edit: Edit | None = None
    change: Change | None = None
    server: str = "notes"


def broken(cases: Mapping[str, Broken]) -> Mapping[str, Broken]:
    """The cases of a test, which are all tried."""
    PROVOKED.update(code for case in cases.values() for code in case.codes)
    return cases


def without(*lines: str) -> Edit:
    """Takes every line that matches one of these patterns out of the files."""

    def edit(_: str, text: str) -> str:
        kept = [line for line in text.splitlines() if not any(re.search(p, line) for p in lines)]
        return "\n".join(kept) + "\n"

    return edit


def instead(*pairs: tuple[str, str]) -> Edit:
    """Writes one text in place of another."""

    def edit(_: str, text: str) -> str:
        for old, new in pairs:
            text = text.replace(old, new)
        return text

    return edit


def manager(document: dict[str, Any]) -> Any:
    """The HTTP connection manager of an Envoy."""
    listener = document["static_resources"]["listeners"][0]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def ext_authz(document: dict[str, Any]) -> Any:
    """The ext_authz filter of an Envoy."""
    (found,) = (
        each["typed_config"]
        for each in manager(document)["http_filters"]
        if each["name"] == "envoy.filters.http.ext_authz"
    )
    return found


def routes(document: dict[str, Any]) -> Any:
    """The routes of an Envoy."""
    return manager(document)["route_config"]["virtual_hosts"][0]["routes"]

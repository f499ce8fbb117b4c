"""YAML text to plain values, with a place for every one of them.

Only the YAML 1.2 core schema: ``on``, ``off``, ``yes``, dates and times are text. Every
mistake in the text is collected. What can be read besides it is still returned, so that
the mistakes in the settings can be reported together with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from .problems import Loc, Place, Problem, path_text, quoted
from .yaml_syntax import syntax_problem
from .yaml_text import read_text

MAX_VALUES: Final = 500_000
MAX_DEPTH: Final = 32

Plain = str | int | float | bool | None | tuple["Plain", ...] | dict[str, "Plain"]
"""A value as YAML gives it; lists come as tuples, so that nobody changes them."""

# typeshed does not know that both are loaders to yaml.parse.
_LOADER: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

_NULL = re.compile(r"(?:~|null|Null|NULL|)")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))")
_TAG = "tag:yaml.org,2002:"
_KINDS: Final[dict[str, tuple[type, ...]]] = {
    _TAG + "str": (str,),
    _TAG + "int": (int,),
    _TAG + "float": (int, float),
    _TAG + "bool": (bool,),
    _TAG + "null": (type(None),),
}
_MAX_DIGITS = 30
_ODD = "\0"  # stands in a path for a key that has no name


def resolve_scalar(text: str) -> str | int | float | bool | None:
    """What an unquoted scalar means in the core schema (YAML 1.2.2 section 10.3.2).

    Raises ValueError for a whole number of absurd length.
    """
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    for whole, base in ((_INT, 10), (_OCTAL, 8), (_HEX, 16)):
        if whole.fullmatch(text):
            if len(text) > _MAX_DIGITS:
                raise ValueError("a whole number of absurd length")
            return int(text if base == 10 else text[2:], base)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", "").lower())
    return text


@dataclass(slots=True)
class Node:
    """A value and where it begins. ``keys`` are the places of a mapping's keys.

    ``size`` counts values with aliases written out, ``depth`` the levels below. What is
    ``broken`` has been reported, and its value means nothing.
    """

    place: Place
    value: str | int | float | bool | list[Node] | dict[str, Node] | None
    keys: dict[str, Place] = field(default_factory=dict)
    size: int = 1
    depth: int = 0
    broken: bool = False

    def plain(self) -> Plain:
        """The value without places."""
        if isinstance(self.value, list):
            return tuple(item.plain() for item in self.value)
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        return self.value


@dataclass(slots=True)
class Document:
    """A parsed file: its values as far as they could be read, and its mistakes."""

    name: str
    root: Node | None
    problems: list[Problem]

    def key_place(self, loc: Loc) -> Place:
        """Where the key that ends ``loc`` stands."""
        parent = self.find(loc[:-1])
        if parent is not None and loc and str(loc[-1]) in parent.keys:
            return parent.keys[str(loc[-1])]
        return self.place(loc)

    def find(self, loc: Loc) -> Node | None:
        """The node at ``loc``, if there is one."""
        node = self.root
        for part in loc:
            if node is None:
                return None
            if isinstance(node.value, dict):
                node = node.value.get(str(part))
            elif isinstance(node.value, list) and isinstance(part, int):
                node = node.value[part] if part < len(node.value) else None
            else:
                return None
        return node

    def broken(self) -> tuple[Loc, ...]:
        """Where something stands that was reported and is no value."""
        return tuple(_broken(self.root, ())) if self.root and self.problems else ()

    def place(self, loc: Loc) -> Place:
        """Where the value at ``loc`` stands, or as much of the way as there is.

        For a missing key that is the mapping. A value that begins on a line of its own
        is shown at its key.
        """
        node, place = self.root, Place(self.name, 1, 1)
        if node is not None:
            place = node.place
        for part in loc:
            if node is None:
                break
            if isinstance(node.value, dict) and part in node.value:
                key = str(part)
                below, place = node.value[key], node.keys[key]
                node = below
                if below.place.line == place.line:
                    place = below.place
            elif isinstance(node.value, list) and isinstance(part, int):
                if part >= len(node.value):
                    break
                node = node.value[part]
                place = node.place
        return place


def _broken(node: Node, at: Loc) -> Iterator[Loc]:
    if node.broken:
        yield at
    elif isinstance(node.value, list):
        for index, item in enumerate(node.value):
            yield from _broken(item, (*at, index))
    elif isinstance(node.value, dict):
        for key, item in node.value.items():
            yield from _broken(item, (*at, key))


def parse_yaml(data: bytes, name: str, *, loader: Any = _LOADER) -> Document:
    """Parse the bytes of a file called ``name``. Never raises; see ``Document.problems``."""
    document = Document(name, None, [])
    text = read_text(data, name)
    if isinstance(text, Problem):
        document.problems.append(text)
        return document
    composer = _Composer(document, yaml.parse(text, Loader=loader))
    try:
        document.root = composer.compose()
    except yaml.MarkedYAMLError as error:
        document.problems.append(syntax_problem(error, text, name))
    except yaml.YAMLError:
        _report(document, Place(name, 1, 1), "not YAML; expected text that YAML 1.2 allows")
    except _TooMuchError as error:
        _report(document, error.place, error.text)
    return document


def _report(document: Document, place: Place, text: str, loc: Loc = ()) -> None:
    document.problems.append(Problem(place, path_text(loc), text))


class _TooMuchError(Exception):
    def __init__(self, place: Place, text: str) -> None:
        super().__init__(text)
        self.place, self.text = place, text


class _Composer:
    """Builds nodes from parser events, never deeper or larger than the limits."""

    def __init__(self, document: Document, events: Iterator[yaml.Event]) -> None:
        self._document = document
        self._events = events
        self._anchors: dict[str, Node | None] = {}
        self._size = 0

    def compose(self) -> Node | None:
        root = None
        seen = False
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if seen:
                    self._fault(self._at(event), "a second document; expected one per file")
                    break
                seen = True
                root = self._node(next(self._events), ())
        if not seen:
            self._fault(Place(self._document.name, 1, 1), "the file is empty; expected settings")
        elif root is not None and not isinstance(root.value, dict):
            what = "expected a mapping of settings that begins with: version: 1"
            self._fault(root.place, what)
            root = None
        return root

    def _at(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        if mark is None:
            return Place(self._document.name)
        return Place(self._document.name, mark.line + 1, mark.column + 1)

    def _fault(self, place: Place, text: str, loc: Loc = ()) -> None:
        _report(self._document, place, text, loc[: loc.index(_ODD)] if _ODD in loc else loc)

    def _node(self, event: yaml.Event, loc: Loc) -> Node:
        place = self._at(event)
        if len(loc) > MAX_DEPTH:
            raise _TooMuchError(place, f"nested too deeply; expected at most {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, place, loc)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            before = len(self._document.problems)
            value = self._scalar(event, place, loc)
            node = Node(place, value, broken=len(self._document.problems) > before)
            self._count(1, place)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, place, loc)
        else:
            node = self._mapping(event, place, loc)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _count(self, size: int, place: Place) -> None:
        self._size += size
        if self._size > MAX_VALUES:
            what = f"too many values, aliases included; expected at most {MAX_VALUES}"
            raise _TooMuchError(place, what)

    def _alias(self, event: yaml.AliasEvent, place: Place, loc: Loc) -> Node:
        name = str(event.anchor)
        if name not in self._anchors:
            what = f"alias *{name} is unknown; expected an anchor &{name} above, "
            self._fault(place, f'{what}or text in quotes: "*{name}"', loc)
            return Node(place, None, broken=True)
        node = self._anchors[name]
        if node is None:
            raise _TooMuchError(place, f"alias *{name} stands inside the value it names")
        if len(loc) + node.depth > MAX_DEPTH:
            raise _TooMuchError(place, f"nested too deeply; expected at most {MAX_DEPTH} levels")
        self._count(node.size, place)
        return node

    def _scalar(
        self, event: yaml.ScalarEvent, place: Place, loc: Loc
    ) -> str | int | float | bool | None:
        text = str(event.value)
        tag = event.tag
        if tag in (None, "!"):
            if tag is None and event.implicit[0]:
                try:
                    return resolve_scalar(text)
                except ValueError:
                    self._fault(place, "a number of absurd length; expected fewer digits", loc)
                    return None
            return text
        kind = _KINDS.get(tag)
        if kind is None:
            what = f"tag {quoted(tag)} is not supported; expected no tag"
            self._fault(place, what, loc)
            return text
        if kind == (str,):
            return text
        try:
            value = resolve_scalar(text)
        except ValueError:
            value = text
        if not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind):
            self._fault(place, f"{quoted(text)} does not fit its tag !!{tag[len(_TAG) :]}", loc)
            return text
        return value

    def _sequence(self, start: yaml.Event, place: Place, loc: Loc) -> Node:
        self._plain_tag(start, place, loc, "seq")
        self._count(1, place)
        items: list[Node] = []
        node = Node(place, items)
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            item = self._node(event, (*loc, len(items)))
            items.append(item)
            node.size += item.size
            node.depth = max(node.depth, item.depth + 1)
        return node

    def _mapping(self, start: yaml.Event, place: Place, loc: Loc) -> Node:
        self._plain_tag(start, place, loc, "map")
        self._count(1, place)
        entries: dict[str, Node] = {}
        node = Node(place, entries)
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            at = self._at(event)
            key = self._key(event, at, loc)
            item = self._node(next(self._events), (*loc, _ODD if key is None else key))
            node.size += item.size + 1
            node.depth = max(node.depth, item.depth + 1)
            if key is None:
                continue
            if key in entries:
                first = node.keys[key]
                what = f"duplicate key; it was given before at {first.line}:{first.column}"
                self._fault(at, what, (*loc, key))
                continue
            entries[key], node.keys[key] = item, at
        return node

    def _key(self, event: yaml.Event, place: Place, loc: Loc) -> str | None:
        if isinstance(event, yaml.AliasEvent):
            what = f"*{event.anchor} is an alias; expected text in quotes: "
            self._fault(place, f'{what}"*{event.anchor}"', loc)
            return None
        if not isinstance(event, yaml.ScalarEvent):
            self._node(event, (*loc, _ODD))
            self._fault(place, "a key that is not plain text; expected a name", loc)
            return None
        self._count(1, place)
        text = str(event.value)
        value = self._scalar(event, place, (*loc, text))
        if not isinstance(value, str):
            what = f"the key {text or '(empty)'} is not text; expected it in quotes"
            self._fault(place, what, loc)
        return text

    def _plain_tag(self, event: yaml.Event, place: Place, loc: Loc, kind: str) -> None:
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", _TAG + kind):
            self._fault(place, f"tag {quoted(str(tag))} is not supported; expected no tag", loc)


__all__ = ["Document", "Node", "Plain", "parse_yaml", "resolve_scalar"]

"""Variables and flags: where they come from, and how they reach the settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from . import names
from .dotenv import DotEnv
from .problems import Loc, Place, Problem
from .yaml_source import Plain, resolve_scalar

ENVIRONMENT = Place("environment")
COMMAND_LINE = Place("command line")


@dataclass(frozen=True, slots=True)
class Variable:
    """A value given outside the file, with the name and the place it was given at."""

    name: str
    value: str
    place: Place

    def problem(self, text: str) -> Problem:
        """Something wrong with this variable."""
        return Problem(self.place, self.name, text)


@dataclass(frozen=True, slots=True)
class Variables:
    """The environment, with ``.env`` behind it. An empty variable counts as not set."""

    by_name: Mapping[str, Variable]

    @classmethod
    def of(cls, environ: Mapping[str, str], dotenv: DotEnv | None = None) -> Variables:
        """The variables of both; what the environment holds wins."""
        found: dict[str, Variable] = {}
        if dotenv is not None:
            for name, (value, place) in dotenv.values.items():
                found[name] = Variable(name, value, place)
        for name, value in environ.items():
            found[name] = Variable(name, value, ENVIRONMENT)
        return cls({name: one for name, one in found.items() if one.value})

    def first(self, accepted: tuple[str, ...]) -> Variable | None:
        """The first of several accepted names that is set."""
        return next((self.by_name[name] for name in accepted if name in self.by_name), None)

    def disagreements(self, accepted: tuple[str, ...]) -> Iterator[Problem]:
        """A problem for every accepted name whose value differs from the first's."""
        first = self.first(accepted)
        for name in accepted:
            other = self.by_name.get(name)
            if first is not None and other is not None and other.value != first.value:
                what = f"differs from {first.name}, which means the same; expected only one of them"
                yield other.problem(what)

    def unknown(self) -> Iterator[Problem]:
        """A problem for every EXTAUTHZ_ variable that nobody reads."""
        known = (*names.VARIABLES, *names.COMMANDS, *names.WITHOUT_FILE)
        for name, one in self.by_name.items():
            if not name.startswith(names.PREFIX) or name in known or names.is_injected(name):
                continue
            yield one.problem(f"unknown variable; expected {_meant(name, known)}")


def _meant(unknown: str, known: Iterable[str]) -> str:
    """The variable that may have been meant; never one that would be passed over as well."""
    rest = unknown.removeprefix(names.PREFIX)
    if rest in known:
        return f"{rest}, without the prefix"
    # Compared without the prefix, which alone would make any two names look alike.
    ends = {name.removeprefix(names.PREFIX): name for name in known}
    near = get_close_matches(rest.upper(), ends, n=1, cutoff=0.7)
    return f"{ends[near[0]]}?" if near else "a setting's path in upper case"


@dataclass(slots=True)
class Given:
    """Plain values of the settings, and which variable or flag gave which of them."""

    values: dict[str, Plain]
    sources: dict[Loc, Variable] = field(default_factory=dict)

    def put(self, loc: tuple[str, ...], value: Plain, variable: Variable) -> None:
        """Set one value, unless what should hold it is no mapping (which is reported)."""
        holder = self.values
        for part in loc[:-1]:
            inner = holder.get(part, {})
            if not isinstance(inner, dict):
                return
            holder[part] = inner = dict(inner)
            holder = inner
        holder[loc[-1]] = value
        self.sources[loc] = variable

    def source(self, loc: Loc) -> Variable | None:
        """The variable or flag that gave the value at ``loc``, or what holds it."""
        for end in range(len(loc), 0, -1):
            found = self.sources.get(loc[:end])
            if found is not None:
                return found
        return None

    def override(self, variables: Variables, flags: Mapping[str, str]) -> None:
        """Let variables win over what is there, and flags over variables.

        ``flags`` go by the path of the setting, as ``listen.grpc``; raises KeyError for
        a path that has no flag.
        """
        for name, setting in names.VARIABLES.items():
            one = variables.by_name.get(name)
            if one is not None:
                self.put(tuple(setting.split(".")), _plain(setting, one.value), one)
        for setting, value in flags.items():
            if setting not in names.SETTINGS:
                raise KeyError(setting)
            loc = tuple(setting.split("."))
            given = Variable(names.flag(setting), value, COMMAND_LINE)
            self.put(loc, _plain(setting, value), given)


def _plain(setting: str, text: str) -> Plain:
    if setting in names.LISTS:
        return tuple(part.strip() for part in text.split(","))
    if setting in names.NUMBERS:
        try:
            return resolve_scalar(text)
        except ValueError:
            return text
    return text

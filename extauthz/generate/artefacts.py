"""What a writer makes: files, and what the operator should hear about them."""

from __future__ import annotations

from dataclasses import dataclass


class CannotWrite(Exception):
    """The inventory is valid, but cannot be written safely for this proxy.

    The message says which setting, why, and what to do instead.
    """


@dataclass(frozen=True, slots=True)
class File:
    """A file to be written: a plain name without folders, and its whole text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Artefact:
    """The configuration of one proxy.

    ``files`` holds the main file first. ``alone`` is the configuration as one file, for
    standard output; where a proxy cannot do with one file it is the main file, and the
    rest has to be written beside it. ``warnings`` are for standard error.
    """

    files: tuple[File, ...]
    alone: str
    warnings: tuple[str, ...] = ()

    @property
    def beside(self) -> tuple[str, ...]:
        """Names of the files that ``alone`` cannot do without."""
        is_main = self.alone == self.files[0].text
        return tuple(file.name for file in self.files[1:]) if is_main else ()

"""Lines of a log, one at a time, from a file, a compressed file or standard input."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import IO, Final, cast

MAX_LINE: Final = 64 * 1024
"""Bytes of a line. A longer one is none of ours, and is never held whole."""


class CannotRead(Exception):
    """A log that cannot be read, or not to its end. The message says which and why."""


def lines_of(path: str) -> Iterator[bytes | None]:
    """The lines of a log, None for one that is too long; ``-`` is standard input.

    A name that ends in ``.gz`` is a gzip file. Raises CannotRead.
    """
    try:
        with _opened(path) as file:
            yield from _lines(file)
    except OSError as fault:
        raise CannotRead(f"{path}: cannot be read: {fault.strerror or 'not gzip'}") from None
    except (EOFError, zlib.error):
        raise CannotRead(f"{path}: cannot be read to its end: the gzip data breaks off") from None


def _opened(path: str) -> AbstractContextManager[IO[bytes]]:
    if path == "-":
        return nullcontext(sys.stdin.buffer)
    if path.endswith(".gz"):
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return open(path, "rb")  # noqa: PTH123  closed by whoever asked


def _lines(file: IO[bytes]) -> Iterator[bytes | None]:
    while line := file.readline(MAX_LINE):
        if len(line) < MAX_LINE or line.endswith(b"\n"):
            yield line
            continue
        while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
            pass
        yield None

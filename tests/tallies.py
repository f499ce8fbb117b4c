"""What tests found, one line each in a file that the scoreboard is made of.

Without ATTACK_RESULTS nothing is written. Several processes may write at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

Survived = Callable[..., AbstractContextManager[None]]


def record(section: str, **line: Any) -> None:
    """Add a line to ``section``."""
    folder = os.environ.get("ATTACK_RESULTS")
    if not folder:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    file = Path(folder) / f"{section}.jsonl"
    data = json.dumps(line, sort_keys=True) + "\n"
    with file.open("a") as opened:
        opened.write(data)


def recorded(folder: Path, section: str) -> list[dict[str, Any]]:
    """The lines of a section, as they came."""
    file = folder / f"{section}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@contextmanager
def survived(kind: str, name: str, *, seen: str) -> Iterator[None]:
    """A fault of this name, and whether everything in the block held."""
    held = False
    try:
        yield
        held = True
    finally:
        record("faults", kind=kind, name=name, seen=seen, held=held)


def at_length() -> bool:
    """Whether there is time for the full form, as in ``make attack``."""
    return bool(os.environ.get("ATTACK_AT_LENGTH"))

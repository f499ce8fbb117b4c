"""The garbage collector during a start: off, since what a start makes is there to stay."""

from __future__ import annotations

import gc


def begin_start() -> None:
    """Collect nothing: a sixth of a start would go into looking at new modules again and again."""
    gc.disable()


def end_start() -> None:
    """Collect once, never look again at what is left, and go on as usual."""
    gc.collect()
    gc.freeze()
    gc.enable()

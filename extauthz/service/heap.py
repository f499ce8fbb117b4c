"""What becomes of memory that was given back: kept for the next message, or left to the kernel."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

# Of malloc.h.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3

_MEGABYTE: Final = 1 << 20


def keep_for_next() -> None:
    """Keep up to eight megabytes of what was given back, where the C library is glibc.

    By itself it keeps next to none of a large message. The kernel has to clear each page of the
    next one then, which takes twice as long as all that is done with it.
    """
    with contextlib.suppress(AttributeError):
        adjust = ctypes.CDLL(None).mallopt
        adjust(_MMAP_THRESHOLD, 4 * _MEGABYTE)
        adjust(_TRIM_THRESHOLD, 8 * _MEGABYTE)

"""``python -m tests.mutation.anew``: tries one mutant in a process that has loaded nothing yet."""

from __future__ import annotations

import sys

from tests.mutation.trial import run_anew

if __name__ == "__main__":
    sys.exit(run_anew())

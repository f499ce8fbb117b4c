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


def running(proxy: str, scene: Scene, *, name: str = "", edit: Edit | None = None) -> Edge:
    """The proxy, started when first asked for; with an ``edit`` it has a ``name`` of its own."""
    name = name or proxy
    if name not in scene.running:
        folder = scene.folder / name
        starting = generated(proxy, config(scene.folder), scene.wiring(), folder, edit=edit)
        scene.running[name] = scene.stack.enter_context(starting)
    return scene.running[name]

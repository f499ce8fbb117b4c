"""Envoy Gateway takes what is written for it, and its Envoy what it makes of that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from extauthz.generate.artefacts import Artefact, File
from tests.e2e.conftest import config
from tests.e2e.processes import REPOSITORY
from tests.e2e.scene import Scene, attempt
from tests.generate import checkers
from tests.generate.edges import generated
from tests.generate.envoy_gateway import NotTakenError, translated
from tests.generate.test_manifests import ESTATE, written

pytestmark = pytest.mark.e2e

EXAMPLE = REPOSITORY / "deploy" / "kubernetes" / "examples" / "envoy-gateway.yaml"


def of(text: str) -> Artefact:
    return Artefact((File("envoy-gateway.yaml", text),), text, ())


def test_an_estate_with_tls_and_services_elsewhere_is_taken(tmp_path: Path) -> None:
    document = translated(written("envoy-gateway", ESTATE), tmp_path)
    assert checkers.envoy_document(document, tmp_path / "envoy") == ""


def test_the_example_is_taken(tmp_path: Path) -> None:
    document = translated(of(EXAMPLE.read_text()), tmp_path)
    assert checkers.envoy_document(document, tmp_path / "envoy") == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("type: PathPrefix", "type: PathPrefx"),
        ('timeout: "1s"', 'timeout: "soon"'),
        ("    name: mcp\n  path:", "    name: another\n  path:"),
        (
            "- name: calculator\n      port: 8000",
            "- name: calculator\n      kind: Nothing\n      port: 8000",
        ),
    ],
)
def test_what_is_not_taken_is_told(right: str, wrong: str, tmp_path: Path) -> None:
    """So that the tests above can fail."""
    text = EXAMPLE.read_text()
    assert right in text
    with pytest.raises(NotTakenError):
        translated(of(text.replace(right, wrong)), tmp_path)


@pytest.mark.parametrize("host", ["mcp.example.com", "new.example.com"])
def test_a_route_without_a_policy_of_its_own_is_asked_about(
    scene: Scene, tmp_path: Path, host: str
) -> None:
    """Somebody adds a route to the Gateway, and nothing else."""
    backend = {"name": "server-0", "port": scene.backends["notes"].port}
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "new", "namespace": "default"},
        "spec": {
            "parentRefs": [{"name": "mcp"}],
            "hostnames": [host],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/new"}}],
                    "backendRefs": [backend],
                }
            ],
        },
    }

    def with_route(_: str, text: str) -> str:
        return f"{text}---\n{json.dumps(route)}\n"

    settings = config(scene.folder)
    with generated("envoy-gateway", settings, scene.wiring(), tmp_path, edit=with_route) as edge:
        for token in (None, scene.token()):
            sent = attempt(scene, edge, token=token, host=host, target="/new/mcp")
            assert sent.response.status == 403
            assert "error" in sent.response.json()
            assert not sent.reached

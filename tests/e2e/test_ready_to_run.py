"""What the pages say to type works: the files and the inventory beside them fit each other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.e2e import edges
from tests.e2e.processes import REPOSITORY, free_port, with_ports
from tests.e2e.scene import Scene, Service, attempt, extauthz, start
from tests.e2e.tokens import ISSUER

pytestmark = pytest.mark.e2e


def inventory(port: int, keys: Path) -> dict[str, Any]:
    """The ``extauthz.yaml`` beside the files, for another port and with keys that are here."""
    text = (REPOSITORY / "envoy" / "extauthz.yaml").read_text()
    document: dict[str, Any] = yaml.load(  # noqa: TID251
        with_ports(text, {edges.ENVOY_PORT: port}), yaml.CSafeLoader
    )
    (issuer,) = document["issuers"]
    assert issuer == {"issuer": ISSUER}
    issuer["jwks_file"] = str(keys)
    del document["version"], document["edge"]
    return document


@pytest.fixture(scope="module")
def service(
    scene: Scene, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, int]]:
    """An extauthz with that inventory, and the port that clients are to use."""
    folder, port = tmp_path_factory.mktemp("ready"), free_port()
    scene.signer.write_key_set(folder / "jwks.json")
    with extauthz(inventory(port, folder / "jwks.json"), folder) as running:
        yield running, port


@pytest.mark.requirement("R8")
@pytest.mark.parametrize("name", ["envoy", "envoy-mcp", "envoy-body", "envoy-http", "nginx"])
def test_the_inventory_fits_the_files(
    scene: Scene, service: tuple[Service, int], tmp_path: Path, name: str
) -> None:
    """From the first 401 to an answer, as a client goes: every URL it is given works."""
    running, port = service
    host = f"127.0.0.1:{port}"
    with start(name, scene.wiring(running), tmp_path, port) as edge:
        for server in ("calculator", "notes"):
            target = f"/{server}/mcp"
            refused = attempt(scene, edge, target=target, host=host).response
            assert refused.status == 401, refused
            challenge = refused.get("www-authenticate") or ""
            (url,) = re.findall(r'resource_metadata="([^"]+)"', challenge)
            assert urlsplit(url).netloc == host
            document = json.loads(edge.send("GET", urlsplit(url).path, host=host).body)
            assert document["resource"] == f"http://{host}{target}"
            token = scene.token(aud=document["resource"])
            sent = attempt(scene, edge, token=token, target=target, host=host)
            assert [reached for reached, _ in sent.reached] == [server]

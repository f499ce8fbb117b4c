"""Several replicas of extauthz behind one proxy: one of them may be gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from extauthz.config.problems import ConfigError
from extauthz.generate.artefacts import CannotWrite
from extauthz.generate.proxies import Choices, generate
from tests.e2e.conftest import config
from tests.e2e.processes import free_port
from tests.e2e.scene import Scene, attempt
from tests.generate import checkers
from tests.generate.edges import NEW_CADDY, generated
from tests.generate.inventories import inventory, loaded, server

pytestmark = pytest.mark.e2e

PROXIES = ["envoy", "envoy-http", "nginx", "caddy", "haproxy"]
ALONE = ["traefik", "envoy-gateway", "istio"]


@pytest.mark.parametrize("proxy", [*PROXIES, NEW_CADDY])
def test_while_one_is_gone_the_other_answers_everything(
    proxy: str, scene: Scene, tmp_path: Path
) -> None:
    edge = {
        f"authz_{door}": [f"127.0.0.1:{free_port()}", f"127.0.0.1:{port}"]
        for door, port in (("grpc", scene.service.grpc), ("http", scene.service.http))
    }
    settings = {**config(scene.folder), "edge": edge}
    with generated(proxy, settings, scene.wiring(), tmp_path) as running:
        for _ in range(20):
            token = scene.token()
            assert attempt(scene, running, token=token).response.status == 200
            assert attempt(scene, running).response.status == 401
            metadata = "/.well-known/oauth-protected-resource/notes/mcp"
            found = running.send("GET", metadata)
            assert found.status == 200


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_list_and_a_single_address_are_taken_by_the_real_proxy(
    proxy: str, tmp_path: Path
) -> None:
    checker = checkers.envoy if proxy.startswith("envoy") else getattr(checkers, proxy)
    for number, addresses in enumerate((["127.0.0.1:9191"], ["127.0.0.1:9191", "[::1]:9192"])):
        edge = {"authz_grpc": addresses, "authz_http": addresses}
        artefact = generate(proxy, loaded(inventory(server(), edge=edge)), Choices())
        assert checker(artefact, tmp_path / str(number)) == ""
        assert ("9192" in artefact.alone) == (len(addresses) == 2)


def test_nginx_takes_none_for_dead() -> None:
    """Each of its workers would have to find out anew that a replica is back."""
    edge = {"authz_http": ["127.0.0.1:8080", "[::1]:8081"]}
    text = generate("nginx", loaded(inventory(server(), edge=edge)), Choices()).alone
    assert text.count(" max_fails=0;") == 2


@pytest.mark.parametrize("proxy", ALONE)
def test_a_proxy_that_asks_one_address_says_so(proxy: str) -> None:
    addresses = ["10.0.0.1:8080", "10.0.0.2:8080"]
    edge = {"listen": "127.0.0.1:8443", "authz_grpc": addresses, "authz_http": addresses}
    with pytest.raises(CannotWrite, match=r"edge\.authz_\w+ lists several addresses"):
        generate(proxy, loaded(inventory(server(), edge=edge)), Choices())


@pytest.mark.parametrize(
    ("addresses", "what"),
    [
        ([], "the list is empty"),
        (["10.0.0.1:8080", "10.0.0.1:8080"], "twice"),
        (["10.0.0.1:8080", "unix:/run/extauthz.sock"], "a Unix socket stands in a list"),
        (["10.0.0.1"], "is not an address"),
        (8080, "expected"),
    ],
)
def test_a_list_that_is_none_is_refused(addresses: object, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        loaded(inventory(server(), edge={"authz_http": addresses}))

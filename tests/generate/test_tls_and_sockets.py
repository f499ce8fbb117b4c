"""TLS on every side and Unix sockets: written so that the real proxies take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

from extauthz.generate.proxies import Choices, generate
from tests.generate import checkers
from tests.generate.inventories import inventory, loaded, server

pytestmark = pytest.mark.e2e

PROXIES = ["envoy", "envoy-http", "nginx", "caddy", "haproxy"]
OVER_TCP = [*PROXIES, "traefik"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A certificate and its key, under names that have to be quoted."""
    folder = tmp_path_factory.mktemp("of this edge")
    certificate = trustme.CA().issue_cert("mcp.example.com")
    certificate.cert_chain_pems[0].write_to_path(folder / "the edge.crt")
    certificate.private_key_pem.write_to_path(folder / "the edge.key")
    # HAProxy looks for the key under the certificate's whole name.
    certificate.private_key_pem.write_to_path(folder / "the edge.crt.key")
    return {"cert_file": f"{folder}/the edge.crt", "key_file": f"{folder}/the edge.key"}


def taken(proxy: str, config: dict[str, Any], folder: Path) -> str:
    """The text of the main file, if the real proxy takes it."""
    artefact = generate(proxy, loaded(config), Choices())
    checker = checkers.envoy if proxy.startswith("envoy") else getattr(checkers, proxy)
    assert checker(artefact, folder) == ""
    return "".join(file.text for file in artefact.files)


@pytest.mark.parametrize("proxy", OVER_TCP)
def test_an_edge_with_tls(proxy: str, pair: dict[str, str], tmp_path: Path) -> None:
    edge = {"listen": "127.0.0.1:8443", "tls": pair}
    assert "the edge.crt" in taken(proxy, inventory(server(), edge=edge), tmp_path)


@pytest.mark.parametrize("ending", [".key", ".crt.key"])
def test_haproxy_finds_the_key_beside_the_certificate(ending: str, tmp_path: Path) -> None:
    """Under either of the names for which no warning asks for one file."""
    certificate = trustme.CA().issue_cert("mcp.example.com")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    certificate.private_key_pem.write_to_path(tmp_path / f"tls{ending}")
    pair = {"cert_file": f"{tmp_path}/tls.crt", "key_file": f"{tmp_path}/tls{ending}"}
    config = inventory(server(), edge={"listen": "127.0.0.1:8443", "tls": pair})
    assert "tls.crt" in taken("haproxy", config, tmp_path)
    assert generate("haproxy", loaded(config), Choices()).warnings == ()


@pytest.mark.parametrize("proxy", OVER_TCP)
def test_an_upstream_with_tls_is_verified(proxy: str, tmp_path: Path) -> None:
    text = taken(proxy, inventory(server(upstream="https://localhost:8443")), tmp_path)
    verified = {
        "nginx": "proxy_ssl_verify on;",
        "caddy": "tls_server_name localhost",
        "haproxy": "ssl verify required",
        "traefik": "serverName: localhost",
    }
    assert verified.get(proxy, "match_typed_subject_alt_names") in text


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_service_with_tls_is_verified(proxy: str, pair: dict[str, str], tmp_path: Path) -> None:
    listen = {
        "grpc": "localhost:9191", "http": "localhost:8080", "grpc_tls": pair, "http_tls": pair
    }  # fmt: skip
    text = taken(proxy, inventory(server(), listen=listen), tmp_path)
    verified = {
        "nginx": "proxy_ssl_verify on;",
        "caddy": "tls_server_name localhost",
        "haproxy": "https://localhost:8080/auth/forward",
    }
    assert verified.get(proxy, "match_typed_subject_alt_names") in text


@pytest.mark.parametrize("proxy", OVER_TCP)
def test_a_service_that_demands_a_certificate_is_warned_of(
    proxy: str, pair: dict[str, str], tmp_path: Path
) -> None:
    tls = {**pair, "client_ca_file": pair["cert_file"]}
    config = inventory(server(), listen={"grpc_tls": tls, "http_tls": tls})
    taken(proxy, config, tmp_path)
    warnings = generate(proxy, loaded(config), Choices()).warnings
    assert any("client_ca_file" in each for each in warnings)


@pytest.mark.parametrize("proxy", PROXIES)
def test_unix_sockets_on_either_side(proxy: str, tmp_path: Path) -> None:
    listen = {"grpc": "unix:/run/extauthz/grpc.sock", "http": "unix:/run/extauthz/http.sock"}
    edge = {"listen": f"unix:{tmp_path}/edge.sock"}
    text = taken(proxy, inventory(server(), listen=listen, edge=edge), tmp_path)
    door = "grpc" if proxy == "envoy" else "http"
    assert f"/run/extauthz/{door}.sock" in text
